"""A job that may not rent yet gives its slot back and waits again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import pytest

from rune.jobs import lifecycle
from rune.jobs.admission import MORE_CANDIDATES, Admission
from rune.jobs.outcomes import Cancelled, Requeue
from rune.jobs.places import DEFAULT_TERMS, QueuePlace, Terms
from rune.jobs.plan import describe
from rune.jobs.record import DueClass, Event, Job, Status, StepName
from rune.jobs.store import Submission
from rune.jobs.transitions import Transition, cancel_queued, cut_off, expire_queued, make_transition
from rune.jobs.wants import FEWER_MACHINES, KEPT_UNUSED
from rune.storage.change import allows, apply
from tests.builders import NOW, TENANT, FakeClock, RecordingQueue, a_claimed_job, a_job, after
from tests.memory_job_store import MemoryJobStore

WANT = {FEWER_MACHINES: 1}
BEGIN_BY = after(86_400)


def a_renting_job(job_id: str, posted_after_seconds: float = 0, *, rents: bool = True) -> Job:
    """Return a job that is to be submitted."""
    posted_at = after(posted_after_seconds)
    return a_job(
        job_id=job_id,
        rents=rents,
        step=StepName.RENT if rents else StepName.CHECK,
        created_at=posted_at,
        waiting_since=posted_at,
        deadline_at=BEGIN_BY,
        due_at=BEGIN_BY,
        due_class=DueClass.WAIT,
    )


class House:
    """Slots, and jobs of one tenant that may have so many machines."""

    def __init__(self, slot_count: int = 2, max_machines: int | None = None) -> None:
        self.store, self.queue, self.clock = MemoryJobStore(), RecordingQueue(), FakeClock()
        self.admission = Admission(self.store, self.queue, self.clock, slot_count)
        self.terms = Terms(max_machines=max_machines)

    def submit(self, *jobs: Job, terms: Terms | None = None) -> None:
        for job in jobs:
            event = Event(1, "job.accepted", "ok", job.created_at)
            self.admission.submit(Submission(job, "{}", event), terms or self.terms)

    def claim(self, job_id: str) -> Job:
        job = self.store.jobs[job_id]
        now = self.clock.now()
        if lifecycle.is_first_claim(job):
            claimed = self.store.begin(job, *lifecycle.begin(job, job.seq, f"of {job_id}", now))
        else:
            claimed = self.store.update(job_id, lifecycle.claim(job, job.seq, f"of {job_id}", now))
        assert isinstance(claimed, Job)
        return claimed

    def look(self, job_id: str, want: dict[str, int] | None = None) -> None:
        """Let a job with a slot find that it may not rent."""
        claimed = self.claim(job_id)
        transition = make_transition(claimed, Requeue(50, want or WANT), self.clock.now(), 5)
        assert self.store.commit(claimed, transition)
        self.admission.fill_slot(claimed)

    def end(self, job_id: str) -> None:
        """Let a job with a slot end."""
        job = self.store.jobs[job_id]
        ended = replace(job, status=Status.SUCCEEDED, finished_at=self.clock.now(), due_at=None)
        self.store.jobs[job_id] = ended
        self.admission.leave(ended)

    @property
    def running(self) -> list[str | None]:
        return [slot.job_id for slot in self.store.slots.values() if slot.job_id is not None]

    def counts(self) -> tuple[int, int]:
        share = self.store.shares[TENANT]
        return share.running, share.waiting


CLAIMED = a_claimed_job(
    step=StepName.RENT,
    rents=True,
    slot=3,
    created_at=after(-30),
    begin_by=BEGIN_BY,
    event_count=2,
    failures=1,
)


def test_requeue_gives_back_the_slot_the_place_and_the_running_time_in_one_write() -> None:
    transition = make_transition(CLAIMED, Requeue(50, WANT), after(4), 5)

    assert apply(transition.change, CLAIMED) == replace(
        CLAIMED,
        status=Status.QUEUED,
        waiting_since=after(-30),
        slot=None,
        looks_again_at=after(54),
        started_at=None,
        deadline_at=BEGIN_BY,
        due_at=BEGIN_BY,
        due_class=DueClass.WAIT,
        lease_owner=None,
        lease_until=None,
        attempts=0,
        failures=0,
        progress=WANT,
        seq=2,
        version=3,
        updated_at=after(4),
    )
    assert [row.change.name for row in transition.companions] == ["free_slot", "count_requeued"]
    assert (transition.send, transition.events) == (None, ())


@pytest.mark.parametrize("job", [replace(CLAIMED, begin_by=None), replace(CLAIMED, slot=None)])
def test_job_that_an_earlier_version_has_begun_keeps_its_slot_and_looks_again(job: Job) -> None:
    transition = make_transition(job, Requeue(50, WANT), after(4), 5)

    kept = apply(transition.change, job)
    assert (kept.status, kept.slot, kept.waiting_since) == (Status.RUNNING, job.slot, None)
    assert transition.companions == ()
    assert transition.send is not None
    assert transition.send.delay_seconds == 50


def test_requeue_is_refused_when_a_cancel_request_came_meanwhile() -> None:
    transition = make_transition(CLAIMED, Requeue(50, WANT), after(4), 5)

    assert not allows(transition.change, replace(CLAIMED, cancel_requested_at=after(1)))
    assert cut_off(CLAIMED, Requeue(50, WANT), 5) == Cancelled()


def test_first_claim_alone_is_told_and_remembers_how_long_the_job_may_wait() -> None:
    house = House()
    house.submit(a_renting_job("a"))
    house.look("a")
    assert [event.name for event in house.store.events_of("a")] == ["job.accepted", "job.running"]

    house.clock.advance(60)
    house.admission.admit_waiting()
    again = house.claim("a")

    assert [event.name for event in house.store.events_of("a")] == ["job.accepted", "job.running"]
    assert (again.begin_by, again.started_at, again.deadline_at) == (BEGIN_BY, after(60), after(3660))
    assert (again.looks_again_at, again.seq, again.progress) == (None, 2, WANT)


def test_others_pass_a_job_that_waits_again_and_it_comes_before_later_ones() -> None:
    house = House(slot_count=1)
    house.submit(a_renting_job("a"), a_renting_job("b", 1), a_renting_job("plain", 2, rents=False))
    assert house.running == ["a"]

    house.look("a")

    # The later one that rents would find the same, and does not pass.
    assert house.running == ["plain"]
    house.clock.advance(51)
    house.end("plain")
    assert house.running == ["a"]
    assert house.counts() == (1, 1)


def test_job_that_waits_again_is_begun_when_one_that_rents_has_ended() -> None:
    house = House(slot_count=2)
    house.submit(a_renting_job("a"), a_renting_job("b", 1), a_renting_job("c", 2))
    house.claim("a")
    house.clock.advance(2)
    house.look("b")
    assert house.running == ["a"]

    house.clock.advance(3)
    house.end("a")

    assert sorted(map(str, house.running)) == ["b", "c"]


def test_later_jobs_look_for_themselves_while_the_tenant_keeps_an_unused_machine() -> None:
    house = House(slot_count=1)
    house.submit(a_renting_job("a"), a_renting_job("b", 1))

    house.look("a", {**WANT, KEPT_UNUSED: 1})

    assert house.running == ["b"]


def test_no_more_jobs_that_rent_are_begun_than_the_tenant_may_have_machines() -> None:
    house = House(slot_count=5, max_machines=2)
    jobs = [a_renting_job(f"job {number}", number) for number in range(4)]
    house.submit(*jobs, a_renting_job("plain", 9, rents=False))

    assert house.running == ["job 0", "job 1", "plain"]
    waiting = house.store.jobs["job 2"]
    place = house.admission.find_place(waiting)
    assert place == QueuePlace(1, is_exact=True, wait_seconds=None, max_machines=2)
    assert describe(waiting, place) == (
        "Waiting until one of your machines ends: your tenant may have 2 at a time. In the queue it has none of"
        " your jobs before it. Nothing is billed meanwhile."
    )
    assert house.admission.would_wait(TENANT, house.terms, rents=True)

    house.end("job 1")
    assert house.running == ["job 0", "job 2", "plain"]


def test_plain_job_is_begun_behind_many_that_may_not_rent() -> None:
    house = House(slot_count=3, max_machines=1)
    house.submit(*(a_renting_job(f"job {number:02}", number) for number in range(MORE_CANDIDATES - 1)))
    assert house.running == ["job 00"]

    house.submit(a_renting_job("plain", 200, rents=False))

    assert house.running == ["job 00", "plain"]


def test_job_of_another_tenant_is_begun_at_once_beside_those_that_may_not_rent() -> None:
    house = House(slot_count=3, max_machines=1)
    house.submit(*(a_renting_job(f"job {number}", number) for number in range(3)))

    house.submit(replace(a_renting_job("other", 9, rents=False), tenant="acme"), terms=DEFAULT_TERMS)

    assert house.running == ["job 0", "other"]


@pytest.mark.parametrize("end", [cancel_queued, expire_queued])
def test_end_of_a_job_that_waited_before_is_refused(end: Callable[[Job, datetime], Transition]) -> None:
    house = House(slot_count=1)
    house.submit(a_renting_job("other"), a_renting_job("a", 1))
    seen = house.store.jobs["a"]
    house.end("other")
    house.clock.advance(1)
    house.look("a")

    # It waits since the same moment, with one event more.
    assert house.store.jobs["a"].waiting_since == seen.waiting_since
    assert not house.store.commit(seen, end(seen, after(9)))
    assert not allows(lifecycle.admit(seen, 0, after(9)), house.store.jobs["a"])


def test_job_that_waits_again_ends_at_its_time_to_wait_and_says_what_for() -> None:
    house = House(slot_count=1)
    house.submit(a_renting_job("a"))
    house.look("a")
    job = house.store.jobs["a"]
    assert (job.due_at, job.due_class, lifecycle.overrun_at(job)) == (BEGIN_BY, DueClass.WAIT, BEGIN_BY)

    ended = apply(expire_queued(job, BEGIN_BY).change, job)

    assert ended.failure is not None
    assert (ended.failure.code, ended.slot, ended.waiting_since) == ("queue_timeout", None, None)
    assert ended.failure.sentence == (
        "The job was not begun within its time to wait. Waiting until one of your machines ends: your tenant may"
        " have 1 at a time."
    )


def test_describe_says_what_a_job_waits_for_and_that_nothing_is_billed() -> None:
    job = replace(CLAIMED, status=Status.QUEUED, waiting_since=NOW, progress=WANT)

    assert describe(job, QueuePlace(4, is_exact=True, wait_seconds=60)) == (
        "Waiting until one of your machines ends: your tenant may have 1 at a time. In the queue it has 3 of your"
        " jobs before it. Nothing is billed meanwhile."
    )
