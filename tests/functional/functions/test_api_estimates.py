from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from rune.services.estimates import NO_MODEL, NO_SIZE, NO_TIME
from tests.functional.functions.asking import Response, a_refusal, a_wrong_field, assert_problem, post

if TYPE_CHECKING:
    from tests.cloud import Cloud

RENTAL: dict[str, object] = {
    "vastai": True,
    "min_dph": 0.0,
    "max_dph": 3.0,
    "model": "llama3.1:8b",
    "estimated_duration_seconds": 3600,
}
OWN: dict[str, object] = {
    "local_hardware": True,
    "local_tdp_watts": 350.0,
    "local_energy_rate_kwh": 0.3,
    "local_hardware_purchase_price": 2000.0,
    "local_hardware_lifespan_years": 4.0,
    "estimated_duration_seconds": 3600,
}
AS_CLIENTS_SEND_IT: dict[str, object] = {
    **RENTAL,
    "aws": False,
    "gcp": False,
    "azure": False,
    "local_hardware": False,
    "min_dph": 2.3,
    "local_tdp_watts": 0.0,
    "local_energy_rate_kwh": 0.0,
    "local_hardware_purchase_price": 0.0,
    "local_hardware_lifespan_years": 0.0,
}
UNSEEN = (
    "No search has seen the market for this yet, so this is the most that the job's limits allow. The first job"
    " that rents a machine of this size leaves what its search sees, and estimates are made of that."
)
HOUR = "No estimated_duration_seconds is named, so this is for an hour."
NO_WEAR = "The wear of the machine is not counted: give its purchase price and its lifespan."


def estimate(api: ModuleType, body: object) -> Response:
    return post(api, body, path="/v1/estimates")


def an_estimate(**overrides: object) -> dict[str, object]:
    return {
        "projected_cost_usd": 3.91,
        "cost_driver": "vastai",
        "resource_impact": "medium",
        "local_energy_kwh": 0.0,
        "confidence_score": 0.95,
        "cap_confidence_score": None,
        "warning": UNSEEN,
        "list_price": None,
        "low_usd": None,
        "likely_usd": None,
        "high_usd": 3.91,
        "phases": [],
        "offer": None,
        "refused": [],
        "as_of": None,
        "sample_count": 0,
        "basis": "limits",
        **overrides,
    }


# 350 W for an hour are 0.35 kWh, at 0.30 USD; 2000 USD over 4 years of 8760 hours are 0.0571 USD an hour.
OWN_ESTIMATE = an_estimate(
    projected_cost_usd=0.1621,
    cost_driver="local",
    resource_impact="low",
    local_energy_kwh=0.35,
    warning=None,
    high_usd=None,
    basis="own_numbers",
)
ESTIMATES: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "as specified": (RENTAL, an_estimate()),
    "as clients send it": (AS_CLIENTS_SEND_IT, an_estimate()),
    "least": ({"vastai": True, "model": "llama3.1:8b"}, an_estimate(warning=f"{NO_TIME} {UNSEEN}")),
    "a model of unknown size": (
        {**RENTAL, "model": "my:own"},
        an_estimate(
            projected_cost_usd=10.0,
            high_usd=10.0,
            resource_impact="high",
            confidence_score=0.8,
            warning=f"This may cost 10.00 USD. {NO_SIZE}",
        ),
    ),
    "no model": ({"vastai": True, "model": ""}, an_estimate(warning=f"{NO_MODEL} {NO_TIME} {UNSEEN}")),
    # Dearer by the hour than the job may cost in all.
    "expensive": (
        {**RENTAL, "max_dph": 9.5},
        an_estimate(
            projected_cost_usd=10.0,
            high_usd=10.0,
            resource_impact="high",
            warning=f"This may cost 10.00 USD. {UNSEEN}",
        ),
    ),
    "with a cap": (
        {**RENTAL, "max_cost_usd": 0.5},
        an_estimate(projected_cost_usd=0.5, high_usd=0.5, resource_impact="low"),
    ),
    "another cloud": (
        {"azure": True, "region": "westeurope", "model": "command-r:35b"},
        an_estimate(
            projected_cost_usd=3.673,
            cost_driver="azure",
            confidence_score=0.8,
            high_usd=None,
            basis="list_price",
            warning=(
                "This is the list price of Standard_NC24ads_A100_v4 in eastus as of 2026-11-09, the cheapest"
                " in RUNE's table that holds command-r:35b. Disk, traffic and taxes are extra. "
                f"RUNE rents nothing there. {HOUR}"
            ),
            list_price={
                "region": "eastus",
                "instance": "Standard_NC24ads_A100_v4",
                "gpu": "A100 PCIe",
                "gpu_count": 1,
                "usd_per_hour": 3.673,
                "as_of": "2026-11-09",
                "source": "https://azure.microsoft.com/pricing/details/virtual-machines/linux/",
            },
        ),
    ),
    "own machine": (OWN, OWN_ESTIMATE),
    "own machine without wear": (
        {key: OWN[key] for key in ("local_hardware", "local_tdp_watts", "local_energy_rate_kwh")},
        {
            **OWN_ESTIMATE,
            "projected_cost_usd": 0.105,
            "confidence_score": 0.8,
            "warning": f"{NO_WEAR} {HOUR}",
        },
    ),
    "own machine written off": (
        {**OWN, "local_hardware_purchase_price": 0.0},
        {**OWN_ESTIMATE, "projected_cost_usd": 0.105},
    ),
}


@pytest.mark.parametrize(("body", "document"), ESTIMATES.values(), ids=ESTIMATES.keys())
def test_estimate_is_the_most_that_a_run_may_cost_when_the_market_is_not_known(
    body: dict[str, object], document: dict[str, object], api: ModuleType, cloud: Cloud
) -> None:
    response = estimate(api, body)

    assert (response.status, response.document) == (200, document)
    assert set(cloud.operations) <= {"GetItem", "Query"}


def missing(field: str, rule: str = "be above 0") -> dict[str, object]:
    return a_refusal("estimate_input_missing", f"/{field}", f"{field} must {rule} for this estimate.")


def unpriced(driver: str) -> dict[str, object]:
    sentence = f"No machine of {driver} in RUNE's table of prices holds 'huge:2000b'."
    return a_refusal("price_unknown", f"/{driver}", sentence)


NO_DRIVER = "No cost driver is chosen: set one of vastai, aws, gcp, azure, local_hardware to true."
REFUSED: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "nothing": ({}, a_refusal("cost_driver_missing", "", NO_DRIVER)),
    "all false": ({**RENTAL, "vastai": False}, a_refusal("cost_driver_missing", "", NO_DRIVER)),
    "two": (
        {**RENTAL, **OWN},
        a_refusal(
            "cost_driver_ambiguous",
            "/local_hardware",
            "Several cost drivers are chosen (vastai, local_hardware), and a run uses one: ask for each alone.",
        ),
    ),
    "aws": ({"aws": True, "model": "huge:2000b"}, unpriced("aws")),
    "gcp": ({"gcp": True, "model": "huge:2000b"}, unpriced("gcp")),
    "azure": ({"azure": True, "model": "huge:2000b"}, unpriced("azure")),
    "prices crossed": (
        {**RENTAL, "min_dph": 3.5},
        a_wrong_field("", "min_dph (3.5) is above max_dph (3)."),
    ),
    "no cap": ({**RENTAL, "max_dph": 0.0}, missing("max_dph")),
    "no power": ({**OWN, "local_tdp_watts": None}, missing("local_tdp_watts")),
    "power of nothing": ({**OWN, "local_tdp_watts": 0.0}, missing("local_tdp_watts")),
    "no rate": ({**OWN, "local_energy_rate_kwh": None}, missing("local_energy_rate_kwh")),
    "no lifespan": ({**OWN, "local_hardware_lifespan_years": 0.0}, missing("local_hardware_lifespan_years")),
    "no price": (
        {**OWN, "local_hardware_purchase_price": None},
        missing("local_hardware_purchase_price", "be given beside a lifespan, as 0 if written off"),
    ),
    "out of range": (
        {**OWN, "local_hardware_purchase_price": 1e8, "local_hardware_lifespan_years": 1e-9},
        a_refusal(
            "estimate_out_of_range",
            "",
            "The projection is above 1,000,000,000 USD, so one of the numbers cannot be meant.",
        ),
    ),
}


@pytest.mark.parametrize(("body", "problem"), REFUSED.values(), ids=REFUSED.keys())
def test_estimate_is_refused_where_the_cost_has_no_bound(
    body: dict[str, object], problem: dict[str, object], api: ModuleType, cloud: Cloud
) -> None:
    assert_problem(estimate(api, body), problem)


WRONG: dict[str, tuple[object, dict[str, object]]] = {
    "unknown field": (
        {**RENTAL, "max_dhp": 1},
        a_wrong_field("/max_dhp", "There is no such field. Did you mean 'max_dph'?"),
    ),
    "text for a number": (
        {**RENTAL, "max_dph": "3.0"},
        a_wrong_field(
            "/max_dph", "Input should be a valid number; you sent a text. Write the number without quotes."
        ),
    ),
    "half a second": (
        {**RENTAL, "estimated_duration_seconds": 0.5},
        a_wrong_field(
            "/estimated_duration_seconds", "Input should be a valid integer; you sent the number 0.5."
        ),
    ),
    "no time": (
        {**RENTAL, "estimated_duration_seconds": -1},
        a_wrong_field(
            "/estimated_duration_seconds", "Input should be greater than or equal to 1; you sent -1."
        ),
    ),
    "a month and a second": (
        {**RENTAL, "estimated_duration_seconds": 2_592_001},
        a_wrong_field(
            "/estimated_duration_seconds", "Input should be less than or equal to 2592000; you sent 2592001."
        ),
    ),
    "negative price": (
        {**RENTAL, "min_dph": -0.1},
        a_wrong_field("/min_dph", "Input should be greater than or equal to 0; you sent -0.1."),
    ),
    "long name": (
        {**RENTAL, "model": "m" * 257},
        a_wrong_field("/model", "String should have at most 256 characters."),
    ),
}


@pytest.mark.parametrize(("body", "problem"), WRONG.values(), ids=WRONG.keys())
def test_estimate_says_which_field_is_wrong_and_touches_nothing(
    body: object, problem: dict[str, object], api: ModuleType, cloud: Cloud
) -> None:
    assert_problem(estimate(api, body), problem)
    assert cloud.calls == []
