"""The engine's decisions under any order of messages, workers, janitors and callers.

No queue, no event loop: a worker is the job as its claim left it, and commits whenever the machine says so, also
long after its lease ran out.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count
from typing import override

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rune.errors import JobFinishedError
from rune.jobs import closing, engine, lifecycle, plan, transitions
from rune.jobs.admission import Admission
from rune.jobs.lease import run_leased
from rune.jobs.lifecycle import Send
from rune.jobs.metrics import Tallies
from rune.jobs.outcomes import Again, Cancelled, Done, Failed, Next, Outcome, Requeue
from rune.jobs.places import DEFAULT_TERMS, Share
from rune.jobs.plan import Lane
from rune.jobs.record import ACTIVE, DueClass, Job, Kind, Status, StepMessage, StepName
from rune.jobs.store import Refused, Submission
from rune.jobs.transitions import Transition, cancel_queued, keep_hold, make_transition
from rune.services.jobs import JobLimits, JobService
from rune.services.late_jobs import LateJobSweep
from rune.services.notices import NoticeSweep
from rune.services.tick import JobTick
from tests.builders import TENANT, FakeClock
from tests.memory_job_store import MemoryJobStore
from tests.memory_outbox import RecordingNotices
from tests.spending import LARGE_LIMITS

pytestmark = pytest.mark.slow

LIMITS = JobLimits(
    queue_timeout=timedelta(hours=6),
    max_runtime=timedelta(hours=1),
    retention=timedelta(days=30),
    max_cost_micro_usd=10_000_000,
    spending=LARGE_LIMITS,
)
SLOT_COUNT = 2

FOLLOWING = {StepName.CHECK: Next(StepName.WARM_UP), StepName.WARM_UP: Next(StepName.MEASURE)}

outcomes: st.SearchStrategy[Outcome] = st.one_of(
    st.builds(Next, st.sampled_from(StepName), st.sampled_from([0, 5, 2000])),
    st.builds(Again, st.sampled_from([0, 30, 2000])),
    st.builds(Requeue, st.sampled_from([1, 50]), st.just({"machines_at_most": 1})),
    st.builds(Done, st.just("{}")),
    st.builds(Failed, st.just("any"), st.just("Any."), st.booleans(), st.sampled_from([None, 30])),
    st.just(Cancelled()),
)
positions = st.integers(0, 99)
waits = st.sampled_from([0.001, 1.0, 59.999, 60.0, 60.001, 901.0])


@dataclass(slots=True)
class Waiting:
    """A message in a queue."""

    send: Send
    visible_at: datetime


@dataclass(slots=True)
class Worker:
    """A worker that took a turn, alive or not."""

    job: Job
    held_until: datetime


class WatchedStore(MemoryJobStore):
    """Fails the test when a turn is committed twice, an event number used twice, or a cancel request put off."""

    def __init__(self) -> None:
        super().__init__()
        self._committed: set[tuple[str, int]] = set()

    @override
    def commit(self, job: Job, transition: Transition, tallies: Tallies | None = None) -> bool:
        known = {event.number for event in self.events_of(job.job_id)}
        is_written = super().commit(job, transition, tallies)
        if is_written:
            turn = (job.job_id, job.seq)
            assert turn not in self._committed, f"turn {turn} was committed twice"
            assert not known & {event.number for event in transition.events}, "an event was overwritten"
            self._committed.add(turn)
            is_delayed = transition.send is not None and transition.send.delay_seconds > 0
            # A release is not interrupted by a cancel request, and a step that winds down may wait for a server.
            may_wait = job.is_releasing or plan.STEPS[job.step].winds_down
            is_to_stop = self.jobs[job.job_id].cancel_requested_at is not None and not may_wait
            assert not (is_delayed and is_to_stop), "a job that was to stop waits"
        return is_written


async def no_pause(seconds: float) -> None:
    """Fail: the store of this test never does."""
    raise AssertionError(seconds)


class Engine(RuleBasedStateMachine):
    """Rules are what may happen next; the invariants hold after each."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.store = WatchedStore()
        self.messages: list[Waiting] = []
        self.workers: list[Worker] = []
        self.seen: dict[str, Job] = {}
        self.names = count(1)
        self.job_service = JobService(
            self.store, self, self.clock, LIMITS, SLOT_COUNT, budgets=self.store.budgets
        )
        self.admission = Admission(self.store, self, self.clock, SLOT_COUNT)
        self.engine = engine.Engine(
            lane=Lane.MONEY,
            store=self.store,
            queue=self,
            clock=self.clock,
            steps={},
            run_step=run_leased,
            pause=no_pause,
            admission=self.admission,
        )

    def send(self, send: Send) -> bool:
        """Be the queue."""
        assert 0 <= send.delay_seconds <= 900
        self.messages.append(Waiting(send, self.clock.now() + timedelta(seconds=send.delay_seconds)))
        return True

    def count_backlog(self, lane: Lane) -> int:
        """Count what waits, as the queue does."""
        return sum(message.send.lane is lane for message in self.visible)

    @property
    def visible(self) -> list[Waiting]:
        return [message for message in self.messages if message.visible_at <= self.clock.now()]

    @precondition(lambda self: len(self.store.jobs) < 4)
    @rule(may_wait_again=st.booleans())
    def submit(self, *, may_wait_again: bool) -> None:
        job, event = lifecycle.accept(
            # The service draws its ids, and the same run must be the same again.
            job_id=f"job-{next(self.names)}",
            tenant=TENANT,
            kind=Kind.BENCHMARK,
            first_step=StepName.CHECK,
            now=self.clock.now(),
            queue_timeout=LIMITS.queue_timeout,
            max_runtime=LIMITS.max_runtime,
            retention=LIMITS.retention,
        )
        if may_wait_again:
            # As of a job that rents, which would end by way of `release`.
            job = replace(job, begin_by=job.deadline_at)
        self.admission.submit(Submission(job, "{}", event), DEFAULT_TERMS)

    @precondition(lambda self: self.visible)
    @rule(position=positions, outcome=outcomes, is_sent=st.booleans(), keeps=st.booleans())
    def deliver_and_commit(self, position: int, outcome: Outcome, *, is_sent: bool, keeps: bool) -> None:
        worker = self.claim(self.take(position))
        if worker:
            self.commit_turn(worker, outcome, is_sent=is_sent, keeps=keeps)

    @precondition(lambda self: self.visible)
    @rule(position=positions)
    def deliver_and_hold(self, position: int) -> None:
        worker = self.claim(self.take(position))
        if worker:
            self.workers.append(worker)

    @precondition(lambda self: self.visible)
    @rule(position=positions)
    def deliver_and_crash(self, position: int) -> None:
        self.claim(self.take(position))

    @precondition(lambda self: self.messages)
    @rule(position=positions)
    def duplicate(self, position: int) -> None:
        self.messages.append(replace(self.messages[position % len(self.messages)]))

    @precondition(lambda self: self.messages)
    @rule(position=positions)
    def lose(self, position: int) -> None:
        self.messages.pop(position % len(self.messages))

    @precondition(lambda self: self.workers)
    @rule(position=positions, outcome=outcomes, is_sent=st.booleans(), keeps=st.booleans())
    def commit_late(self, position: int, outcome: Outcome, *, is_sent: bool, keeps: bool) -> None:
        worker = self.workers.pop(position % len(self.workers))
        self.commit_turn(worker, outcome, is_sent=is_sent, keeps=keeps)

    @precondition(lambda self: self.workers)
    @rule(position=positions, stops=st.booleans())
    def renew(self, position: int, *, stops: bool) -> None:
        worker = self.workers[position % len(self.workers)]
        change = lifecycle.renew(worker.job, {"chunks": 1}, self.clock.now())
        renewed = self.store.update(worker.job.job_id, change)
        if isinstance(renewed, Job):
            assert renewed.epoch == worker.job.epoch
            worker.held_until = renewed.lease_until or self.clock.now()
        elif stops:
            self.workers.remove(worker)

    @precondition(lambda self: self.workers)
    @rule(position=positions)
    def take_over(self, position: int) -> None:
        """The worker sleeps through its lease, and another takes its turn."""
        asleep = self.workers[position % len(self.workers)]
        self.clock.instant = max(self.clock.now(), asleep.held_until) + timedelta(milliseconds=1)
        successor = self.claim(lifecycle.message_for(asleep.job))
        if successor:
            self.workers.append(successor)

    @precondition(lambda self: self.store.jobs)
    @rule(position=positions, seq=st.integers(0, 9))
    def redrive(self, position: int, seq: int) -> None:
        """An operator may put old messages back, and mistake one."""
        send = lifecycle.message_for(self.any_job(position))
        message = StepMessage(send.message.job_id, min(seq, send.message.seq))
        self.send(replace(send, message=message))

    @precondition(lambda self: self.store.jobs)
    @rule(position=positions, on_old_news=st.booleans())
    def cancel(self, position: int, *, on_old_news: bool) -> None:
        job = self.any_job(position)
        if on_old_news:
            # The service has read the job as it was accepted, and writes now.
            self.cancel_as_seen(replace(job, status=Status.QUEUED, seq=1, epoch=0, event_count=1))
        else:
            with suppress(JobFinishedError):
                self.job_service.cancel(TENANT, job.job_id)

    @rule(seconds=waits)
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(is_overlapping=st.booleans())
    def tick(self, *, is_overlapping: bool) -> None:
        if is_overlapping:
            self.tick_twice_at_once()
        else:
            notices = NoticeSweep(self.store.outbox, RecordingNotices(), self.clock)
            tick = JobTick(
                LateJobSweep(self.store, self, self.clock, self.admission), self.admission, notices
            )
            tick.send_releases(lambda: True)
            tick.send_late_and_admit(lambda: True)
            assert tick.result.failed == []

    def tick_twice_at_once(self) -> None:
        now = self.clock.now()
        with_messages = (DueClass.RELEASE, DueClass.LEASE, DueClass.MESSAGE)
        for job_id in [each for due in with_messages for each in self.store.find_late(due, now, 100)]:
            # Both have read the row before either writes.
            found = self.store.jobs[job_id]
            answers = [self.store.update(job_id, lifecycle.redispatch(found, now)) for _ in range(2)]
            winners = [answer for answer in answers if not isinstance(answer, Refused)]
            assert len(winners) == 1, "two janitors sent the same turn"
            self.send(lifecycle.message_for(winners[0]))

    @invariant()
    def an_ended_job_stays_as_it_is(self) -> None:
        for job_id, before in self.seen.items():
            if before.status not in ACTIVE:
                assert self.store.jobs[job_id] == before

    @invariant()
    def counters_only_rise(self) -> None:
        for job_id, before in self.seen.items():
            job = self.store.jobs[job_id]
            assert (job.seq >= before.seq, job.epoch >= before.epoch) == (True, True)
            assert job == before or job.version > before.version
        self.seen = dict(self.store.jobs)

    @invariant()
    def events_are_numbered_without_a_gap(self) -> None:
        for job in self.store.jobs.values():
            numbers = [event.number for event in self.store.events_of(job.job_id)]
            assert numbers == list(range(1, job.event_count + 1))

    @invariant()
    def only_a_succeeded_job_has_a_result(self) -> None:
        for job in self.store.jobs.values():
            assert (self.store.result_of(job.job_id) is not None) == (job.status is Status.SUCCEEDED)

    @invariant()
    def a_job_is_found_by_the_janitor_until_it_has_ended(self) -> None:
        for job in self.store.jobs.values():
            assert (job.due_at is not None) == (job.status in ACTIVE)
            assert (job.finished_at is not None) == (job.status not in ACTIVE)

    @invariant()
    def slots_and_counts_agree_with_the_jobs(self) -> None:
        jobs = self.store.jobs
        held = {slot.job_id: number for number, slot in self.store.slots.items() if slot.job_id}
        running = {job_id: job.slot for job_id, job in jobs.items() if job.is_active and not job.is_waiting}
        assert len(held) <= SLOT_COUNT
        assert running.items() <= held.items(), "a job runs without its slot"
        share = self.store.shares.get(TENANT, Share(TENANT))
        assert (share.running, share.waiting) == (len(held), sum(job.is_waiting for job in jobs.values()))

    def teardown(self) -> None:
        """From here on nothing fails; then every job must end."""
        zombies, self.workers = self.workers, []
        for _ in range(100):
            while self.visible:
                worker = self.claim(self.take(0))
                if worker:
                    self.commit_turn(worker, FOLLOWING.get(worker.job.step, Done("{}")), is_sent=True)
            if all(job.status not in ACTIVE for job in self.store.jobs.values()):
                break
            self.clock.advance(60)
            self.tick(is_overlapping=False)
        assert [job for job in self.store.jobs.values() if job.status in ACTIVE] == []
        for zombie in zombies:
            self.commit_turn(zombie, Done("{}"), is_sent=True)
        self.check_invariants_at_rest()

    def check_invariants_at_rest(self) -> None:
        self.an_ended_job_stays_as_it_is()
        self.counters_only_rise()
        self.events_are_numbered_without_a_gap()
        self.only_a_succeeded_job_has_a_result()
        self.slots_and_counts_agree_with_the_jobs()
        self.a_job_is_found_by_the_janitor_until_it_has_ended()

    def cancel_as_seen(self, job: Job) -> None:
        now = self.clock.now()
        if not self.store.commit(job, cancel_queued(job, now)):
            flagged = self.store.update(job.job_id, lifecycle.request_cancel(job, now))
            if isinstance(flagged, Job):
                self.send(lifecycle.message_for(flagged))

    def any_job(self, position: int) -> Job:
        return list(self.store.jobs.values())[position % len(self.store.jobs)]

    def take(self, position: int) -> Send:
        message = self.visible[position % len(self.visible)]
        self.messages.remove(message)
        return message.send

    def claim(self, send: Send) -> Worker | None:
        """Return a worker at work on the message's turn, or None where that is not to be had."""
        now, owner = self.clock.now(), f"worker-{next(self.names)}"
        message = send.message
        job = self.store.jobs[message.job_id]
        if lifecycle.is_first_claim(job):
            claimed = self.store.begin(job, *lifecycle.begin(job, message.seq, owner, now))
        else:
            claimed = self.store.update(message.job_id, lifecycle.claim(job, message.seq, owner, now))
        if isinstance(claimed, Refused):
            lifecycle.explain_refusal(claimed.found, message.seq)
            return None
        assert claimed.seq == message.seq, "a stale message began another turn"
        assert self.store.slots[claimed.slot or 0].job_id == claimed.job_id, "a job without a slot was begun"
        for other in self.workers:
            if (other.job.job_id, other.job.seq) == (claimed.job_id, claimed.seq):
                assert other.held_until < now, "two workers hold the same turn"
        return Worker(claimed, claimed.lease_until or now)

    def commit_turn(self, worker: Worker, outcome: Outcome, *, is_sent: bool, keeps: bool = False) -> None:
        """Commit what the engine would, at this instant; only the winner goes on or sends, and it may get lost."""
        now = self.clock.now()
        forced = transitions.forced_outcome(worker.job, now)
        transition = make_transition(worker.job, forced or outcome, now, duration_ms=1)
        held: Job | None = None
        if keeps and transition.send and transition.send.delay_seconds == 0:
            transition, held = keep_hold(worker.job, transition, f"worker-{next(self.names)}", now)
        if not self.store.commit(worker.job, transition):
            self.engine._commit_cancel(worker.job, forced or outcome, 1)
        elif held:
            found = self.store.jobs[held.job_id]
            assert replace(held, version=found.version) == found, (
                "a worker goes on with another job than is stored"
            )
            # Where nothing is sent, the worker is lost.
            if is_sent:
                self.workers.append(Worker(held, held.lease_until or now))
        elif is_sent:
            if transition.send:
                self.send(transition.send)
            if transition.is_requeue:
                self.admission.fill_slot(worker.job)
            if closing.ends(transition):
                self.admission.leave(self.store.jobs[worker.job.job_id])


Engine.TestCase.settings = settings(max_examples=600, stateful_step_count=50)
TestEngine = Engine.TestCase
