from dataclasses import replace
from datetime import timedelta

import pytest

from rune.jobs import lifecycle, transitions
from rune.jobs.lifecycle import MAX_ATTEMPTS, Refusal, Send
from rune.jobs.outcomes import Cancelled, Failed, Outcome
from rune.jobs.plan import CLOSING_GRACE, Lane
from rune.jobs.record import DueClass, Event, Job, Kind, Status, StepMessage, StepName
from rune.storage.change import allows, apply
from tests.builders import (
    JOB_ID,
    NOW,
    TENANT,
    a_claimed_job,
    a_job,
    a_waiting_job,
    after,
    an_ended_job,
)

ENDED = (Status.SUCCEEDED, Status.FAILED, Status.CANCELLED)


@pytest.mark.parametrize(
    ("kind", "first_step"),
    [
        (Kind.BENCHMARK, StepName.CHECK),
        (Kind.AGENTIC_AGENT, StepName.CHECK_AGENT),
        (Kind.LLM_INSTANCE, StepName.VERIFY),
    ],
)
def test_accept_returns_a_job_that_waits_and_its_first_event(kind: Kind, first_step: StepName) -> None:
    accepted = lifecycle.accept(
        job_id=JOB_ID,
        tenant=TENANT,
        kind=kind,
        first_step=first_step,
        now=NOW,
        queue_timeout=timedelta(hours=2),
        max_runtime=timedelta(hours=1),
        retention=timedelta(days=30),
    )

    waiting = a_job(
        kind=kind,
        step=first_step,
        waiting_since=NOW,
        deadline_at=after(7200),
        due_at=after(7200),
        due_class=DueClass.WAIT,
    )
    assert accepted == (waiting, Event(1, "job.accepted", "ok", NOW))


CLAIMS: list[tuple[str, Job, int, bool]] = [
    ("queued", a_job(), 1, True),
    ("waiting", a_waiting_job(), 2, True),
    ("earlier turn", a_waiting_job(), 1, False),
    ("later turn", a_waiting_job(), 3, False),
    ("held", a_claimed_job(lease_until=after(10)), 1, False),
    ("held until this instant", a_claimed_job(lease_until=NOW), 1, False),
    ("lease ran out", a_claimed_job(lease_until=after(-0.001)), 1, True),
    *((f"{status}", an_ended_job(status), 4, False) for status in ENDED),
    # A cancelled job may have ended in its first turn, whose message is still on its way.
    ("cancelled in its first turn", an_ended_job(Status.CANCELLED, seq=1), 1, False),
]


@pytest.mark.parametrize(("job", "seq", "expected"), [row[1:] for row in CLAIMS], ids=[r[0] for r in CLAIMS])
def test_claim_is_allowed_when_the_turn_is_free(job: Job, seq: int, *, expected: bool) -> None:
    assert allows(lifecycle.claim(job, seq, "me", NOW), job) is expected


def test_claim_takes_the_turn_when_it_is_the_first() -> None:
    claimed = apply(lifecycle.claim(a_job(), 1, "worker-1", NOW), a_job())

    assert claimed == a_claimed_job()


def test_claim_counts_the_lost_worker_when_the_lease_ran_out() -> None:
    abandoned = a_claimed_job(lease_until=after(-1), started_at=after(-61), due_at=after(-1))

    claimed = apply(lifecycle.claim(abandoned, 1, "worker-2", NOW), abandoned)

    assert claimed == replace(
        abandoned,
        lease_owner="worker-2",
        lease_until=after(60),
        due_at=after(60),
        epoch=2,
        attempts=2,
        version=3,
    )


@pytest.mark.parametrize(
    ("job", "seq", "expected"),
    [
        (None, 1, Refusal.UNKNOWN_JOB),
        (an_ended_job(Status.SUCCEEDED), 4, Refusal.TERMINAL),
        (an_ended_job(Status.FAILED), 1, Refusal.TERMINAL),
        (an_ended_job(Status.CANCELLED), 4, Refusal.TERMINAL),
        (a_waiting_job(), 1, Refusal.STALE),
        (a_waiting_job(), 3, Refusal.STALE),
        (a_claimed_job(), 1, Refusal.HELD),
    ],
)
def test_explain_refusal_names_why_when_a_claim_fails(job: Job | None, seq: int, expected: Refusal) -> None:
    assert lifecycle.explain_refusal(job, seq) is expected


@pytest.mark.parametrize(
    ("job", "seq", "owner", "expected"),
    [
        (a_claimed_job(), 1, "worker-1", True),
        (a_claimed_job(), 1, "worker-2", False),
        (a_claimed_job(), 2, "worker-1", False),
        (a_job(), 1, "worker-1", False),
        (None, 1, "worker-1", False),
    ],
)
def test_is_own_claim_holds_when_turn_and_owner_are_ours(
    job: Job | None, seq: int, owner: str, *, expected: bool
) -> None:
    assert lifecycle.is_own_claim(job, seq, owner) is expected


def test_renew_keeps_the_turn_and_shows_progress() -> None:
    job = a_claimed_job()

    renewed = apply(lifecycle.renew(job, {"chunks": 7}, after(20)), job)

    assert renewed == replace(
        job,
        lease_until=after(80),
        progress={"chunks": 7},
        updated_at=after(20),
        version=3,
    )


@pytest.mark.parametrize(
    "found",
    [
        a_claimed_job(lease_owner="worker-2", epoch=2),
        a_waiting_job(),
        an_ended_job(),
    ],
    ids=["taken over", "committed", "ended"],
)
def test_renew_is_refused_when_the_turn_is_no_longer_ours(found: Job) -> None:
    assert not allows(lifecycle.renew(a_claimed_job(), {}, NOW), found)


def test_renew_is_refused_when_neither_has_an_owner() -> None:
    unclaimed = a_job()

    assert not allows(lifecycle.renew(unclaimed, {}, NOW), unclaimed)


TOO_LATE = Failed(
    "deadline_exceeded", "The job did not end within its time limit of 3600 seconds.", retryable=True
)
TOO_DEAR = Failed("cost_cap_reached", "The job would have cost more than its cap.", retryable=False)
TOO_MANY = Failed("worker_lost", "4 workers were lost on this step.", retryable=True)


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        (a_claimed_job(), None),
        (a_claimed_job(deadline_at=after(0.001)), None),
        (a_claimed_job(deadline_at=NOW), TOO_LATE),
        (a_claimed_job(deadline_at=after(-1)), TOO_LATE),
        (a_claimed_job(attempts=MAX_ATTEMPTS), None),
        (a_claimed_job(attempts=MAX_ATTEMPTS + 1), TOO_MANY),
        (a_claimed_job(cancel_requested_at=NOW), Cancelled()),
        (a_claimed_job(cancel_requested_at=NOW, deadline_at=NOW, attempts=9), Cancelled()),
        (a_claimed_job(deadline_at=NOW, attempts=9), TOO_LATE),
        (a_claimed_job(step=StepName.MEASURE, deadline_at=after(0.001) - CLOSING_GRACE), None),
        (a_claimed_job(step=StepName.MEASURE, deadline_at=NOW - CLOSING_GRACE), TOO_LATE),
        (a_claimed_job(cost_cap_at=after(0.001)), None),
        (a_claimed_job(cost_cap_at=NOW), TOO_DEAR),
        (a_claimed_job(cost_cap_at=NOW, deadline_at=after(-1)), TOO_LATE),
        (a_claimed_job(step=StepName.MEASURE, cost_cap_at=after(0.001) - CLOSING_GRACE), None),
        (a_claimed_job(step=StepName.MEASURE, cost_cap_at=NOW - CLOSING_GRACE), TOO_DEAR),
    ],
)
def test_forced_outcome_ends_a_turn_that_is_not_to_be_run(job: Job, expected: Outcome | None) -> None:
    assert transitions.forced_outcome(job, NOW) == expected


def test_request_cancel_flags_the_job_and_makes_it_due_when_its_message_must_have_come() -> None:
    job = a_claimed_job()

    flagged = apply(lifecycle.request_cancel(job, after(3)), job)

    assert flagged == replace(
        job,
        cancel_requested_at=after(3),
        due_at=after(3) + lifecycle.CANCEL_GRACE,
        due_class=DueClass.MESSAGE,
        updated_at=after(3),
        version=3,
    )


@pytest.mark.parametrize("status", ENDED)
def test_request_cancel_is_refused_when_the_job_has_ended(status: Status) -> None:
    assert not allows(lifecycle.request_cancel(a_claimed_job(), NOW), an_ended_job(status))


@pytest.mark.parametrize(
    ("dispatches", "grace_seconds"),
    [(0, 60), (1, 120), (2, 240), (3, 480), (4, 900), (5, 900), (40, 900)],
)
def test_redispatch_waits_longer_each_time_up_to_a_quarter_of_an_hour(
    dispatches: int, grace_seconds: int
) -> None:
    job = a_waiting_job(dispatches=dispatches, due_at=after(-1))

    dispatched = apply(lifecycle.redispatch(job, NOW), job)

    assert dispatched == replace(
        job, due_at=after(grace_seconds), dispatches=dispatches + 1, updated_at=NOW, version=4
    )


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (a_waiting_job(due_at=after(-1)), True),
        (a_waiting_job(due_at=after(60)), False),
        (an_ended_job(), False),
    ],
    ids=["still late", "another janitor was first", "ended"],
)
def test_redispatch_is_allowed_when_the_due_time_is_as_it_was_seen(found: Job, *, expected: bool) -> None:
    seen = a_waiting_job(due_at=after(-1))

    assert allows(lifecycle.redispatch(seen, NOW), found) is expected


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        (a_job(due_at=after(0.001)), False),
        (a_job(due_at=NOW), True),
        (a_job(due_at=after(-1)), True),
        (a_claimed_job(due_at=after(-1)), True),
        (a_job(due_at=None), False),
        (an_ended_job(due_at=after(-1)), False),
    ],
)
def test_is_late_holds_when_an_active_job_is_due(job: Job, *, expected: bool) -> None:
    assert lifecycle.is_late(job, NOW) is expected


@pytest.mark.parametrize(
    ("job", "lane"),
    [
        (a_job(step=StepName.CHECK), Lane.INFERENCE),
        (a_job(step=StepName.WARM_UP), Lane.INFERENCE),
        (a_job(step=StepName.MEASURE), Lane.INFERENCE),
        (a_job(step=StepName.CHECK_AGENT), Lane.INFERENCE),
        (a_job(step=StepName.RUN_AGENT), Lane.INFERENCE),
        (a_job(step=StepName.VERIFY), Lane.INFERENCE),
        (a_job(step=StepName.MEASURE, cancel_requested_at=NOW), Lane.MONEY),
    ],
)
def test_message_for_names_the_turn_and_its_lane(job: Job, lane: Lane) -> None:
    assert lifecycle.message_for(job) == Send(lane, StepMessage(JOB_ID, 1), 0)


NEWS: list[tuple[str, Job, int | None]] = [
    ("just accepted", a_job(), 1),
    ("its message is overdue", a_job(due_at=after(-500)), 1),
    ("delayed by 30 s", a_waiting_job(due_at=after(90)), 30),
    ("delayed by a bit", a_waiting_job(due_at=after(60.2)), 1),
    ("delayed by a second and a bit", a_waiting_job(due_at=after(61.001)), 2),
    ("delayed by a minute", a_waiting_job(due_at=after(120)), 60),
    ("delayed by a quarter of an hour", a_waiting_job(due_at=after(960)), 60),
    ("at work", a_claimed_job(), 2),
    ("at work, a moment longer", a_claimed_job(lease_until=after(0.001)), 2),
    ("its worker was lost", a_claimed_job(lease_until=NOW, due_at=NOW), 1),
    ("asked to stop", a_claimed_job(cancel_requested_at=NOW, due_at=NOW), 2),
    ("cancel requested, no worker", a_waiting_job(cancel_requested_at=NOW, due_at=NOW), 1),
    ("active without a due time", a_job(due_at=None), None),
    *((f"{status}", an_ended_job(status), None) for status in ENDED),
    ("ended with a lease left behind", an_ended_job(lease_until=after(60), due_at=after(60)), None),
]


@pytest.mark.parametrize(("job", "expected"), [row[1:] for row in NEWS], ids=[row[0] for row in NEWS])
def test_seconds_until_news_says_when_to_ask_again(job: Job, expected: int | None) -> None:
    assert lifecycle.seconds_until_news(job, NOW) == expected


# The time to wait and the time to run.


def accepted(**times: timedelta) -> Job:
    job, _ = lifecycle.accept(
        job_id=JOB_ID,
        tenant=TENANT,
        kind=Kind.BENCHMARK,
        first_step=StepName.CHECK,
        now=NOW,
        queue_timeout=times.get("queue_timeout", timedelta(hours=2)),
        max_runtime=times.get("max_runtime", timedelta(minutes=10)),
        retention=times.get("retention", timedelta(days=30)),
    )
    return job


def test_accept_keeps_a_jobs_rows_for_longer_than_it_may_be_active() -> None:
    job = accepted(queue_timeout=timedelta(days=7), retention=timedelta(days=1))

    assert job.expires_at - NOW == timedelta(days=7) + timedelta(minutes=10) + timedelta(days=2)
    assert accepted().expires_at == NOW + timedelta(days=30)


def test_place_gives_a_new_job_a_slot_and_a_message() -> None:
    placed = lifecycle.place(accepted(), 3, after(1))

    assert placed == replace(
        accepted(), waiting_since=None, slot=3, due_at=after(61), due_class=DueClass.MESSAGE
    )


def test_admit_ends_the_waiting_of_a_job() -> None:
    waiting = accepted()

    admitted = apply(lifecycle.admit(waiting, 3, after(9)), waiting)

    assert admitted == replace(
        waiting,
        waiting_since=None,
        slot=3,
        due_at=after(69),
        due_class=DueClass.MESSAGE,
        updated_at=after(9),
        version=2,
    )


@pytest.mark.parametrize(
    "found",
    [a_job(slot=1), a_claimed_job(), an_ended_job(Status.CANCELLED)],
    ids=["admitted already", "begun", "cancelled"],
)
def test_admit_is_refused_when_the_job_no_longer_waits(found: Job) -> None:
    assert not allows(lifecycle.admit(accepted(), 0, NOW), found)


def test_claim_is_refused_while_the_job_waits() -> None:
    waiting = accepted()

    assert not allows(lifecycle.claim(waiting, 1, "worker-1", NOW), waiting)
    assert lifecycle.explain_refusal(waiting, 1) is Refusal.WAITING


def test_claim_begins_the_running_time_with_the_first_turn() -> None:
    placed = lifecycle.place(accepted(), 0, NOW)

    claimed = apply(lifecycle.claim(placed, 1, "worker-1", after(7000)), placed)

    assert (claimed.started_at, claimed.deadline_at) == (after(7000), after(7600))


def test_claim_leaves_the_deadline_as_it_is_after_the_first_turn() -> None:
    job = a_waiting_job(deadline_at=after(50))

    claimed = apply(lifecycle.claim(job, 2, "worker-2", after(40)), job)

    assert (claimed.started_at, claimed.deadline_at) == (NOW, after(50))


def test_claim_that_would_begin_the_running_time_is_refused_when_it_has_begun() -> None:
    # The first worker's turn was lost, and this one has read the row before.
    assert not allows(lifecycle.claim(a_job(), 1, "worker-2", after(99)), a_claimed_job())


@pytest.mark.parametrize(
    ("step", "due_class"), [(StepName.WARM_UP, DueClass.LEASE), (StepName.RELEASE, DueClass.RELEASE)]
)
def test_claim_is_due_by_its_lease_unless_a_machine_bills(step: StepName, due_class: DueClass) -> None:
    job = a_waiting_job(step=step)

    claimed = apply(lifecycle.claim(job, 2, "worker-2", NOW), job)

    assert (claimed.due_at, claimed.due_class) == (after(60), due_class)
    assert lifecycle.hold(step, "worker-2", NOW) == {
        "lease_owner": "worker-2",
        "lease_until": after(60),
        "due_at": after(60),
        "due_class": due_class,
        "attempts": 1,
    }


@pytest.mark.parametrize(
    ("due_seconds", "written"), [(60, False), (50.001, False), (50, True), (21, True), (19, True)]
)
def test_renew_writes_the_due_time_only_shortly_before_it_comes(due_seconds: float, *, written: bool) -> None:
    job = a_claimed_job(due_at=after(due_seconds))

    renewed = apply(lifecycle.renew(job, {}, after(20)), job)

    assert renewed.lease_until == after(80)
    assert renewed.due_at == (after(80) if written else after(due_seconds))


@pytest.mark.parametrize(
    ("step", "due_class"), [(StepName.WARM_UP, DueClass.LEASE), (StepName.RELEASE, DueClass.RELEASE)]
)
def test_renew_keeps_the_class_of_the_turn(step: StepName, due_class: DueClass) -> None:
    job = a_claimed_job(step=step, due_at=NOW, due_class=DueClass.MESSAGE)

    assert apply(lifecycle.renew(job, {}, NOW), job).due_class is due_class


def test_request_cancel_is_refused_while_the_job_waits() -> None:
    assert not allows(lifecycle.request_cancel(accepted(), NOW), accepted())


def test_request_cancel_of_a_release_stays_in_the_class_that_comes_first() -> None:
    job = a_claimed_job(step=StepName.RELEASE)

    assert apply(lifecycle.request_cancel(job, NOW), job).due_class is DueClass.RELEASE


OVERRUNS: list[tuple[str, Job, float]] = [
    ("waiting", a_job(waiting_since=NOW, deadline_at=after(50)), 50),
    ("queued", a_job(deadline_at=after(50)), 50),
    ("at work", a_claimed_job(deadline_at=after(50)), 170),
    ("with a state", a_claimed_job(step=StepName.MEASURE, deadline_at=after(50)), 350),
    ("with a state, judging", a_claimed_job(step=StepName.JUDGE, deadline_at=after(50)), 350),
]


@pytest.mark.parametrize(("job", "seconds"), [row[1:] for row in OVERRUNS], ids=[row[0] for row in OVERRUNS])
def test_overrun_comes_after_all_that_the_jobs_own_lane_may_do(job: Job, seconds: float) -> None:
    assert lifecycle.overrun_at(job) == after(seconds)


@pytest.mark.parametrize(
    ("job", "is_too_late"),
    [
        (a_job(deadline_at=after(0.001)), False),
        (a_job(deadline_at=NOW), True),
        (a_job(deadline_at=NOW, waiting_since=NOW), True),
        (a_claimed_job(deadline_at=NOW), False),
        (an_ended_job(deadline_at=NOW), False),
    ],
    ids=["in time", "too late", "waiting", "begun", "ended"],
)
def test_is_too_late_to_begin_once_the_time_to_wait_is_over(job: Job, *, is_too_late: bool) -> None:
    assert lifecycle.is_too_late_to_begin(job, NOW) is is_too_late


def test_redispatch_makes_the_turn_due_no_later_than_its_overrun() -> None:
    job = a_waiting_job(due_at=NOW, dispatches=9, deadline_at=after(30))

    assert apply(lifecycle.redispatch(job, NOW), job).due_at == after(150)


def test_redispatch_of_a_release_knows_no_overrun() -> None:
    job = a_waiting_job(step=StepName.RELEASE, due_at=NOW, dispatches=9, deadline_at=after(30))

    dispatched = apply(lifecycle.redispatch(job, NOW), job)

    assert (dispatched.due_at, dispatched.due_class) == (after(900), DueClass.RELEASE)


@pytest.mark.parametrize(
    ("deadline_seconds", "due_seconds"), [(3600, 60), (-90, 30), (-119.5, 0.5), (-120, 0), (-500, 0)]
)
def test_put_off_makes_the_turn_late_again_at_the_next_tick(
    deadline_seconds: float, due_seconds: float
) -> None:
    job = a_waiting_job(due_at=after(-5), deadline_at=after(deadline_seconds), dispatches=2)

    put_off = apply(lifecycle.put_off(job, NOW), job)

    assert put_off == replace(job, due_at=after(due_seconds), updated_at=NOW, version=4)
    assert not allows(lifecycle.put_off(job, NOW), a_waiting_job(due_at=after(60)))


def test_news_of_a_waiting_job_is_asked_for_four_times_a_minute() -> None:
    assert lifecycle.seconds_until_news(accepted(), NOW) == 15
