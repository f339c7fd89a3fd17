import json
from datetime import date

import pytest
from pydantic import ValidationError

from rune.contracts.estimates import (
    CostEstimationRequest,
    CostEstimationResponse,
    ListPrice,
    RentalEstimate,
)
from rune.errors import InvalidRequestError
from rune.money.estimates import answer_rental, check_rental, estimate_cost

KNOWN = "llama3.1:8b"
LOCAL = {"local_hardware": True, "local_tdp_watts": 350, "local_energy_rate_kwh": 0.3}
UNSET = {"local_hardware_purchase_price": 0, "local_hardware_lifespan_years": 0}
OWNED = {**LOCAL, "local_hardware_purchase_price": 1752, "local_hardware_lifespan_years": 2}

HOUR = {"estimated_duration_seconds": 3600}
NO_TIME = "No estimated_duration_seconds is named, so this is for an hour."
NOT_RENTED = "max_cost_usd changes nothing for local_hardware, where RUNE rents nothing."
NO_WEAR = "The wear of the machine is not counted: give its purchase price and its lifespan."


def request(**fields: object) -> CostEstimationRequest:
    return CostEstimationRequest.model_validate(fields)


def refusal(**fields: object) -> tuple[str, str]:
    """Return the code and the pointer with which a request is refused."""
    with pytest.raises(InvalidRequestError) as caught:
        estimate_cost(request(**fields))
    return caught.value.specific_code, caught.value.pointer


@pytest.mark.parametrize(
    ("fields", "projected_usd", "energy_kwh", "confidence", "warning"),
    [
        # 0.35 kW x 1 h x 0.3 USD = 0.105; 1752 USD / (2 x 8760 h) = 0.1 USD per hour.
        (OWNED | HOUR, 0.205, 0.35, 0.95, None),
        (OWNED, 0.205, 0.35, 0.95, NO_TIME),
        (OWNED | HOUR | {"local_hardware_purchase_price": 0}, 0.105, 0.35, 0.95, None),
        (LOCAL | HOUR, 0.105, 0.35, 0.80, NO_WEAR),
        (LOCAL | UNSET, 0.105, 0.35, 0.80, f"{NO_WEAR} {NO_TIME}"),
        (OWNED | HOUR | {"max_cost_usd": 1.0}, 0.205, 0.35, 0.95, NOT_RENTED),
        # A second of it: 0.0000972... kWh, 0.0000569... USD.
        (OWNED | {"estimated_duration_seconds": 1}, 0.0001, 0.000098, 0.95, None),
        # 30 days: 252 kWh, 75.6 + 72 USD.
        (OWNED | {"estimated_duration_seconds": 2_592_000}, 147.6, 252.0, 0.95, "This may cost 147.60 USD."),
    ],
)
def test_estimate_of_an_own_machine_matches_the_hand_computed_table(
    fields: dict[str, object], projected_usd: float, energy_kwh: float, confidence: float, warning: str | None
) -> None:
    estimate = estimate_cost(request(**fields))

    assert estimate.cost_driver == "local"
    assert (estimate.projected_cost_usd, estimate.local_energy_kwh) == (projected_usd, energy_kwh)
    assert (estimate.confidence_score, estimate.warning) == (confidence, warning)


@pytest.mark.parametrize(
    ("fields", "code", "pointer"),
    [
        ({}, "cost_driver_missing", ""),
        ({"model": KNOWN, "max_dph": 3.0}, "cost_driver_missing", ""),
        ({"vastai": True, **LOCAL}, "cost_driver_ambiguous", "/local_hardware"),
        ({"vastai": True, "aws": True}, "cost_driver_ambiguous", "/aws"),
        ({"aws": True, "model": "huge:1200b"}, "price_unknown", "/aws"),
        ({"gcp": True, "model": "huge:2000b"}, "price_unknown", "/gcp"),
        ({"azure": True, "model": "huge:1200b"}, "price_unknown", "/azure"),
        ({"azure": True, "model": "phi3"}, "model_size_unknown", "/model"),
        ({"local_hardware": True}, "estimate_input_missing", "/local_tdp_watts"),
        (LOCAL | {"local_tdp_watts": 0.0}, "estimate_input_missing", "/local_tdp_watts"),
        (LOCAL | {"local_energy_rate_kwh": 0.0}, "estimate_input_missing", "/local_energy_rate_kwh"),
        (
            LOCAL | {"local_hardware_purchase_price": 900.0},
            "estimate_input_missing",
            "/local_hardware_lifespan_years",
        ),
        (
            LOCAL | {"local_hardware_lifespan_years": 3.0},
            "estimate_input_missing",
            "/local_hardware_purchase_price",
        ),
        (OWNED | {"local_hardware_lifespan_years": 5e-324}, "estimate_out_of_range", ""),
    ],
)
def test_estimate_is_refused_by_code_when_it_would_be_a_guess(
    fields: dict[str, object], code: str, pointer: str
) -> None:
    assert refusal(**fields) == (code, pointer)


def test_refusal_names_the_cloud_whose_machines_are_too_small() -> None:
    with pytest.raises(InvalidRequestError, match="No machine of azure"):
        estimate_cost(request(azure=True, model="huge:1200b"))


def test_estimate_of_a_cloud_is_the_list_price_of_the_machine_that_holds_the_model() -> None:
    asked = request(aws=True, model="llama3.1:70b", max_dph=0.1, estimated_duration_seconds=1800)

    assert estimate_cost(asked) == CostEstimationResponse(
        projected_cost_usd=1.956,
        cost_driver="aws",
        resource_impact="medium",
        confidence_score=0.80,
        warning=(
            "This is the list price of g4dn.12xlarge in us-east-1 as of 2026-11-30, the cheapest in RUNE's table"
            " that holds llama3.1:70b. Disk, traffic and taxes are extra. RUNE rents nothing there."
        ),
        basis="list_price",
        list_price=ListPrice(
            region="us-east-1",
            instance="g4dn.12xlarge",
            gpu="T4",
            gpu_count=4,
            usd_per_hour=3.912,
            as_of=date(2026, 11, 30),
            source="https://aws.amazon.com/ec2/pricing/on-demand/",
        ),
    )


@pytest.mark.parametrize("fields", [{}, {"model": None}, {"model": ""}, {"model": KNOWN}, {"region": "eu"}])
def test_estimate_of_a_cloud_is_for_the_smallest_model_when_none_is_named(fields: dict[str, object]) -> None:
    estimate = estimate_cost(request(gcp=True, **fields))

    # 0.70683228 USD for an hour, rounded up.
    assert (estimate.cost_driver, estimate.projected_cost_usd) == ("gcp", 0.7069)


def test_estimate_ignores_the_price_range_of_rentals_when_the_machine_is_owned() -> None:
    assert estimate_cost(request(**OWNED, min_dph=2.3, max_dph=0.0)).projected_cost_usd == 0.205


@pytest.mark.parametrize(
    "fields",
    [
        '{"vastai": true, "max_dph": NaN}',
        '{"vastai": true, "max_dph": Infinity}',
        '{"vastai": true, "max_dph": 1e999}',
        '{"vastai": true, "max_dph": -0.01}',
        '{"vastai": true, "max_dph": 1000.01}',
        '{"vastai": true, "max_dph": "3.0"}',
        '{"vastai": 1}',
        '{"vastai": true, "estimated_duration_seconds": -1}',
        '{"vastai": true, "estimated_duration_seconds": 2592001}',
        '{"vastai": true, "estimated_duration_seconds": 1.5}',
        '{"local_hardware": true, "local_tdp_watts": -1}',
        '{"local_hardware": true, "local_hardware_purchase_price": 1e300}',
        '{"vastai": true, "maximum_dph": 3.0}',
    ],
)
def test_request_is_refused_when_a_number_is_none_or_a_field_is_unknown(fields: str) -> None:
    with pytest.raises(ValidationError):
        CostEstimationRequest.model_validate(json.loads(fields))


def test_terms_of_a_rental_are_refused_that_name_no_price() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        check_rental(request(vastai=True, max_dph=0.0))
    assert (caught.value.specific_code, caught.value.pointer) == ("estimate_input_missing", "/max_dph")


@pytest.mark.parametrize(
    ("high_usd", "impact", "warning"),
    [
        (0.9999, "low", None),
        (1.0, "medium", None),
        (5.0, "medium", None),
        (5.0001, "high", "This may cost 5.0001 USD."),
    ],
)
def test_answer_warns_above_five_dollars(high_usd: float, impact: str, warning: str | None) -> None:
    told = RentalEstimate(
        low_usd=0.5,
        likely_usd=0.7,
        high_usd=high_usd,
        confidence_score=0.96,
        basis="prior",
        sample_count=3,
        phases=[],
        offer=None,
        refused=[],
        as_of=None,
        notes=[],
    )

    answer = answer_rental(told)

    assert (answer.projected_cost_usd, answer.high_usd) == (high_usd, high_usd)
    assert (answer.resource_impact, answer.warning, answer.confidence_score) == (impact, warning, 0.96)
    assert answer_rental(told, "A caveat.", confidence=0.8).confidence_score == 0.8
    assert (answer_rental(told, "A caveat.").warning or "").endswith("A caveat.")
