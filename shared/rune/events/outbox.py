"""How far the events of a subject are published: a row beside them, and the writes of it.

The rows of a subject's events are what there is to publish, so no other copy of them is made. Beside them stands
one row that says up to which sequence each sink has taken them. As long as a write made something that must still
be published, the row has a `due_at`, by which the janitor finds it.

A publisher reads this row before it reads the events. Its own write then requires that nobody has written the row
since: a write that made events in between is not taken for published.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from rune.events.record import PublicEvent, Subject
from rune.storage.change import Change, Is, IsAbsentOrBefore, IsBelow, Value, make_change

NOTICE_GRACE = timedelta(seconds=60)
"""How long a notice may be under way before the janitor sends it again."""

NOTICE_GRACE_LIMIT = timedelta(minutes=15)
"""The grace doubles with each notice that the janitor sends, up to this."""

FIRST_RETRY = timedelta(seconds=5)
LAST_RETRY = timedelta(hours=1)
"""After a sink has failed, until the next try; it doubles from the first to the last."""


@dataclass(frozen=True, slots=True)
class OutboxState:
    """How far each sink has got with the events of one subject. A subject without a row is as new.

    Attributes
    ----------
    pointers
        By name of the sink: the sequence up to which it has taken everything.
    due_at
        When the janitor sends a notice for it; absent where nothing must be published.
    failures
        Tries in a row in which a sink has failed.
    dispatches
        Notices that the janitor has sent since the last write that made it due.
    """

    pointers: Mapping[str, int] = field(default_factory=dict)
    version: int = 0
    updated_at: datetime | None = None
    due_at: datetime | None = None
    failures: int = 0
    dispatches: int = 0
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """The row of a subject's outbox, for writes together with others."""

    subject: Subject


class Outbox(Protocol):
    """The outboxes of all subjects, and the events of those that are no jobs.

    Each method raises StoreUnavailableError where the store cannot be reached.
    """

    def read(self, subject: Subject) -> OutboxState:
        """Return the state as all earlier writes left it; raises UnreadableRowError."""
        ...

    def update(self, subject: Subject, change: Change) -> bool:
        """Write the state if the change's requirements hold; return whether they did."""
        ...

    def read_log(self, subject: Subject, after: int, limit: int) -> tuple[PublicEvent, ...]:
        """Return a subject's first events with sequences above `after`, in order; a job's are in the store of jobs.

        Raises
        ------
        UnreadableRowError
            This version does not understand one of them.
        """
        ...

    def find_due(self, now: datetime, limit: int) -> tuple[Subject, ...]:
        """Return subjects that were due by `now`, longest overdue first; the latest writes may be missing."""
        ...


def fall_due(now: datetime, expires_at: datetime) -> Change:
    """Return the write that comes with new events: from now on they must be published.

    Parameters
    ----------
    expires_at
        When the last of the subject's events leaves the table.
    """
    return make_change(
        "fall_due",
        now,
        requires=(),
        sets={"due_at": now + NOTICE_GRACE, "dispatches": 0, "expires_at": expires_at},
    )


def send_again(state: OutboxState, now: datetime) -> Change:
    """Return the write before a notice is sent again; of two janitors at once, one has it refused."""
    grace = min(NOTICE_GRACE * (1 << min(state.dispatches, 10)), NOTICE_GRACE_LIMIT)
    return make_change(
        "send_again",
        now,
        requires=(Is("due_at", state.due_at),),
        sets={"due_at": now + grace},
        adds={"dispatches": 1},
    )


def set_aside(now: datetime) -> Change:
    """Return the write that makes a row due again later which this version does not understand."""
    return make_change(
        "set_aside",
        now,
        requires=(IsAbsentOrBefore("due_at", now),),
        sets={"due_at": now + NOTICE_GRACE_LIMIT},
    )


def advance(
    state: OutboxState,
    pointers: Mapping[str, int],
    now: datetime,
    *,
    has_failed: bool,
    expires_at: datetime,
    is_all: bool = True,
) -> Change:
    """Return the write after a publisher has given events to the sinks.

    Parameters
    ----------
    state
        As it was read before the events were.
    pointers
        What each sink has taken now.
    has_failed
        Whether a sink has not taken all. Then the rest is due again, later after each failure in a row.
    expires_at
        Of a row that is not there yet.
    is_all
        Whether the sinks were given all that there was. Otherwise what is due stays due.
    """
    failures = state.failures + 1 if has_failed else 0
    due: dict[str, Value] = {"due_at": now + _retry_pause(failures)} if has_failed else {"due_at": None}
    return make_change(
        "advance",
        now,
        # The version as it was read: it only rises, and an absent one counts as 0.
        requires=(IsBelow("version", state.version + 1),),
        sets={
            "pointers": {**state.pointers, **pointers},
            **(due if has_failed or is_all else {}),
            "failures": failures,
            "dispatches": 0,
        },
        sets_once={"expires_at": expires_at},
    )


def _retry_pause(failures: int) -> timedelta:
    return min(FIRST_RETRY * (1 << min(failures - 1, 20)), LAST_RETRY)


def pointer_of(state: OutboxState, sink: str) -> int:
    """Return the sequence up to which a sink has taken everything.

    One that is new begins where the others are: it does not get what happened before it was there.
    """
    return state.pointers.get(sink, min(state.pointers.values(), default=0))


def lowest(state: OutboxState, sinks: Sequence[str]) -> int:
    """Return the sequence up to which all of these sinks have taken everything."""
    return min((pointer_of(state, name) for name in sinks), default=0)
