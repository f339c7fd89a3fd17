from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from rune.events.record import PublicEvent
from rune.schedules import lifecycle
from rune.schedules.lifecycle import LONGEST_LATENESS, MOST_FAILURES, RUNS_KEPT, Step, Written
from rune.schedules.record import (
    Overlap,
    PauseReason,
    Run,
    RunOutcome,
    Schedule,
    ScheduleState,
    with_outcomes,
)
from tests.builders import NOW, after
from tests.schedule_builders import SCHEDULE_ID, a_paused_schedule, a_run, a_schedule

HOUR = 3600
DUE = after(HOUR)


def told(written: Written) -> list[tuple[str, int]]:
    return [(event.event_type.removeprefix("rune.schedule."), event.sequence) for event in written.events]


def data_of(event: PublicEvent) -> dict[str, object]:
    about = {"schedule_id", "name", "schedule_url"}
    return {name: value for name, value in event.data.items() if name not in about}


# ---------------------------------------------------------------- what is to be done


@pytest.mark.parametrize(
    ("schedule", "step"),
    [
        (a_schedule(), Step.FIRE),
        (a_schedule(next_at=after(HOUR + 1)), Step.NOTHING),
        (a_paused_schedule(), Step.NOTHING),
        (a_schedule(state=ScheduleState.ENDED, next_at=None), Step.NOTHING),
        # A row that was not written as a whole: its state decides.
        (a_schedule(state=ScheduleState.DELETED), Step.NOTHING),
        (a_schedule(state=ScheduleState.PAUSED), Step.NOTHING),
        (a_schedule(runs=(a_run(NOW),)), Step.SKIP),
        (a_schedule(runs=(a_run(NOW, is_manual=True),)), Step.SKIP),
        (a_schedule(runs=(a_run(NOW),), overlap=Overlap.ALLOW), Step.FIRE),
        (a_schedule(runs=(a_run(NOW),), overlap=Overlap.CANCEL_RUNNING), Step.FIRE),
        (a_schedule(runs=(a_run(NOW, outcome=RunOutcome.CANCELLED),)), Step.FIRE),
        (a_schedule(runs=(Run(NOW, NOW, reason="overlap"),)), Step.FIRE),
        (a_schedule(failures=MOST_FAILURES - 1), Step.FIRE),
        (a_schedule(failures=MOST_FAILURES), Step.PAUSE),
        (a_schedule(next_at=DUE - LONGEST_LATENESS), Step.FIRE),
        (a_schedule(next_at=DUE - LONGEST_LATENESS - timedelta(milliseconds=1)), Step.CATCH_UP),
    ],
)
def test_step_follows_from_the_row(schedule: Schedule, step: Step) -> None:
    assert lifecycle.decide(schedule, DUE) is step


# ---------------------------------------------------------------- runs


def test_schedule_waits_for_the_next_occurrence_when_its_job_is_posted() -> None:
    run = a_run(DUE, decided_at=after(HOUR + 20))

    written = lifecycle.record_run(a_schedule(), run, after(HOUR + 20))

    assert written.schedule == a_schedule(
        next_at=after(2 * HOUR), due_at=after(2 * HOUR), runs=(run,), event_count=1
    )
    (event,) = written.events
    assert (event.event_type, event.event_id) == ("rune.schedule.fired", f"evt_schedule_{SCHEDULE_ID}_1")
    assert (event.tenant, event.occurred_at) == ("default", after(HOUR + 20))
    assert data_of(event) == {"due_at": "2026-11-23T13:00:00Z", "job_id": "job-1300", "kind": "benchmark"}


def test_occurrences_that_were_missed_are_left_out_but_for_one() -> None:
    late = after(4 * HOUR + 5)

    written = lifecycle.record_run(a_schedule(), a_run(DUE, decided_at=late), late)

    assert written.schedule.next_at == after(5 * HOUR)
    assert [(run.due_at, run.reason) for run in written.schedule.runs] == [
        (DUE, None),
        (after(2 * HOUR), "missed"),
    ]
    assert told(written) == [("fired", 1), ("skipped", 2)]


def test_schedule_that_was_changed_meanwhile_keeps_what_it_waits_for() -> None:
    """Another tick, or a caller, wrote it while the job was being posted."""
    for changed in (
        a_schedule(next_at=after(5 * HOUR)),
        a_paused_schedule(),
        a_schedule(state=ScheduleState.ENDED, next_at=None, due_at=None),
    ):
        written = lifecycle.record_run(changed, a_run(DUE), DUE)

        assert replace(written.schedule, runs=(), event_count=0) == changed
        assert [run.job_id for run in written.schedule.runs] == ["job-1300"]


@pytest.mark.parametrize(
    ("noted", "run", "is_new"),
    [
        (a_run(DUE), a_run(DUE, decided_at=after(HOUR + 9)), False),
        (a_run(DUE), Run(DUE, DUE, reason="overlap"), False),
        (Run(DUE, DUE, reason="overlap"), Run(DUE, DUE, reason="overlap"), False),
        (Run(DUE, DUE, reason="too_many_waiting_jobs"), a_run(DUE), True),
        (a_run(DUE, is_manual=True), Run(DUE, DUE, reason="overlap"), True),
        (a_run(NOW), a_run(DUE), True),
    ],
)
def test_what_another_tick_noted_is_not_noted_twice(noted: Run, run: Run, is_new: bool) -> None:
    schedule = a_schedule(runs=(noted,))

    written = lifecycle.record_run(schedule, run, DUE)

    assert (written.schedule != schedule, len(written.events)) == (is_new, int(is_new))


def test_run_that_a_caller_asked_for_moves_nothing() -> None:
    run = Run(NOW, NOW, job_id="job-now", is_manual=True)

    written = lifecycle.record_run(a_schedule(), run, NOW)

    assert written.schedule == a_schedule(runs=(run,), event_count=1)
    assert told(written) == [("fired", 1)]


def test_latest_runs_are_kept() -> None:
    schedule = a_schedule()
    for number in range(RUNS_KEPT + 3):
        schedule = lifecycle.record_run(
            schedule, a_run(after(HOUR * (number + 1)), is_manual=True), NOW
        ).schedule

    assert [run.due_at for run in schedule.runs] == [after(HOUR * (n + 4)) for n in range(RUNS_KEPT)]


def test_schedule_ends_with_its_last_occurrence() -> None:
    schedule = a_schedule(ends_at=after(2 * HOUR - 1))

    written = lifecycle.record_run(schedule, a_run(DUE), DUE)

    assert (written.schedule.state, written.schedule.due_at) == (ScheduleState.ENDED, None)


def test_skipped_occurrence_says_why() -> None:
    written = lifecycle.skip(a_schedule(runs=(a_run(NOW),)), DUE)

    assert written.schedule.next_at == after(2 * HOUR)
    (event,) = written.events
    assert data_of(event) == {"due_at": "2026-11-23T13:00:00Z", "reason": "overlap"}


# ---------------------------------------------------------------- what is too late


def test_latest_occurrence_of_the_last_day_is_made_up_for() -> None:
    now = after(100 * HOUR + 60)

    written = lifecycle.catch_up(a_schedule(), now)

    assert (written.schedule.next_at, written.schedule.due_at) == (after(100 * HOUR), after(100 * HOUR))
    assert [(run.due_at, run.reason) for run in written.schedule.runs] == [(DUE, "missed")]
    assert told(written) == [("skipped", 1)]
    assert lifecycle.decide(written.schedule, now) is Step.FIRE


def test_nothing_is_made_up_for_when_nothing_was_due_in_the_last_day() -> None:
    weekly = a_schedule(rate="rate(7 days)", next_at=after(168 * HOUR), due_at=after(168 * HOUR))

    written = lifecycle.catch_up(weekly, after(200 * HOUR))

    assert written.schedule.next_at == after(336 * HOUR)


# ---------------------------------------------------------------- failures


def test_failures_in_a_row_are_counted() -> None:
    runs = tuple(a_run(after(HOUR * number)) for number in range(6))
    outcomes = ["failed", "succeeded", "failed", "cancelled", "failed", "unknown"]
    known = {run.job_id or "": RunOutcome(word) for run, word in zip(runs, outcomes, strict=True)}

    schedule = with_outcomes(a_schedule(runs=runs, failures=3), known)

    assert schedule.failures == 2
    assert [run.outcome for run in schedule.runs] == [RunOutcome(word) for word in outcomes]
    assert with_outcomes(schedule, known) == schedule
    assert schedule.unfinished_job_ids == ()


def test_run_that_a_caller_asked_for_counts_as_no_failure() -> None:
    schedule = a_schedule(runs=(a_run(NOW, is_manual=True),), failures=1)

    for outcome in (RunOutcome.FAILED, RunOutcome.SUCCEEDED):
        assert with_outcomes(schedule, {"job-1200": outcome}).failures == 1


def test_schedule_whose_jobs_fail_pauses_itself_and_says_so() -> None:
    written = lifecycle.pause(a_schedule(failures=5), PauseReason.FAILURES, DUE)

    assert written.schedule == a_paused_schedule(
        failures=5, paused_because=PauseReason.FAILURES, event_count=1
    )
    (event,) = written.events
    assert event.event_type == "rune.schedule.paused"
    assert data_of(event) == {"reason": "failures", "failure_count": 5}


def test_refused_request_counts_as_a_failure_when_the_next_would_be_refused_too() -> None:
    refused = Run(DUE, DUE, reason="credential_unknown")

    assert lifecycle.record_run(a_schedule(), refused, DUE, is_failure=True).schedule.failures == 1
    assert lifecycle.record_run(a_schedule(), refused, DUE).schedule.failures == 0


# ---------------------------------------------------------------- callers


def test_pause_and_resume_leave_out_what_was_due_meanwhile() -> None:
    paused = lifecycle.pause(a_schedule(), PauseReason.ASKED, NOW)
    resumed = lifecycle.resume(paused.schedule, after(5 * HOUR + 1))

    assert (paused.schedule.next_at, paused.schedule.due_at) == (None, None)
    assert resumed.schedule == a_schedule(next_at=after(6 * HOUR), due_at=after(6 * HOUR), event_count=2)
    assert told(paused) + told(resumed) == [("paused", 1), ("resumed", 2)]
    assert data_of(paused.events[0]) == {"reason": "asked", "failure_count": 0}
    assert data_of(resumed.events[0]) == {"next_due_at": "2026-11-23T18:00:00Z"}


def test_pause_and_resume_change_nothing_a_second_time() -> None:
    ended = a_schedule(state=ScheduleState.ENDED, next_at=None, due_at=None)

    assert lifecycle.pause(a_paused_schedule(), PauseReason.ASKED, NOW) == Written(a_paused_schedule())
    assert lifecycle.resume(a_schedule(), NOW) == Written(a_schedule())
    assert lifecycle.pause(ended, PauseReason.ASKED, NOW) == Written(ended)
    assert lifecycle.resume(ended, NOW) == Written(ended)


def test_resumed_schedule_begins_to_count_failures_anew() -> None:
    failing = a_paused_schedule(failures=5, paused_because=PauseReason.FAILURES)

    assert lifecycle.resume(failing, NOW).schedule.failures == 0


def test_other_rule_holds_from_now_on() -> None:
    hourly = a_schedule()

    daily = lifecycle.change(hourly, replace(hourly, rate=None, cron="0 9 * * *"), NOW)
    other_rate = lifecycle.change(hourly, replace(hourly, rate="rate(2 hours)"), after(600))
    ending = lifecycle.change(hourly, replace(hourly, ends_at=after(60)), NOW)

    assert daily.due_at == after(21 * HOUR)
    assert (other_rate.anchor_at, other_rate.due_at) == (after(600), after(600 + 2 * HOUR))
    assert (ending.state, ending.due_at) == (ScheduleState.ENDED, None)


def test_other_name_leaves_what_is_due() -> None:
    changed = a_schedule(name="other", overlap=Overlap.ALLOW)

    assert lifecycle.change(a_schedule(), changed, after(3 * HOUR)) == changed


def test_other_rule_resumes_nothing() -> None:
    paused = a_paused_schedule()

    changed = lifecycle.change(paused, replace(paused, rate="rate(2 hours)"), NOW)

    assert (changed.state, changed.due_at) == (ScheduleState.PAUSED, None)


def test_deleted_schedule_is_never_due() -> None:
    deleted = lifecycle.delete(a_schedule(), NOW)

    assert (deleted.due_at, deleted.expires_at) == (None, after(86_400))
    assert lifecycle.decide(deleted, after(10 * HOUR)) is Step.NOTHING


def test_next_times_of_a_paused_schedule_are_those_it_would_have() -> None:
    assert lifecycle.next_times(a_schedule(), 3, NOW) == (DUE, after(2 * HOUR), after(3 * HOUR))
    assert lifecycle.next_times(a_schedule(ends_at=after(2 * HOUR)), 5, NOW) == (DUE, after(2 * HOUR))
    late = after(4 * HOUR + 1)
    assert lifecycle.next_times(a_paused_schedule(), 2, late) == (after(5 * HOUR), after(6 * HOUR))
    assert lifecycle.next_times(a_paused_schedule(ends_at=after(60)), 2, NOW) == ()
    ended = a_schedule(state=ScheduleState.ENDED, next_at=None, due_at=None)
    assert lifecycle.next_times(ended, 2, NOW) == ()


@pytest.mark.parametrize(("minutes", "is_posted"), [(2, True), (5, True), (6, False), (55, False)])
def test_occurrence_that_a_pause_has_held_up_is_posted_if_it_is_taken_back_soon(
    minutes: int, *, is_posted: bool
) -> None:
    paused = lifecycle.pause(a_schedule(), PauseReason.ASKED, after(HOUR + 1))

    resumed = lifecycle.resume(paused.schedule, after(HOUR + 60 * minutes)).schedule

    assert lifecycle.decide(paused.schedule, after(HOUR + 2)) is Step.NOTHING
    assert (resumed.next_at, resumed.held_at) == (DUE if is_posted else after(2 * HOUR), None)


def test_occurrence_that_was_posted_while_it_was_paused_is_not_posted_again() -> None:
    paused = lifecycle.pause(a_schedule(), PauseReason.ASKED, after(HOUR + 1)).schedule
    noted = lifecycle.record_run(paused, a_run(DUE), after(HOUR + 2)).schedule

    assert lifecycle.resume(noted, after(HOUR + 3)).schedule.next_at == after(2 * HOUR)


def test_nothing_is_held_for_another_rule_or_after_failures() -> None:
    paused = lifecycle.pause(a_schedule(), PauseReason.ASKED, after(HOUR + 1)).schedule
    changed = lifecycle.change(paused, replace(paused, rate="rate(2 hours)"), after(HOUR + 2))
    failing = lifecycle.pause(a_schedule(failures=5), PauseReason.FAILURES, after(HOUR + 1)).schedule

    assert paused.held_at == DUE
    assert changed.held_at is None
    assert failing.held_at is None
