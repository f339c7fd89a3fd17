"""Giving the events of a subject to those who want them, each at its own pace."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from rune.clock import Clock
from rune.errors import StoreUnavailableError
from rune.events.outbox import Outbox, OutboxState, advance, lowest, pointer_of
from rune.events.record import PublicEvent, Subject, SubjectKind
from rune.events.sink import Sink
from rune.jobs.particulars import NOTHING_KNOWN
from rune.jobs.public_events import public_event
from rune.jobs.store import JobStore

log = logging.getLogger(__name__)

NOT_PUBLISHED_METRIC = "EventsNotPublished"
"""Counts tries in which a sink did not take the events of a subject."""

TRIES = 4
"""Of a subject while others write the row of its outbox."""

EVENTS_AT_ONCE = 100
"""Of a log, which may go on for years where a job's history ends."""

KEPT = timedelta(days=30)
"""How long the row of an outbox stays for which nothing else says it."""


@dataclass(frozen=True, slots=True)
class _Found:
    """Events of a subject that not all sinks have taken yet.

    Attributes
    ----------
    last
        Up to which sequence was looked: not every event of a job's history is published.
    is_all
        Whether there were no more.
    """

    events: tuple[PublicEvent, ...]
    last: int
    expires_at: datetime
    is_all: bool = True


class Publisher:
    """Gives events to the sinks. It may be called for one subject by several processes, as often as they like.

    Each sink gets the events of a subject in their order. What it gets again it has had before, with the same id:
    after a process has died, and where two publish at the same time.
    """

    def __init__(self, outbox: Outbox, jobs: JobStore, sinks: Sequence[Sink], clock: Clock) -> None:
        self._outbox = outbox
        self._jobs = jobs
        self._sinks = sinks
        self._names = tuple(sink.name for sink in sinks)
        self._clock = clock

    def publish(self, subject: Subject) -> None:
        """Give each sink the events of the subject that it has not taken.

        A sink that fails keeps no other from its events, and gets its own again after a while.

        Raises
        ------
        StoreUnavailableError
            The store cannot be reached; what is due stays due.
        UnreadableRowError
            This version does not understand one of the rows.
        """
        refused_count = 0
        while refused_count < TRIES:
            # First the row and then the events: those that come in between are not taken for published.
            state = self._outbox.read(subject)
            found = self._find(subject, lowest(state, self._names))
            if state.due_at is None and not self._has_news(state, found):
                return
            pointers = {
                sink.name: self._give(sink, pointer_of(state, sink.name), found) for sink in self._sinks
            }
            has_failed = any(pointer < found.last for pointer in pointers.values())
            change = advance(
                state,
                pointers,
                self._clock.now(),
                has_failed=has_failed,
                is_all=found.is_all,
                expires_at=found.expires_at,
            )
            if not self._outbox.update(subject, change):
                # Others have published the same, or there are new events.
                refused_count += 1
            elif has_failed or found.is_all:
                return
        log.warning("publishing.contended", extra={"subject": str(subject)})

    def _has_news(self, state: OutboxState, found: _Found) -> bool:
        return any(pointer_of(state, name) < found.last for name in self._names)

    def _find(self, subject: Subject, after: int) -> _Found:
        if subject.kind is SubjectKind.JOB:
            return self._find_of_job(subject.subject_id, after)
        events = self._outbox.read_log(subject, after, EVENTS_AT_ONCE)
        last = events[-1].sequence if events else after
        return _Found(events, last, self._clock.now() + KEPT, is_all=len(events) < EVENTS_AT_ONCE)

    def _find_of_job(self, job_id: str, after: int) -> _Found:
        history = self._jobs.read_events(job_id, after)
        if history is None:
            # It has left the table, and its events with it.
            return _Found((), after, self._clock.now() + KEPT)
        particulars = self._jobs.read_particulars(history.job) if history.events else NOTHING_KNOWN
        told = (public_event(history.job, event, particulars) for event in history.events)
        last = history.events[-1].number if history.events else after
        return _Found(tuple(event for event in told if event is not None), last, history.job.expires_at)

    def _give(self, sink: Sink, pointer: int, found: _Found) -> int:
        """Give a sink what is above its pointer; return the pointer as it is then."""
        events = [event for event in found.events if event.sequence > pointer]
        try:
            if events:
                sink.publish(events)
        except StoreUnavailableError as error:
            log.warning("events.not_published", exc_info=error, extra=_labels(sink, events))
        except Exception:
            # The outermost edge of one sink: an unforeseen error must not keep the others from their events.
            log.exception("events.not_published", extra=_labels(sink, events))
        else:
            return max(pointer, found.last)
        return pointer


def _labels(sink: Sink, events: Sequence[PublicEvent]) -> dict[str, object]:
    return {
        "sink": sink.name,
        "subject": str(events[0].subject),
        "sequence": events[0].sequence,
        "metric": NOT_PUBLISHED_METRIC,
    }
