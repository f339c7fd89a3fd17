"""Every write of a schedule: from the row as it was read to the row as it is to be, with its events."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice

from rune.events.record import PublicEvent
from rune.schedules import telling
from rune.schedules.occurrences import next_after, occurrences_after
from rune.schedules.record import MISSED, OVERLAP, Overlap, PauseReason, Run, Schedule, ScheduleState

MOST_FAILURES = 5
"""Jobs in a row that failed; then a schedule pauses itself."""

RUNS_KEPT = 10
"""Latest runs that a row holds."""

LONGEST_LATENESS = timedelta(days=1)
"""What was due longer ago is not made up for.

An idempotency key is kept for a day after its job, and a job for a day at least. So an occurrence whose job was
posted by a process that died there is not posted a second time.
"""

LONGEST_HOLD = timedelta(minutes=5)
"""How long after it was due an occurrence is posted that a pause has held up.

Long enough for a pause that is taken back before the tick has come. Where one is taken back hours later,
nobody waits for that job any more.
"""

DELETED_KEPT = timedelta(days=1)
"""How long the row of a deleted schedule stays."""


@dataclass(frozen=True, slots=True)
class Written:
    """A schedule as it is to be written, and the events of that write."""

    schedule: Schedule
    events: tuple[PublicEvent, ...] = ()


class Step(StrEnum):
    """What is to be done about a schedule now."""

    NOTHING = "nothing"
    CATCH_UP = "catch_up"
    PAUSE = "pause"
    SKIP = "skip"
    FIRE = "fire"


def decide(schedule: Schedule, now: datetime) -> Step:
    """Return what is to be done about a schedule, once it is known which of its jobs have ended."""
    if schedule.state is not ScheduleState.ACTIVE or schedule.next_at is None or schedule.next_at > now:
        return Step.NOTHING
    if schedule.failures >= MOST_FAILURES:
        return Step.PAUSE
    if now - schedule.next_at > LONGEST_LATENESS:
        return Step.CATCH_UP
    if schedule.overlap is Overlap.SKIP and schedule.unfinished_job_ids:
        return Step.SKIP
    return Step.FIRE


def begin(schedule: Schedule, now: datetime, *, is_paused: bool = False) -> Schedule:
    """Return a new schedule with its first occurrence; it has ended where there is none."""
    waiting = _wait_for(schedule, next_after(schedule.timing, now))
    is_due = waiting.state is ScheduleState.ACTIVE
    return _paused(waiting, PauseReason.ASKED) if is_paused and is_due else waiting


def catch_up(schedule: Schedule, now: datetime) -> Written:
    """Leave out what was due too long ago; the schedule waits for the latest occurrence of the last day, if any."""
    latest = None
    for due_at in occurrences_after(schedule.timing, now - LONGEST_LATENESS):
        if due_at > now:
            break
        latest = due_at
    told = _add_run(schedule, Run(schedule.next_at or now, now, reason=MISSED))
    return replace(told, schedule=_wait_for(told.schedule, latest or next_after(schedule.timing, now)))


def record_run(schedule: Schedule, run: Run, now: datetime, *, is_failure: bool = False) -> Written:
    """Note what became of an occurrence, and wait for the next one.

    What else was due meanwhile is left out. Nothing is noted twice. A schedule that was paused, changed or ended
    while the job was being posted waits for what it waited for.

    Parameters
    ----------
    is_failure
        Whether the run counts as a job that failed.
    """
    if schedule.held_at == run.due_at:
        # It was being posted when a caller paused the schedule.
        schedule = replace(schedule, held_at=None)
    if _is_noted(schedule, run):
        return Written(schedule)
    told = _add_run(replace(schedule, failures=schedule.failures + is_failure), run)
    is_waited_for = schedule.state is ScheduleState.ACTIVE and schedule.next_at == run.due_at
    if run.is_manual or not is_waited_for:
        return told
    missed_at = next_after(schedule.timing, run.due_at)
    if missed_at is not None and missed_at <= now:
        more = _add_run(told.schedule, Run(missed_at, now, reason=MISSED))
        told = Written(more.schedule, (*told.events, *more.events))
    next_at = next_after(schedule.timing, max(now, run.due_at))
    return replace(told, schedule=_wait_for(told.schedule, next_at))


def skip(schedule: Schedule, now: datetime) -> Written:
    """Leave an occurrence out, since a job of the schedule has not ended."""
    return record_run(schedule, Run(schedule.next_at or now, now, reason=OVERLAP), now)


def pause(schedule: Schedule, reason: PauseReason, now: datetime) -> Written:
    """Post no more jobs until a caller resumes it; a schedule that posts none stays as it is."""
    if schedule.state is not ScheduleState.ACTIVE:
        return Written(schedule)
    paused = _paused(schedule, reason)
    if reason is PauseReason.ASKED and schedule.next_at is not None and schedule.next_at <= now:
        paused = replace(paused, held_at=schedule.next_at)
    return _tell(paused, telling.paused, now)


def resume(schedule: Schedule, now: datetime) -> Written:
    """Post jobs from the next occurrence on; a schedule that is not paused stays as it is."""
    if schedule.state is not ScheduleState.PAUSED:
        return Written(schedule)
    held_at = schedule.held_at
    is_recent = held_at is not None and now - held_at <= LONGEST_HOLD
    resumed = replace(schedule, paused_because=None, failures=0, held_at=None)
    next_at = held_at if is_recent else next_after(schedule.timing, now)
    return _tell(_wait_for(resumed, next_at), telling.resumed, now)


def change(schedule: Schedule, changed: Schedule, now: datetime) -> Schedule:
    """Return what a caller changed, with its next occurrence.

    Parameters
    ----------
    changed
        The same schedule with other members.
    """
    if _rule_of(changed) == _rule_of(schedule):
        return changed
    if changed.rate != schedule.rate:
        changed = replace(changed, anchor_at=now)
    if changed.state is ScheduleState.PAUSED:
        return replace(changed, held_at=None)
    return _wait_for(changed, next_after(changed.timing, now))


def delete(schedule: Schedule, now: datetime) -> Schedule:
    """Return the row of a schedule that is never due again."""
    return replace(
        schedule, state=ScheduleState.DELETED, next_at=None, due_at=None, expires_at=now + DELETED_KEPT
    )


def next_times(schedule: Schedule, count: int, now: datetime) -> tuple[datetime, ...]:
    """Return when the schedule is due next; while it is paused, when it would be if it were resumed now."""
    if schedule.state is ScheduleState.PAUSED:
        return tuple(islice(occurrences_after(schedule.timing, now), count))
    if schedule.next_at is None:
        return ()
    later = occurrences_after(schedule.timing, schedule.next_at)
    return (schedule.next_at, *islice(later, count - 1))


def _rule_of(schedule: Schedule) -> tuple[object, ...]:
    return (schedule.cron, schedule.rate, schedule.timezone, schedule.ends_at)


def _paused(schedule: Schedule, reason: PauseReason) -> Schedule:
    return replace(schedule, state=ScheduleState.PAUSED, paused_because=reason, next_at=None, due_at=None)


def _wait_for(schedule: Schedule, next_at: datetime | None) -> Schedule:
    state = ScheduleState.ENDED if next_at is None else ScheduleState.ACTIVE
    return replace(schedule, state=state, next_at=next_at, due_at=next_at)


def _is_noted(schedule: Schedule, run: Run) -> bool:
    """Return whether another process has noted the same: of two ticks, one may have been refused."""
    if run.job_id is not None:
        return any(each.job_id == run.job_id for each in schedule.runs)
    return any(each.due_at == run.due_at and not each.is_manual for each in schedule.runs)


def _add_run(schedule: Schedule, run: Run) -> Written:
    more = replace(schedule, runs=(*schedule.runs, run)[-RUNS_KEPT:], event_count=schedule.event_count + 1)
    return Written(more, (telling.of_run(more, run),))


def _tell(schedule: Schedule, tell: telling.Tell, now: datetime) -> Written:
    counted = replace(schedule, event_count=schedule.event_count + 1)
    return Written(counted, (tell(counted, now),))
