"""Reading instances: one, a page of the list, v0's list, logs."""

import base64
import json
from typing import Any

from local.simulators.vastai.contracts import Contract
from local.simulators.vastai.faults import Counted, VastaiFaultKind
from local.simulators.vastai.filters import FilterError, compare_rows, matches, sort_rows
from local.simulators.vastai.views import STORED_COLUMNS, describe_instance, select_columns
from local.simulators.vastai.wire import Json, JsonValue, VastAnswer, failure, success
from local.simulators.vastai.world import VastaiCall, World

PAGE_SIZE = 25
"""The default and the maximum."""

_SMALLEST_PAGE = 5
_FILTER_COLUMNS = ("actual_status", "gpu_name", "label", "verification")
_DEFAULT_TAIL = 1_000


class _TokenError(Exception):
    """An `after_token` that cannot be read."""


def show(world: World, call: VastaiCall) -> VastAnswer:
    """Return one instance under `instances`; null for one that does not exist or is not readable yet."""
    contract = world.find(call.number)
    if contract is not None and contract.hidden_reads_count > 0:
        contract.hidden_reads_count -= 1
        contract = None
    elif contract is not None and _is_hidden(world, call, contract):
        contract = None
    if contract is None:
        return VastAnswer(status=200, body={"instances": None})
    credit_usd = float(world.account.credit_usd(call.now))
    return VastAnswer(
        status=200, body={"instances": describe_instance(contract, call.now, credit_usd=credit_usd)}
    )


def old_list(_world: World, _call: VastaiCall) -> VastAnswer:
    """Answer that v0's list is gone."""
    text = "/api/v0/instances/ is deprecated. Use /api/v1/instances/ instead."
    return failure(410, "deprecated_endpoint", text)


def list_instances(world: World, call: VastaiCall) -> VastAnswer:
    """Return a page of the instances that fit."""
    query = call.request.query
    try:
        filters = _read_json(query.get("select_filters"), dict, {})
        columns = [str(name) for name in _read_json(query.get("select_cols"), list, ["*"])]
        order = _read_order(_read_json(query.get("order_by"), list, []))
        limit = _read_limit(query.get("limit"))
        _check_columns([*filters, *(name for name, _ in order)])
        cursor = _read_token(query.get("after_token"))
        listed = [contract for contract in world.account.live.values() if contract.listed_at <= call.now]
        rows = sort_rows(_fitting(world, call, listed, filters), order)
        rest = rows if cursor is None else [row for row in rows if compare_rows(row, cursor, order) > 0]
    except _TokenError:
        return failure(400, "invalid_token", "after_token is not valid")
    except FilterError as error:
        return failure(400, "invalid_request", str(error))
    total: Json = {"total_instances": len(rows)}
    if fault := world.faults.take_effect(VastaiFaultKind.ROWS_MISSING, call.endpoint):
        shown_count = 0 if fault.rows_count is None else max(0, len(rest) - fault.rows_count)
        if fault.counted is Counted.LOWERED:
            total["total_instances"] = len(rows) - len(rest) + shown_count
            world.hid_rows_at = call.now
        if fault.counted is Counted.ABSENT:
            del total["total_instances"]
        rest = rest[:shown_count]
    page = rest[:limit]
    return success(
        instances_found=len(page),
        **total,
        label_counts=_count_labels(listed),
        next_token=_write_token(page[-1], order) if len(rest) > len(page) else None,
        instances=[select_columns(row, columns) for row in page],
    )


def filters(world: World, call: VastaiCall) -> VastAnswer:
    """Return each combination of values by which a list can be filtered."""
    rows = _fitting(world, call, list(world.account.live.values()), {})
    combinations: dict[tuple[str, ...], Json] = {}
    for row in rows:
        combination: Json = {name: row[name] for name in _FILTER_COLUMNS}
        combinations[tuple(str(value) for value in combination.values())] = combination
    return VastAnswer(status=200, body={"filters": [*combinations.values()]})


def request_logs(world: World, call: VastaiCall) -> VastAnswer:
    """Return where an instance's log will appear; that address answers 404 until then."""
    contract = world.find(call.number)
    if contract is None:
        return failure(404, "invalid_id", f"Instance {call.number} not found.")
    tail = call.body.get("tail", _DEFAULT_TAIL)
    try:
        tail_count = int(tail) if isinstance(tail, (int, float, str)) else _DEFAULT_TAIL
    except ValueError:
        return failure(400, "invalid_args", "tail must be a number")
    path = world.logs.request(contract, tail_count, call.now)
    return success(result_url=f"{call.request.base_url}{path}", msg="Logs requested.")


def _is_hidden(world: World, call: VastaiCall, contract: Contract) -> bool:
    machine_id = contract.listing.offer.machine_id
    fault = world.faults.take_effect(
        VastaiFaultKind.NOT_SHOWN, call.endpoint, machine_id, contract.contract_id
    )
    return fault is not None


def _fitting(world: World, call: VastaiCall, listed: list[Contract], filters: Json) -> list[Json]:
    credit_usd = float(world.account.credit_usd(call.now))
    rows = [describe_instance(contract, call.now, credit_usd=credit_usd) for contract in listed]
    return [row for row in rows if all(matches(row[name], condition) for name, condition in filters.items())]


def _count_labels(listed: list[Contract]) -> Json:
    counts: dict[str, int] = {}
    for contract in listed:
        if contract.label is not None:
            counts[contract.label] = counts.get(contract.label, 0) + 1
    return {**counts}


def _check_columns(names: list[str]) -> None:
    for name in names:
        if name not in STORED_COLUMNS:
            raise FilterError(f"{name} is not a valid search key")


def _read_json[T: (dict[str, Any], list[Any])](text: str | None, kind: type[T], default: T) -> T:
    if not text:
        return default
    try:
        value = json.loads(text)
    except ValueError:
        raise FilterError("Invalid json in the query") from None
    if not isinstance(value, kind):
        raise FilterError(f"expected a JSON {kind.__name__} in the query")
    return value


def _read_order(items: list[JsonValue]) -> list[tuple[str, str]]:
    order = []
    for item in items:
        if not isinstance(item, dict):
            raise FilterError("order_by must be a list of objects")
        order.append((str(item.get("col")), str(item.get("dir", "asc"))))
    return order if any(name == "id" for name, _ in order) else [*order, ("id", "asc")]


def _read_limit(text: str | None) -> int:
    if text is None:
        return PAGE_SIZE
    try:
        limit = int(text)
    except ValueError:
        raise FilterError("limit must be a number") from None
    return min(limit, PAGE_SIZE) if limit > 0 else _SMALLEST_PAGE


def _write_token(row: Json, order: list[tuple[str, str]]) -> str:
    values = {name: row[name] for name, _ in order}
    return base64.urlsafe_b64encode(json.dumps({"values": values}).encode()).decode()


def _read_token(text: str | None) -> Json | None:
    if not text:
        return None
    try:
        values = json.loads(base64.urlsafe_b64decode(text.encode()))["values"]
    except (ValueError, KeyError, TypeError):
        raise _TokenError from None
    if not isinstance(values, dict) or "id" not in values:
        raise _TokenError
    return values
