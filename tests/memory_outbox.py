"""Outboxes in memory, for unit tests and the simulation, and a queue of notices for unit tests.

That the outbox in DynamoDB does the same is tested in `tests/functional/aws/test_outbox.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import override

from rune.events.notices import Notice, NoticeQueue, SubjectNotice
from rune.events.outbox import Outbox, OutboxState, fall_due
from rune.events.record import PublicEvent, Subject
from rune.storage.change import Change, allows, apply


class MemoryOutbox(Outbox):
    """Outboxes in memory.

    Attributes
    ----------
    states
        By subject.
    """

    def __init__(self) -> None:
        self.states: dict[Subject, OutboxState] = {}
        self._logs: dict[Subject, dict[int, PublicEvent]] = {}

    def write_log(self, events: Sequence[PublicEvent], expires_at: datetime) -> None:
        """Do what the writes of `rune.aws.outbox.log_writes` do, for doubles of stores that write events."""
        if not events:
            return
        subject = events[0].subject
        log = self._logs.setdefault(subject, {})
        for event in events:
            log[event.sequence] = event
        self.update(subject, fall_due(max(event.occurred_at for event in events), expires_at))

    def log_of(self, subject: Subject) -> tuple[PublicEvent, ...]:
        """Return all events of a subject that is no job, in order."""
        log = self._logs.get(subject, {})
        return tuple(log[sequence] for sequence in sorted(log))

    @override
    def read(self, subject: Subject) -> OutboxState:
        return self.states.get(subject, OutboxState())

    @override
    def update(self, subject: Subject, change: Change) -> bool:
        found = self.read(subject)
        if not allows(change, found):
            return False
        self.states[subject] = apply(change, found)
        return True

    @override
    def read_log(self, subject: Subject, after: int, limit: int) -> tuple[PublicEvent, ...]:
        log = self._logs.get(subject, {})
        return tuple(log[sequence] for sequence in sorted(log) if sequence > after)[:limit]

    @override
    def find_due(self, now: datetime, limit: int) -> tuple[Subject, ...]:
        due = [
            (state.due_at, str(subject), subject)
            for subject, state in self.states.items()
            if state.due_at is not None and state.due_at <= now
        ]
        return tuple(subject for _, _, subject in sorted(due)[:limit])


class RecordingNotices(NoticeQueue):
    """Notes what is sent; it takes nothing while it is down."""

    def __init__(self, *, is_down: bool = False) -> None:
        self.sent: list[Notice] = []
        self._is_down = is_down

    @override
    def send(self, notice: Notice, delay_seconds: int = 0) -> bool:
        if not self._is_down:
            self.sent.append(notice)
        return not self._is_down

    @property
    def names(self) -> list[str]:
        return [notice.subject.subject_id for notice in self.sent if isinstance(notice, SubjectNotice)]
