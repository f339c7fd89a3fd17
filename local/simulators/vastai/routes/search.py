"""Searching the market: `POST /bundles/` and `PUT /search/asks/`."""

from local.simulators.vastai.faults import VastaiFaultKind
from local.simulators.vastai.filters import FilterError, matches, sort_rows
from local.simulators.vastai.market import describe_listing
from local.simulators.vastai.wire import Json, JsonValue, VastAnswer, failure
from local.simulators.vastai.world import VastaiCall, World

MAX_OFFERS = 64
"""Most that one search returns, also with a higher limit."""

DEFAULT_DISK_GB = 8.0
"""In a price when `allocated_storage` is not given."""

_TYPES = {"on-demand", "ondemand", "bid", "interruptible", "reserved"}
_OPTIONS = {"order", "type", "limit", "allocated_storage", "disable_bundling"}
_WRONG_ORDER = "order must be a list of [field, direction]"
_LATER_FIELDS = {"direct_port_start", "direct_port_end", "nw_disk_avg_bw", "nw_disk_min_bw", "nw_disk_max_bw"}


def search(world: World, call: VastaiCall) -> VastAnswer:
    """Return the offers that fit."""
    try:
        query = _read_query(call)
        return VastAnswer(status=200, body={"offers": _find(world, call, query)})
    except (FilterError, ValueError, TypeError) as error:
        return failure(400, "invalid_request", str(error))


def gpu_names(world: World, _call: VastaiCall) -> VastAnswer:
    """Return the names of all GPUs; the official client asks before it parses its command line."""
    return VastAnswer(status=200, body={"gpu_names": [*world.market.gpu_names()]})


def _read_query(call: VastaiCall) -> Json:
    found: object = call.body.get("q", call.request.body)
    if not isinstance(found, dict):
        raise FilterError("Invalid json body")
    return found


def _find(world: World, call: VastaiCall, query: Json) -> list[JsonValue]:
    kind = query.get("type", "on-demand")
    if kind not in _TYPES:
        raise FilterError(f"{kind} is not a valid type")
    disk_gb = _read_number(query.get("allocated_storage"), DEFAULT_DISK_GB)
    rented = {contract.listing.offer.machine_id for contract in world.account.live.values()}
    rows = [
        describe_listing(
            listing,
            call.now,
            disk_gb=disk_gb,
            is_bid=kind in {"bid", "interruptible"},
            is_rented=listing.offer.machine_id in rented,
        )
        for listing in world.market.free(call.now)
    ]
    if not world.faults.take_effect(VastaiFaultKind.FILTERS_IGNORED, call.endpoint):
        conditions = {name: value for name, value in query.items() if name not in _OPTIONS}
        rows = [row for row in rows if _fits(row, conditions)]
    limit = int(_read_number(query.get("limit"), MAX_OFFERS))
    return [*sort_rows(rows, _read_order(query.get("order")))[: max(0, min(limit, MAX_OFFERS))]]


def _fits(row: Json, conditions: Json) -> bool:
    return all(matches(_value(row, name, condition), condition) for name, condition in conditions.items())


def _value(row: Json, name: str, condition: JsonValue) -> JsonValue:
    """Return the value that a filter of that name tests; not every name is a field of the row.

    Raises
    ------
    FilterError
        The name is unknown.
    """
    match name:
        case "verified":
            return row["verification"] == "verified"
        case "datacenter":
            hosting = row["hosting_type"]
            return isinstance(hosting, int) and hosting >= 1
        case "external":
            return bool(row["external"])
        case "geolocation":
            place = str(row["geolocation"] or "")
            return place[-2:] if _asks_for_codes(condition) else place
        case "id":
            # Observed: a filter on `id` matches nothing, one on `ask_contract_id` does.
            return None
    if name not in row and name not in _LATER_FIELDS:
        raise FilterError(f"{name} is not a valid search key")
    return row.get(name)


def _asks_for_codes(condition: JsonValue) -> bool:
    wanted = [value for value in condition.values() if value] if isinstance(condition, dict) else []
    texts = [text for value in wanted for text in (value if isinstance(value, list) else [value])]
    return all(isinstance(text, str) and len(text) == 2 for text in texts)  # noqa: PLR2004 # a country's code


def _read_number(value: JsonValue, default: float) -> float:
    return default if value is None or isinstance(value, (list, dict)) else float(value)


def _read_order(value: JsonValue) -> list[tuple[str, str]]:
    pairs = [] if value is None else value
    if not isinstance(pairs, list):
        raise FilterError(_WRONG_ORDER)
    order = []
    for pair in pairs:
        match pair:
            case [str(name), str(direction)]:
                order.append((name, direction))
            case _:
                raise FilterError(_WRONG_ORDER)
    return order
