"""What the provider charged, contract by contract, and when that is read and believed. Pure.

Charges come late, a row for each contract and day (UTC), rounded to tenths of a cent in each row. So they are
read on the day after a machine's end, and again each day until two readings agree, for `MOST_READINGS` days at
most.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from enum import StrEnum

from rune.amounts import MICRO_USD_PER_USD
from rune.money.receipts import split

READ_EVERY = timedelta(days=1)
"""From a machine's end to the first reading of its charges, and from one reading to the next."""

MOST_READINGS = 7

TOLERANCE_MICRO_USD = 10_000
"""By so much, a cent, may the provider charge more than was written before an operator is told: charges are rounded
in each of a contract's rows."""

BEFORE = timedelta(days=1)
"""Charges are asked for from so long before a machine's order: a span that begins after a day's midnight leaves the
day out, and clocks differ."""

_SOURCE = "instance-"
_PARTS = {"disk": "disk", "bwd": "traffic", "bwu": "traffic"}
"""Of a row's items, by type; all others count as the GPU's."""


class ChargeProblem(StrEnum):
    """Why charges are not known, as a receipt says it."""

    NOT_ALLOWED = "charges_not_allowed"
    """The provider's key may not read them, for want of the scope `billing_read`."""
    NOT_THERE = "charges_not_there"
    """The provider has named no charge for the machine so far."""


@dataclass(frozen=True, slots=True)
class Charge:
    """What a contract was charged, in millionths of a dollar.

    Attributes
    ----------
    attempt
        Number of the job's attempt to rent that made the contract; 0 before that is known.
    """

    gpu_micro_usd: int
    disk_micro_usd: int
    traffic_micro_usd: int
    attempt: int = 0

    @property
    def micro_usd(self) -> int:
        """The sum."""
        return self.gpu_micro_usd + self.disk_micro_usd + self.traffic_micro_usd


@dataclass(frozen=True, slots=True)
class Charges:
    """What the provider named in one reading.

    Attributes
    ----------
    by_contract
        Contracts of which a row could not be read are left out.
    last_days
        The latest day for which each was charged.
    """

    by_contract: Mapping[int, Charge] = field(default_factory=dict)
    last_days: Mapping[int, date] = field(default_factory=dict)


def add_up(rows: Iterable[Mapping[str, object]]) -> Charges:
    """Return what contracts were charged, from rows of several pages.

    A row may come twice, on two pages, and may have grown in between: the dearer one counts. Rows of anything else
    than a machine are left out.
    """
    found: dict[tuple[int, date], Charge] = {}
    unreadable: set[int] = set()
    for row in rows:
        contract_id = _contract_of(row)
        if contract_id is None:
            continue
        try:
            day, charge = _day_of(row), _charge_of(row)
        except (ArithmeticError, KeyError, OSError, TypeError, ValueError):
            unreadable.add(contract_id)
            continue
        key = contract_id, day
        if key not in found or found[key].micro_usd < charge.micro_usd:
            found[key] = charge
    sums: dict[int, Charge] = {}
    last_days: dict[int, date] = {}
    for (contract_id, day), charge in found.items():
        if contract_id in unreadable:
            continue
        before = sums.get(contract_id, Charge(0, 0, 0))
        sums[contract_id] = Charge(
            before.gpu_micro_usd + charge.gpu_micro_usd,
            before.disk_micro_usd + charge.disk_micro_usd,
            before.traffic_micro_usd + charge.traffic_micro_usd,
        )
        last_days[contract_id] = max(day, last_days.get(contract_id, day))
    return Charges(sums, last_days)


def _contract_of(row: Mapping[str, object]) -> int | None:
    source = row.get("source")
    number = source.removeprefix(_SOURCE) if isinstance(source, str) else ""
    is_machine = isinstance(source, str) and source.startswith(_SOURCE)
    return int(number) if is_machine and number.isdecimal() else None


def _day_of(row: Mapping[str, object]) -> date:
    return datetime.fromtimestamp(int(float(str(row["start"]))), UTC).date()


def _charge_of(row: Mapping[str, object]) -> Charge:
    """Return the amount of a row in parts: rounded, its items need not add up to it."""
    weights = {"disk": 0, "traffic": 0, "gpu": 0}
    items = row.get("items")
    for item in items if isinstance(items, list) else ():
        weights[_PARTS.get(str(item["type"]), "gpu")] += max(0, _micro_usd(item["amount"]))
    disk, traffic, gpu = split(_micro_usd(row["amount"]), [*weights.values()])
    return Charge(gpu, disk, traffic)


def _micro_usd(amount: object) -> int:
    number = Decimal(str(amount))
    if isinstance(amount, bool) or not number.is_finite():
        raise InvalidOperation
    return int((number * MICRO_USD_PER_USD).to_integral_value(ROUND_HALF_UP))
