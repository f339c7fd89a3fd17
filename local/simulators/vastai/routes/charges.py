"""What the account was charged, contract by contract: `GET /charges/`.

Form and limits: vast-ai/docs, `auto_get_api_v0_charges` (August 2026). Amounts are rounded to a tenth of a cent and
come late, as users of the API report.
"""

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal

from local.simulators.vastai.bills import Bill
from local.simulators.vastai.contracts import Contract
from local.simulators.vastai.wire import Json, JsonValue, VastAnswer, failure, success
from local.simulators.vastai.world import VastaiCall, World

DEFAULT_PAGE_COUNT = 100
MAX_PAGE_COUNT = 500

_UNIT_USD = Decimal("0.001")
_NO_DAY_TEXT = "Must provide both 'day' gte and lte filters for instance charges"


@dataclass(frozen=True, slots=True)
class _Span:
    """Epoch seconds, both ends included."""

    since: float
    until: float


def charges(world: World, call: VastaiCall) -> VastAnswer:
    """Return a page of the contracts that cost something in a span of days, with what they cost in it."""
    query = call.request.query
    try:
        filters = json.loads(query.get("select_filters") or "{}")
        span = _Span(float(filters["day"]["gte"]), float(filters["day"]["lte"]))
        types = filters.get("type", {}).get("in", ["instance"])
        first = _read_token(query.get("after_token"))
        limit = int(query.get("limit") or DEFAULT_PAGE_COUNT)
    except (ValueError, TypeError, KeyError, AttributeError):
        return failure(400, "invalid_request", _NO_DAY_TEXT)
    known = min(span.until, call.now - world.settings.charges_lag_seconds)
    account = world.account
    bills = ((contract, account.bill(number, known)) for number, contract in account.instances.items())
    rows = [
        _describe(contract, bill, _Span(span.since, known))
        for contract, bill in bills
        if bill.created_at <= known and (bill.destroyed_at or known) >= span.since and "instance" in types
    ]
    rows.sort(key=_begin_of, reverse=str(query.get("latest_first", "true")).lower() != "false")
    page = rows[first : first + max(1, min(limit, MAX_PAGE_COUNT))]
    last = first + len(page)
    return success(
        count=len(page),
        total=len(rows),
        results=[*page],
        next_token=_write_token(last) if last < len(rows) else None,
    )


def _describe(contract: Contract, bill: Bill, span: _Span) -> Json:
    before = contract.bill(span.since) if bill.created_at < span.since else None
    # Traffic counts in the span in which the contract ends, or in the latest one.
    ends_in_span = (bill.destroyed_at or span.until) <= span.until
    traffic = (bill.download_usd, bill.upload_usd) if ends_in_span else (Decimal(0), Decimal(0))
    parts = {
        "gpu": bill.gpu_usd - (before.gpu_usd if before else 0),
        "disk": bill.disk_usd - (before.disk_usd if before else 0),
        "bwd": traffic[0],
        "bwu": traffic[1],
    }
    begin = max(bill.created_at, span.since)
    end = min(bill.destroyed_at or span.until, span.until)
    offer = contract.listing.offer
    day = datetime.fromtimestamp(end, UTC).date()
    items: list[JsonValue] = [
        {
            "start": begin,
            "end": end,
            "type": name,
            "source": None,
            "description": f"{name} {day}",
            "amount": _rounded(usd),
            "metadata": {},
            "items": [],
        }
        for name, usd in parts.items()
    ]
    return {
        "start": begin,
        "end": end,
        "type": "instance",
        "source": f"instance-{contract.contract_id}",
        "description": f"Instance {contract.contract_id}: {offer.gpu_count}x {offer.gpu_name}",
        # Of the exact sum: the rounded items need not add up to it.
        "amount": _rounded(sum(parts.values(), Decimal(0))),
        "metadata": {"label": contract.label},
        "items": items,
    }


def _rounded(usd: Decimal) -> float:
    return float(usd.quantize(_UNIT_USD, ROUND_HALF_UP))


def _begin_of(row: Json) -> float:
    begin = row["start"]
    return begin if isinstance(begin, float) else 0.0


def _write_token(first: int) -> str:
    return base64.urlsafe_b64encode(json.dumps({"values": {"id": first}}).encode()).decode()


def _read_token(text: str | None) -> int:
    return int(json.loads(base64.urlsafe_b64decode(text.encode()))["values"]["id"]) if text else 0
