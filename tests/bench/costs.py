"""What AWS bills for calls: units from the sizes of items, dollars from units. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from decimal import Decimal
from math import ceil
from typing import Any

from rune.money.aws_prices import price_of

type Item = Mapping[str, Mapping[str, Any]]
"""A row as DynamoDB takes it, such as `{"pk": {"S": "a"}}`."""

WRITE_UNIT_BYTES = 1024
READ_UNIT_BYTES = 4096
"""https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html"""

REQUESTS_PER_MESSAGE = 3
"""SendMessage, and the ReceiveMessage and DeleteMessage that Lambda makes for it."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What some calls used.

    Attributes
    ----------
    write_units, index_units
        Write request units of the table, and of its indexes.
    read_units
        Read request units of both.
    messages
        Sent to a lane or to the notifier; each is `REQUESTS_PER_MESSAGE` of the `sqs_requests`.
    """

    calls: int = 0
    write_units: int = 0
    index_units: int = 0
    read_units: Decimal = Decimal(0)
    messages: int = 0
    sqs_requests: int = 0
    s3_puts: int = 0
    s3_gets: int = 0
    bus_events: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(mine + others for mine, others in zip(astuple(self), astuple(other), strict=True)))

    def __sub__(self, other: Usage) -> Usage:
        return self + other.times(-1)

    def times(self, count: int) -> Usage:
        """Return what so many of these use."""
        return Usage(*(amount * count for amount in astuple(self)))

    def divided(self, count: int) -> Usage:
        """Return the part of one of so many that used the same; raises ValueError where they did not."""
        part = Usage(*(type(amount)(amount / count) for amount in astuple(self)))
        if part.times(count) != self:
            raise ValueError(f"{self} is not {count} times the same.")
        return part

    @property
    def usd(self) -> Decimal:
        """What it costs, at list prices."""
        amounts: dict[str, Decimal | int] = {
            "write_units": self.write_units + self.index_units,
            "read_units": self.read_units,
            "sqs_requests": self.sqs_requests,
            "s3_puts": self.s3_puts,
            "s3_gets": self.s3_gets,
            "bus_events": self.bus_events,
        }
        return price_of(amounts)


def item_bytes(item: Item) -> int:
    """Return the size of a row as DynamoDB counts it.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def _value_bytes(value: Mapping[str, Any]) -> int:
    ((kind, content),) = value.items()
    match kind:
        case "S":
            size = len(content.encode())
        case "N":
            digits = content.lstrip("-").replace(".", "").strip("0")
            size = ceil(len(digits) / 2) + 1
        case "B":
            size = len(content)
        case "BOOL" | "NULL":
            size = 1
        case "M":
            size = 3 + sum(len(name.encode()) + _value_bytes(part) + 1 for name, part in content.items())
        case "L":
            size = 3 + sum(_value_bytes(part) + 1 for part in content)
        case "SS":
            size = sum(len(part.encode()) for part in content)
        case _:
            raise ValueError(f"A value of type {kind} has no size here.")
    return size


def write_units(before: Item | None, after: Item | None, *, in_transaction: bool) -> int:
    """Return the units of one write of the table: the larger of both sizes, doubled in a transaction.

    A write whose condition failed left the row as it was, and costs as much.
    """
    size = max(item_bytes(before or {}), item_bytes(after or {}))
    units = max(1, ceil(size / WRITE_UNIT_BYTES))
    return 2 * units if in_transaction else units


def index_units(before: Item | None, after: Item | None, keys: Sequence[str]) -> int:
    """Return the units of one write in an index that holds keys alone.

    None while the entry stays, one write where it comes or goes, two where its keys change. An index is written
    after the transaction, so nothing is doubled
    (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.html).

    Parameters
    ----------
    keys
        Names of the table's and the index's key attributes. A row without one of them is not in the index.
    """
    was, becomes = _entry(before, keys), _entry(after, keys)
    if was == becomes:
        return 0
    return sum(ceil(item_bytes(entry) / WRITE_UNIT_BYTES) for entry in (was, becomes) if entry)


def _entry(item: Item | None, keys: Sequence[str]) -> Item | None:
    if item is None or not all(key in item for key in keys):
        return None
    return {key: item[key] for key in keys}


def read_units(size_bytes: int, *, is_consistent: bool) -> Decimal:
    """Return the units of one read: of one row, or of all that a query read together; at least one read."""
    units = max(1, ceil(size_bytes / READ_UNIT_BYTES))
    return Decimal(units) if is_consistent else Decimal(units) / 2
