"""Stops: rows that say that a tenant, or the whole deployment, takes no new jobs and orders no machines.

The transaction that stores a job, and the one that writes the intent of an order, check the stop of the tenant and
the one of all tenants. The stop of all is several rows, written in one transaction, and each check looks at one:
DynamoDB cancels transactions that look at the same row at the same moment.
"""

import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from rune.storage.change import Change, Is, make_change

SHARDS = 16
"""Rows of the stop of all tenants."""

REMEMBERED = timedelta(days=1)
"""How long a row stays after its stop was taken back."""


@dataclass(frozen=True, slots=True)
class Stop:
    """One row of a stop.

    Attributes
    ----------
    tenant
        None for the stop of all tenants.
    stopped_at
        Since when it holds; None where it was taken back.
    stopped_by
        Who asked for it.
    """

    tenant: str | None = None
    version: int = 0
    updated_at: datetime | None = None
    stopped_at: datetime | None = None
    stopped_by: str | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class StopRow:
    """The row of a tenant's stop, or one of those of the stop of all tenants, whose `tenant` is None."""

    tenant: str | None
    shard: int = 0


NOT_STOPPED = Change("not_stopped", (Is("stopped_at", None),), {})
"""Writes nothing, and is refused where the stop holds."""


def rows_of(tenant: str | None) -> tuple[StopRow, ...]:
    """Return all rows of a tenant's stop, or of the stop of all tenants."""
    return tuple(StopRow(None, shard) for shard in range(SHARDS)) if tenant is None else (StopRow(tenant),)


def rows_checked_for(tenant: str) -> tuple[StopRow, StopRow]:
    """Return the rows that must not hold where a tenant submits or rents: of all tenants, and its own."""
    return StopRow(None, zlib.crc32(tenant.encode()) % SHARDS), StopRow(tenant)


def begin(by: str, now: datetime) -> Change:
    """Return the write that begins a stop; one that holds already stays as it is."""
    return make_change(
        "begin_stop",
        now,
        requires=(),
        sets={"expires_at": None},
        sets_once={"stopped_at": now, "stopped_by": by},
    )


def end(now: datetime) -> Change:
    """Return the write that takes a stop back."""
    sets = {"stopped_at": None, "stopped_by": None, "expires_at": now + REMEMBERED}
    return make_change("end_stop", now, requires=(), sets=sets)
