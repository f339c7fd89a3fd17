"""What the account was charged, contract by contract: `GET /charges/`.

Form and limits: vast-ai/docs, `auto_get_api_v0_charges` (August 2026). As users of the API report, there is a row
for each contract and day (UTC), whose `start` and `end` are that day's midnight; amounts are rounded to tenths of a
cent in each row, and come late; `count`, `total` and `limit` are of contracts, so that all rows of one are on one
page. A span that begins after midnight leaves that day out. `charges_are_messy` is what nobody has reported and the
form allows.
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
DAY_SECONDS = 86_400

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
    known_until = call.now - world.settings.charges_lag_seconds
    settings = world.settings
    charged = []
    for number, contract in world.account.instances.items():
        days = _days_of(contract, world.account.bill(number, known_until), span, known_until)
        rows = [
            _describe(
                contract,
                contract.bill(day.until),
                day,
                is_last=is_last,
                has_label=settings.charges_tell_labels,
            )
            for day, is_last in days
            if "instance" in types
        ]
        if rows:
            charged.append(rows)
    if str(query.get("latest_first", "true")).lower() != "false":
        charged.reverse()
    page = charged[first : first + max(1, min(limit, MAX_PAGE_COUNT))]
    last = first + len(page)
    results = [row for rows in page for row in rows]
    if settings.charges_are_messy:
        again = charged[first - 1] if first else []
        results = [_as_texts(row) for row in reversed([*again, *results])]
    return success(
        count=len(page),
        total=len(charged),
        results=[*results],
        next_token=_write_token(last) if last < len(charged) else None,
    )


def _days_of(contract: Contract, bill: Bill, span: _Span, known_until: float) -> list[tuple[_Span, bool]]:
    """Return the days in the span of a contract, as far as they are charged, and whether each is its last."""
    end = min(bill.destroyed_at or known_until, known_until)
    days = []
    midnight = contract.created_at // DAY_SECONDS * DAY_SECONDS
    while contract.created_at <= known_until and midnight <= end:
        if span.since <= midnight <= span.until:
            day = _Span(midnight, min(midnight + DAY_SECONDS, known_until))
            days.append((day, end <= day.until))
        midnight += DAY_SECONDS
    return days


def _describe(contract: Contract, bill: Bill, span: _Span, *, is_last: bool, has_label: bool) -> Json:
    before = contract.bill(span.since) if bill.created_at < span.since else None
    # Traffic counts on the day on which the contract ends, or on the latest one.
    traffic = (bill.download_usd, bill.upload_usd) if is_last else (Decimal(0), Decimal(0))
    parts = {
        "gpu": bill.gpu_usd - (before.gpu_usd if before else 0),
        "disk": bill.disk_usd - (before.disk_usd if before else 0),
        "bwd": traffic[0],
        "bwu": traffic[1],
    }
    midnight = int(span.since)
    offer = contract.listing.offer
    day = datetime.fromtimestamp(midnight, UTC).date()
    items: list[JsonValue] = [
        {
            "start": midnight,
            "end": midnight,
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
        "start": midnight,
        "end": midnight,
        "type": "instance",
        "source": f"instance-{contract.contract_id}",
        "description": f"Instance {contract.contract_id}: {offer.gpu_count}x {offer.gpu_name}",
        # Of the exact sum: the rounded items need not add up to it.
        "amount": _rounded(sum(parts.values(), Decimal(0))),
        "metadata": {"label": contract.label} if has_label else {},
        "items": items,
    }


def _as_texts(row: Json) -> Json:
    """Return a row whose amounts are texts."""
    items = row["items"]
    told: list[JsonValue] = [
        {**item, "amount": str(item["amount"])}
        for item in (items if isinstance(items, list) else ())
        if isinstance(item, dict)
    ]
    return {**row, "amount": str(row["amount"]), "items": told}


def _rounded(usd: Decimal) -> float:
    return float(usd.quantize(_UNIT_USD, ROUND_HALF_UP))


def _write_token(first: int) -> str:
    return base64.urlsafe_b64encode(json.dumps({"values": {"id": first}}).encode()).decode()


def _read_token(text: str | None) -> int:
    return int(json.loads(base64.urlsafe_b64decode(text.encode()))["values"]["id"]) if text else 0
