"""Notices that the janitor sends again."""

from __future__ import annotations

from datetime import datetime
from typing import override

import pytest

from rune.errors import StoreUnavailableError, UnreadableRowError
from rune.events.outbox import NOTICE_GRACE_LIMIT, OutboxState, advance, fall_due
from rune.events.record import Subject, SubjectKind
from rune.services.notices import NoticeSweep
from tests.builders import NOW, FakeClock, after
from tests.memory_outbox import MemoryOutbox, RecordingNotices

EXPIRES_AT = after(86_400)


def a_subject(name: str = "a") -> Subject:
    return Subject(SubjectKind.JOB, name)


class Minute:
    """Ticks over an outbox."""

    def __init__(self, outbox: MemoryOutbox, *names: str, is_down: bool = False) -> None:
        self.outbox, self.notices, self.clock = outbox, RecordingNotices(is_down=is_down), FakeClock()
        for number, name in enumerate(names):
            outbox.update(a_subject(name), fall_due(after(number), EXPIRES_AT))
        self.clock.advance(61 + len(names))

    def tick(self, *, may_go_on: bool = True) -> int:
        return NoticeSweep(self.outbox, self.notices, self.clock).sweep(lambda: may_go_on)


def test_due_notice_is_sent_again_once_a_grace() -> None:
    minute = Minute(MemoryOutbox(), "a")

    counts = [minute.tick(), minute.tick()]
    minute.clock.advance(60)
    counts.append(minute.tick())
    minute.clock.advance(60)
    counts.append(minute.tick())
    minute.clock.advance(60)
    counts.append(minute.tick())

    assert counts == [1, 0, 1, 0, 1]
    assert minute.notices.names == ["a"] * 3


def test_what_was_published_is_not_sent_again() -> None:
    minute = Minute(MemoryOutbox(), "a")
    state = minute.outbox.read(a_subject())
    done = advance(state, {"bus": 1}, NOW, has_failed=False, expires_at=EXPIRES_AT)
    minute.outbox.update(a_subject(), done)

    assert minute.tick() == 0


def test_index_that_lags_sends_nothing() -> None:
    class Lagging(MemoryOutbox):
        @override
        def find_due(self, now: datetime, limit: int) -> tuple[Subject, ...]:
            return (a_subject("gone"), a_subject("early"))

    minute = Minute(Lagging())
    minute.outbox.update(a_subject("early"), fall_due(minute.clock.now(), EXPIRES_AT))

    assert minute.tick() == 0
    assert a_subject("gone") not in minute.outbox.states


def test_notice_that_the_queue_did_not_take_is_sent_at_a_later_tick() -> None:
    minute = Minute(MemoryOutbox(), "a", is_down=True)
    assert minute.tick() == 0
    minute.notices = RecordingNotices()
    minute.clock.advance(60)

    assert minute.tick() == 1


def test_tick_without_time_leaves_the_rest() -> None:
    minute = Minute(MemoryOutbox(), "a", "b")

    assert minute.tick(may_go_on=False) == 0
    assert minute.tick() == 2


class PartlyDown(MemoryOutbox):
    """Cannot read some subjects."""

    def __init__(self, *down: str, error: Exception) -> None:
        super().__init__()
        self._down, self._error = down, error
        self.is_filled = False

    @override
    def read(self, subject: Subject) -> OutboxState:
        if self.is_filled and subject.subject_id in self._down:
            raise self._error
        return super().read(subject)

    @override
    def find_due(self, now: datetime, limit: int) -> tuple[Subject, ...]:
        self.is_filled = True
        return super().find_due(now, limit)


def test_one_subject_that_fails_costs_itself_alone_and_is_told() -> None:
    minute = Minute(PartlyDown("b", error=StoreUnavailableError("Down.")), "a", "b", "c")

    with pytest.raises(StoreUnavailableError):
        minute.tick()

    assert minute.notices.names == ["a", "c"]


def test_store_that_is_away_ends_the_sweep() -> None:
    minute = Minute(PartlyDown("a", "b", "c", error=StoreUnavailableError("Down.")), "a", "b", "c", "d")

    with pytest.raises(StoreUnavailableError):
        minute.tick()

    assert minute.notices.names == []


def test_row_that_is_not_understood_is_set_aside() -> None:
    class Newer(MemoryOutbox):
        is_newer = True

        @override
        def read(self, subject: Subject) -> OutboxState:
            if self.is_newer and subject.subject_id == "a" and subject in self.states:
                self.is_newer = False
                raise UnreadableRowError("Of a later version.")
            return super().read(subject)

    outbox = Newer()
    outbox.is_newer = False
    minute = Minute(outbox, "a", "b")
    outbox.is_newer = True

    assert minute.tick() == 1
    assert minute.notices.names == ["b"]
    assert outbox.read(a_subject("a")).due_at == minute.clock.now() + NOTICE_GRACE_LIMIT
