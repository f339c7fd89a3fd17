"""What a run costs on a cloud or on the caller's machine, or a refusal; never 0.00 for something that has a price.

`confidence_score` is how often a run costs no more than the projection. RUNE's clients do not spend below 0.95, so
each number below decides whether they may:

0.95
    Everything that scales is bounded: on the caller's own machine the sum follows from the caller's numbers.
0.80
    Something that costs money has no bound: the download of a model of unknown size, the wear of a machine without
    a purchase price, or a cloud's disk and traffic. A client stops; a person reads the warning and may go on.
"""

from decimal import ROUND_CEILING, Decimal

from rune.amounts import MICRO_USD_PER_USD
from rune.contracts.estimates import (
    CostEstimationRequest,
    CostEstimationResponse,
    ListPrice,
    RentalEstimate,
    ResourceImpact,
)
from rune.errors import InvalidRequestError
from rune.money.catalog import SizedModel
from rune.money.cloud_prices import Cloud, CloudPrice, find_cloud_price
from rune.money.sizing import SMALLEST_MODEL, size_model

BOUNDED_CONFIDENCE = 0.95
UNBOUNDED_CONFIDENCE = 0.80

SPEND_WARNING_USD = Decimal("5.00")
"""Above it a person is warned, as RUNE's clients require; also where `high` begins."""

MEDIUM_IMPACT_USD = Decimal("1.00")

MAX_PROJECTION_USD = Decimal(1_000_000_000)
"""Above it an estimate is refused: the bounds of the single fields allow a lifespan near zero."""

_STEP_USD = Decimal("0.0001")
_STEP_KWH = Decimal("0.000001")
_SECONDS_PER_HOUR = 3600
_HOURS_PER_YEAR = 8760
_WATTS_PER_KILOWATT = 1000

_RENTAL_FIELDS = ("max_cost_usd", "template_hash")
"""Clients send the others with values of their own, whichever driver is chosen."""

_DRIVER_FIELDS = ("vastai", "aws", "gcp", "azure", "local_hardware")


def estimate_cost(request: CostEstimationRequest) -> CostEstimationResponse:
    """Return what a run costs on a cloud, by list prices, or on the caller's machine, by the caller's numbers.

    What a job costs that rents is in `rune.workflows.rental.estimate`.

    Raises
    ------
    InvalidRequestError
        With one of these as `specific_code`: `cost_driver_missing`, `cost_driver_ambiguous` (a run uses one
        machine), `price_unknown` (no machine of a cloud in the table holds the model), `model_size_unknown`,
        `estimate_input_missing` (a number without which the cost has no bound), or
        `estimate_out_of_range`.
    """
    match choose_driver(request):
        case "aws" | "gcp" | "azure" as cloud:
            return _estimate_cloud(request, cloud)
        case _:
            return _estimate_own_machine(request)


def choose_driver(request: CostEstimationRequest) -> str:
    """Return the field of the cost driver; raises InvalidRequestError where none is true, or more than one."""
    chosen = [name for name in _DRIVER_FIELDS if getattr(request, name)]
    if not chosen:
        raise InvalidRequestError(
            f"No cost driver is chosen: set one of {', '.join(_DRIVER_FIELDS)} to true.",
            pointer="",
            code="cost_driver_missing",
        )
    if len(chosen) > 1:
        raise InvalidRequestError(
            f"Several cost drivers are chosen ({', '.join(chosen)}), and a run uses one: ask for each alone.",
            pointer=f"/{chosen[1]}",
            code="cost_driver_ambiguous",
        )
    return chosen[0]


def check_rental(request: CostEstimationRequest) -> None:
    """Raise InvalidRequestError where Vast.ai's terms name no price."""
    _required(request.max_dph, "max_dph")


def answer_rental(
    estimate: RentalEstimate, *caveats: str, confidence: float | None = None
) -> CostEstimationResponse:
    """Return the answer for a job that rents: its high figure is the projection.

    Parameters
    ----------
    caveats
        What a person should know besides.
    confidence
        Instead of the estimate's.
    """
    projected_usd = Decimal(str(estimate.high_usd))
    return CostEstimationResponse(
        projected_cost_usd=estimate.high_usd,
        cost_driver="vastai",
        resource_impact=_impact(projected_usd),
        confidence_score=estimate.confidence_score if confidence is None else confidence,
        cap_confidence_score=estimate.cap_confidence_score,
        warning=_warning(projected_usd, " ".join([*caveats, *estimate.notes]) or None),
        low_usd=estimate.low_usd,
        likely_usd=estimate.likely_usd,
        high_usd=estimate.high_usd,
        phases=estimate.phases,
        offer=estimate.offer,
        refused=estimate.refused,
        as_of=estimate.as_of,
        sample_count=estimate.sample_count,
        basis=estimate.basis,
    )


def _estimate_cloud(request: CostEstimationRequest, cloud: Cloud) -> CostEstimationResponse:
    model = request.model or SMALLEST_MODEL.name
    price = find_cloud_price(cloud, _size(model, request.min_vram_mb).vram_mb)
    if price is None:
        raise InvalidRequestError(
            f"No machine of {cloud} in RUNE's table of prices holds {model!r}.",
            pointer=f"/{cloud}",
            code="price_unknown",
        )
    usd_per_hour = Decimal(price.micro_usd_per_hour) / MICRO_USD_PER_USD
    projected_usd = _projected_usd(usd_per_hour * _hours(request))
    caveats = [_list_price_caveat(price, model), *_assumptions(request, cloud)]
    return CostEstimationResponse(
        projected_cost_usd=float(projected_usd),
        cost_driver=cloud,
        resource_impact=_impact(projected_usd),
        confidence_score=UNBOUNDED_CONFIDENCE,
        warning=_warning(projected_usd, " ".join(caveats)),
        basis="list_price",
        list_price=ListPrice(
            region=price.region,
            instance=price.instance,
            gpu=price.gpu,
            gpu_count=price.gpu_count,
            usd_per_hour=float(usd_per_hour),
            as_of=price.as_of,
            source=price.source,
        ),
    )


def _size(model: str, min_vram_mb: int | None) -> SizedModel:
    try:
        return size_model(model, min_vram_mb)
    except InvalidRequestError:
        raise InvalidRequestError(
            f"RUNE does not know how large {model!r} is, so it cannot say which machine holds it: say in"
            " min_vram_mb how much GPU memory it needs.",
            pointer="/model",
            code="model_size_unknown",
        ) from None


def _list_price_caveat(price: CloudPrice, model: str) -> str:
    return (
        f"This is the list price of {price.instance} in {price.region} as of {price.as_of}, the cheapest in"
        f" RUNE's table that holds {model}. Disk, traffic and taxes are extra. RUNE rents nothing there."
    )


def _estimate_own_machine(request: CostEstimationRequest) -> CostEstimationResponse:
    hours = _hours(request)
    watts = _required(request.local_tdp_watts, "local_tdp_watts")
    energy_kwh = watts * hours / _WATTS_PER_KILOWATT
    energy_usd = energy_kwh * _required(request.local_energy_rate_kwh, "local_energy_rate_kwh")
    wear_usd_per_hour = _wear_usd_per_hour(request)
    projected_usd = _projected_usd(energy_usd + (wear_usd_per_hour or 0) * hours)
    caveat = "The wear of the machine is not counted: give its purchase price and its lifespan."
    caveats = [*([caveat] if wear_usd_per_hour is None else []), *_assumptions(request, "local_hardware")]
    return CostEstimationResponse(
        projected_cost_usd=float(projected_usd),
        cost_driver="local",
        resource_impact=_impact(projected_usd),
        local_energy_kwh=float(energy_kwh.quantize(_STEP_KWH, ROUND_CEILING)),
        confidence_score=UNBOUNDED_CONFIDENCE if wear_usd_per_hour is None else BOUNDED_CONFIDENCE,
        warning=_warning(projected_usd, " ".join(caveats) or None),
    )


def _wear_usd_per_hour(request: CostEstimationRequest) -> Decimal | None:
    """Return straight-line depreciation per hour of the lifespan; None where the request names neither."""
    if not request.local_hardware_purchase_price and not request.local_hardware_lifespan_years:
        return None
    lifespan_years = _required(request.local_hardware_lifespan_years, "local_hardware_lifespan_years")
    if request.local_hardware_purchase_price is None:
        raise _missing("local_hardware_purchase_price", "be given beside a lifespan, as 0 if written off")
    return _exact(request.local_hardware_purchase_price) / (lifespan_years * _HOURS_PER_YEAR)


def _projected_usd(cost_usd: Decimal) -> Decimal:
    if cost_usd > MAX_PROJECTION_USD:
        raise InvalidRequestError(
            f"The projection is above {MAX_PROJECTION_USD:,} USD, so one of the numbers cannot be meant.",
            pointer="",
            code="estimate_out_of_range",
        )
    # Upwards: a bound must not be rounded down, and a cost never shows as 0.
    return cost_usd.quantize(_STEP_USD, ROUND_CEILING)


def _warning(projected_usd: Decimal, caveat: str | None) -> str | None:
    # As in the field, which is exact to a hundredth of a cent.
    price = f"This may cost {_shown(projected_usd)} USD."
    sentences = [price] if projected_usd > SPEND_WARNING_USD else []
    return " ".join([*sentences, *filter(None, [caveat])]) or None


def _shown(usd: Decimal) -> str:
    """Return a sum as its field has it, with two digits of cents at least."""
    whole, _, parts = f"{usd:f}".partition(".")
    return f"{whole}.{parts.rstrip('0'):0<2}"


def _assumptions(request: CostEstimationRequest, driver: str) -> list[str]:
    """Return what is assumed, and what of the request changes nothing where no machine is rented."""
    found = list[str]()
    if "estimated_duration_seconds" not in request.model_fields_set:
        found.append("No estimated_duration_seconds is named, so this is for an hour.")
    unused = [name for name in _RENTAL_FIELDS if getattr(request, name)]
    if unused:
        found.append(f"{', '.join(unused)} changes nothing for {driver}, where RUNE rents nothing.")
    return found


def _impact(projected_usd: Decimal) -> ResourceImpact:
    if projected_usd > SPEND_WARNING_USD:
        return "high"
    return "low" if projected_usd < MEDIUM_IMPACT_USD else "medium"


def _hours(request: CostEstimationRequest) -> Decimal:
    return Decimal(request.estimated_duration_seconds) / _SECONDS_PER_HOUR


def _required(value: float | None, field: str) -> Decimal:
    if not value:
        raise _missing(field, "be above 0")
    return _exact(value)


def _missing(field: str, rule: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"{field} must {rule} for this estimate.", pointer=f"/{field}", code="estimate_input_missing"
    )


def _exact(value: float) -> Decimal:
    """Return the number as the caller wrote it: 2.3, not the nearest binary fraction."""
    return Decimal(repr(value))
