"""What living rentals have reserved of the account's credit, as one row, and how it is put right.

The row is changed in the transactions that open a rental and that prove its end, so it holds the sum of what the
living have reserved. A version that does not know it ends rentals without it; an operator may delete it. Then it
differs from that sum, which is doubted first and corrected later: the index of living rentals lags behind.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from rune.storage.change import Change, Is, make_change

DOUBT = timedelta(minutes=5)
"""How long the row stands unchanged before it is corrected; the index shows a rental seconds after its opening."""


@dataclass(frozen=True, slots=True)
class Credit:
    """The row.

    Attributes
    ----------
    reserved_micro_usd
        None in a row that is not there.
    doubted_micro_usd, doubted_at
        What was reserved when that was first seen to differ from the sum of the living; every reservation that is
        made or given back afterwards removes the moment.
    """

    reserved_micro_usd: int | None = None
    version: int = 0
    updated_at: datetime | None = None
    doubted_micro_usd: int | None = None
    doubted_at: datetime | None = None


class CreditStore(Protocol):
    """Where the row is. Every method raises StoreUnavailableError when it cannot be reached."""

    def read(self) -> Credit:
        """Return the row as all earlier writes left it."""
        ...

    def write(self, change: Change) -> bool:
        """Write the row if the change's requirements hold; return whether they did."""
        ...


def decide_correction(credit: Credit, living_micro_usd: int, now: datetime) -> Change | None:
    """Return the write that is due; None where there is none.

    Parameters
    ----------
    credit
        The row, read before the rentals were.
    living_micro_usd
        The sum of what the rentals have reserved that are alive.
    """
    if (credit.reserved_micro_usd or 0) == living_micro_usd:
        return None if credit.doubted_at is None else trust(credit, now)
    if credit.doubted_at is None or credit.doubted_micro_usd != credit.reserved_micro_usd:
        return doubt(credit, now)
    return None if now - credit.doubted_at < DOUBT else correct(credit, living_micro_usd, now)


def doubt(credit: Credit, now: datetime) -> Change:
    """Return the write that says the row differs from the sum."""
    return make_change(
        "doubt",
        now,
        requires=(Is("reserved_micro_usd", credit.reserved_micro_usd), Is("doubted_at", credit.doubted_at)),
        sets={"doubted_micro_usd": credit.reserved_micro_usd, "doubted_at": now},
    )


def trust(credit: Credit, now: datetime) -> Change:
    """Return the write that says the row no longer differs from the sum."""
    return make_change(
        "trust",
        now,
        requires=(Is("doubted_at", credit.doubted_at),),
        sets={"doubted_micro_usd": None, "doubted_at": None},
    )


def correct(credit: Credit, living_micro_usd: int, now: datetime) -> Change:
    """Return the write that makes the row the sum, unless something was reserved or given back meanwhile."""
    return make_change(
        "correct",
        now,
        requires=(Is("reserved_micro_usd", credit.reserved_micro_usd), Is("doubted_at", credit.doubted_at)),
        sets={"reserved_micro_usd": living_micro_usd, "doubted_micro_usd": None, "doubted_at": None},
    )
