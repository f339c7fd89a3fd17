"""What the provider charged, contract by contract, and when that is read and believed. Pure.

Charges come late, a row for each contract and day (UTC), rounded to tenths of a cent in each row. So they are
read on the day after a machine's end, and again each day until two readings agree, for `MOST_READINGS` days at
most.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

from rune.amounts import MICRO_USD_PER_USD
from rune.money.receipts import Charge, ChargeProblem, split
from rune.rentals.record import Rental

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


@dataclass(frozen=True, slots=True)
class Charges:
    """What the provider named in one reading.

    Attributes
    ----------
    by_contract
        Contracts of which a row could not be read are left out.
    last_days
        The latest day for which each was charged.
    labels
        Of those contracts whose charges name one.
    """

    by_contract: Mapping[int, Charge] = field(default_factory=dict)
    last_days: Mapping[int, date] = field(default_factory=dict)
    labels: Mapping[int, str] = field(default_factory=dict)

    def contracts_of(self, rental: Rental) -> frozenset[int]:
        """Return the charged contracts of a rental: its own, and all others with its label."""
        return frozenset(
            number
            for number in self.by_contract
            if number == rental.contract_id or self.labels.get(number) == rental.label
        )


@dataclass(frozen=True, slots=True)
class Reading:
    """What one reading says of one rental.

    Attributes
    ----------
    charge
        None where it is not known what was charged.
    is_final
        Whether it is not read again.
    """

    charge: Charge | None
    problem: ChargeProblem | None
    is_final: bool


def read_for(rental: Rental, charges: Charges | None) -> Reading:
    """Return what a reading says of a released rental.

    What was charged never falls: of two readings the higher one counts. It is final when two readings agree and
    hold the day on which the machine was destroyed.

    Parameters
    ----------
    charges
        None where the key may not read them.
    """
    is_last = rental.charge_reading_count + 1 >= MOST_READINGS
    known = rental.billed
    found = frozenset[int]() if charges is None else charges.contracts_of(rental)
    if charges is None or not found:
        problem = ChargeProblem.NOT_ALLOWED if charges is None else ChargeProblem.NOT_THERE
        return Reading(known, problem if known is None else None, is_last)
    charge = Charge(attempt=rental.attempt)
    for number in sorted(found):
        charge = charge.plus(charges.by_contract[number])
    last_day = max(charges.last_days[number] for number in found)
    ended_on = (rental.destroyed_at or rental.intended_at).astimezone(UTC).date()
    is_settled = known is not None and known.micro_usd == charge.micro_usd and last_day >= ended_on
    if known is not None and known.micro_usd > charge.micro_usd:
        charge = known
    return Reading(charge, None, is_settled or is_last)


def span_of(rentals: Iterable[Rental]) -> datetime:
    """Return from when charges must be asked for, to hold all of some rentals."""
    return min(rental.intended_at for rental in rentals) - BEFORE


def is_overcharged(rental: Rental, charge: Charge) -> bool:
    """Return whether an operator is to be told of a charge: it is higher than what was written, and than before."""
    over = charge.micro_usd - (rental.cost_micro_usd or 0)
    return over > TOLERANCE_MICRO_USD and over > rental.over_micro_usd


def add_up(rows: Iterable[Mapping[str, object]]) -> Charges:
    """Return what contracts were charged, from rows of several pages.

    A row may come twice, on two pages, and may have grown in between: the dearer one counts. Rows of anything else
    than a machine are left out.
    """
    found: dict[tuple[int, date], Charge] = {}
    unreadable: set[int] = set()
    labels: dict[int, str] = {}
    for row in rows:
        contract_id = _contract_of(row)
        if contract_id is None:
            continue
        try:
            day, charge = _day_of(row), _charge_of(row)
        except (ArithmeticError, KeyError, OSError, TypeError, ValueError):
            unreadable.add(contract_id)
            continue
        metadata = row.get("metadata")
        label = metadata.get("label") if isinstance(metadata, dict) else None
        if isinstance(label, str):
            labels[contract_id] = label
        key = contract_id, day
        if key not in found or found[key].micro_usd < charge.micro_usd:
            found[key] = charge
    sums: dict[int, Charge] = {}
    last_days: dict[int, date] = {}
    for (contract_id, day), charge in found.items():
        if contract_id not in unreadable:
            sums[contract_id] = sums.get(contract_id, Charge()).plus(charge)
            last_days[contract_id] = max(day, last_days.get(contract_id, day))
    return Charges(sums, last_days, labels)


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
