"""The whole engine in a simulated world: queues, workers, janitors, a model server, and bad luck.

Everything real is the engine's own code; simulated are time, the queue (visibility, delay, redelivery), the
table's failures and the model server's pace. Workers are coroutines that the world resumes one at a time, so a
seed gives the same run every time, and hours pass in milliseconds.

Every place where a process can die, a call can fail or an answer can get lost is a *cut point*. They are counted
as the run passes them, so that a test can put one fault at each of them in turn.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from rune.agents.settings import AgentSettings
from rune.errors import (
    JobFinishedError,
    RuneError,
    ServerOverloadedError,
    StoreUnavailableError,
    StreamTruncatedError,
)
from rune.jobs import sweep
from rune.jobs.admission import Admitted
from rune.jobs.desk import Caller, Desk, Terms
from rune.jobs.engine import Engine
from rune.jobs.lease import Lease
from rune.jobs.lifecycle import Send
from rune.jobs.metrics import Tallies, merge, tally
from rune.jobs.outcomes import Cancelled, Outcome
from rune.jobs.plan import Lane
from rune.jobs.record import ACTIVE, Job, Kind, Status, StepMessage, StepName
from rune.jobs.settlement import Settlement
from rune.jobs.step import Step, StepContext
from rune.jobs.steps.registry import make_steps
from rune.jobs.store import History, ListedJob, Refused, StoredJob, Submission, Submitted
from rune.llm.protocol import (
    ChatRequest,
    FinishReason,
    Generation,
    OnChunk,
    OnPull,
    PullProgress,
    PullRequest,
    ServerTimings,
    Stamps,
    TokenCounts,
    TokenSource,
    WarmUp,
    WarmUpRequest,
)
from rune.net.addresses import AddressPolicy
from rune.storage.change import Change, Is
from tests.memory_store import MemoryJobStore

START = datetime(2026, 11, 23, tzinfo=UTC)
VISIBILITY_SECONDS = {Lane.CONTROL: 360, Lane.INFERENCE: 5400}
MAX_RECEIVES = 5
TICK_SECONDS = 60
RENEWAL_SECONDS = 20.0
CALLER = Caller("acme")
QUESTION_JSON = (
    '{"question": "What is unhealthy?", "model": "llama3.1:8b", "backend_url": "http://sim.example:11434"}'
)
BENCHMARK = Admitted(Kind.BENCHMARK, StepName.CHECK, QUESTION_JSON)
AGENTIC_AGENT = Admitted(Kind.AGENTIC_AGENT, StepName.CHECK_AGENT, QUESTION_JSON)
LLM_INSTANCE = Admitted(Kind.LLM_INSTANCE, StepName.VERIFY, '{"backend_url": "http://sim.example:11434"}')


class Crash(BaseException):
    """The process is gone, between one instruction and the next."""


class Fault(StrEnum):
    """What can happen at a cut point."""

    CRASH = "crash"
    OUTAGE = "outage"
    LOST_ANSWER = "lost_answer"
    PAUSE = "pause"
    OVERTAKEN = "overtaken"
    DUPLICATE = "duplicate"
    DELAY = "delay"
    LOSE_MESSAGE = "lose_message"


@dataclass(frozen=True, slots=True)
class Odds:
    """Chance of each fault at every cut point where it can happen, and how long things take."""

    chances: dict[Fault, float] = field(default_factory=dict)
    overload: float = 0.0
    truncation: float = 0.0
    skew_seconds: float = 0.0
    answer_seconds: tuple[float, float] = (12.0, 12.0)


@dataclass(frozen=True, slots=True)
class Sleep:
    """What a coroutine yields to let simulated time pass."""

    seconds: float

    def __await__(self) -> Generator[Sleep]:
        yield self


@dataclass(slots=True)
class SkewedClock:
    """A worker's clock, which may be seconds off the world's."""

    world: World
    skew_seconds: float

    def now(self) -> datetime:
        return self.world.now + timedelta(seconds=self.skew_seconds)

    def monotonic_seconds(self) -> float:
        return (self.world.now - START).total_seconds()


class World:
    """One simulated deployment.

    Parameters
    ----------
    planned
        Faults by number of the cut point at which they happen; beside them `odds` draws others.
    unguarded
        Name of a change and the field whose requirement the table forgets to check.
    """

    def __init__(
        self,
        seed: int = 0,
        odds: Odds | None = None,
        planned: dict[int, Fault] | None = None,
        unguarded: tuple[str, str] | None = None,
    ) -> None:
        self.random = random.Random(seed)
        self.odds = odds or Odds()
        self.planned = planned or {}
        self.now = START
        self.cut_points: list[tuple[str, frozenset[Fault]]] = []
        self.violations: list[str] = []
        self.model_calls: Counter[str] = Counter()
        self.dead_letters: list[StepMessage] = []
        self.at_work: defaultdict[tuple[str, int], set[str | None]] = defaultdict(set)
        self.sent_again: set[tuple[str, object]] = set()
        self.guards: set[tuple[str, str]] = set()
        self.not_before: dict[tuple[str, int], datetime] = {}
        self._agenda: list[tuple[datetime, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._plans = 0
        self._good_ticks_in_a_row = 0
        self.table = WatchedTable(self, unguarded)
        self.queue = SimulatedQueue(self)
        clock = SkewedClock(self, 0.0)
        terms = Terms(run_limit=timedelta(hours=1), retention=timedelta(days=30))
        self.desk = Desk(FaultyStore(self, overlap=True), self.queue, clock, terms)
        self.at(TICK_SECONDS, self._tick)

    def at(self, seconds: float, act: Callable[[], None]) -> None:
        """Put an act on the agenda, so many seconds from now."""
        heapq.heappush(self._agenda, (self.now + timedelta(seconds=seconds), next(self._order), act))

    def plan(self, seconds: float, act: Callable[[], object]) -> None:
        """Put something that people do on the agenda; the world is not at rest before."""
        self._plans += 1

        def carry_out() -> None:
            self._plans -= 1
            act()

        self.at(seconds, carry_out)

    def submit(self, request: Admitted = BENCHMARK) -> str | None:
        """Post a job; return its id if it was stored, whatever the caller was told."""
        known = set(self.table.jobs)
        # The caller may see a 5xx; a job that is there all the same must end like any other.
        with suppress(Crash, StoreUnavailableError):
            self.desk.submit(CALLER, request)
        return next(iter(set(self.table.jobs) - known), None)

    def cancel(self, job_id: str) -> None:
        """Ask to cancel; the answer may get lost, or come too late."""
        with suppress(Crash, StoreUnavailableError, JobFinishedError):
            self.desk.cancel(CALLER.tenant, job_id)

    def resend_by_hand(self) -> None:
        """Do what an operator may do: put the present turn of some job into a queue once more."""
        if self.table.jobs:
            job = self.random.choice([*self.table.jobs.values()])
            self.not_before.pop((job.job_id, job.seq), None)  # the operator means now
            self.deliver(StepMessage(job.job_id, job.seq), self.random.choice([*Lane]), receives=1)

    def run(self, hours: float = 12.0) -> World:
        """Let time pass until every job has ended and nothing is on its way, or the hours are over."""
        end = START + timedelta(hours=hours)
        while self._agenda and self._agenda[0][0] <= end and not self._is_at_rest():
            self.let_pass((self._agenda[0][0] - self.now).total_seconds())
        self._check_at_rest()
        return self

    def seconds_since_start(self, instant: datetime) -> float:
        """Return simulated seconds."""
        return (instant - START).total_seconds()

    def fault_at(self, place: str, *possible: Fault) -> Fault | None:
        """Pass a cut point; return the fault that happens there, if any."""
        number = len(self.cut_points)
        self.cut_points.append((place, frozenset(possible)))
        if self.planned.get(number) in possible:
            return self.planned[number]
        return next((f for f in possible if self.random.random() < self.odds.chances.get(f, 0.0)), None)

    def violate(self, rule: str) -> None:
        """Note that a rule did not hold."""
        self.violations.append(f"{self.seconds_since_start(self.now):.1f} s: {rule}")

    def deliver(self, message: StepMessage, lane: Lane, receives: int) -> None:
        """Hand a message to a fresh worker, as the event source mapping does."""
        if receives > MAX_RECEIVES:
            self.dead_letters.append(message)
            return
        delivery = Delivery(self, message, lane, receives)
        self.queue.in_flight += 1
        self.at(VISIBILITY_SECONDS[lane], delivery.come_again)
        delivery.resume(Worker(self, lane).engine.take_turn(message))

    def let_pass(self, seconds: float) -> None:
        """Let others do what they have to do in the next seconds, while one process stands still."""
        end = self.now + timedelta(seconds=seconds)
        while self._agenda and self._agenda[0][0] <= end:
            self.now, _, act = heapq.heappop(self._agenda)
            act()
        self.now = max(self.now, end)

    def sweep(self) -> bool:
        """Run the janitor once; return whether it came to its end."""
        clock = SkewedClock(self, 0.0)
        try:
            sweep.send_late_turns(FaultyStore(self, overlap=True), self.queue, clock, lambda: True)
        except (Crash, StoreUnavailableError):
            return False
        return True

    def _tick(self) -> None:
        self.at(TICK_SECONDS, self._tick)
        self._good_ticks_in_a_row = self._good_ticks_in_a_row + 1 if self.sweep() else 0
        if self._good_ticks_in_a_row >= 2:
            oldest = self.now - 2 * timedelta(seconds=TICK_SECONDS)
            for job in self.table.jobs.values():
                if job.due_at and job.due_at < oldest:
                    self.violate(f"I6: {job.job_id} has been late for more than two ticks")

    def _is_at_rest(self) -> bool:
        all_ended = all(job.status not in ACTIVE for job in self.table.jobs.values())
        return all_ended and not (self._plans or self.queue.in_flight or self.queue.waiting)

    def _check_at_rest(self) -> None:
        for job in self.table.jobs.values():
            if job.status in ACTIVE:
                self.violate(f"I2: {job.job_id} never ended")
            numbers = [event.number for event in self.table.events_of(job.job_id)]
            if numbers != list(range(1, job.event_count + 1)):
                self.violate(f"history of {job.job_id} has gaps or doubles: {numbers}")
            has_result = self.table.result_of(job.job_id) is not None
            if has_result != (job.status is Status.SUCCEEDED):
                self.violate(f"{job.job_id} is {job.status} but has_result={has_result}")
        ended = [job.job_id for job in self.table.jobs.values() if job.status not in ACTIVE]
        if self.table.read_tallies(CALLER.tenant, self.now) != merge(
            tally(self.table.events_of(one)) for one in ended
        ):
            self.violate("the tenant's tallies are not those of its jobs' events")
        if self.dead_letters:
            self.violate("I9: a step message reached the dead-letter queue")


class WatchedTable(MemoryJobStore):
    """The table, which notes every write that breaks a rule."""

    def __init__(self, world: World, unguarded: tuple[str, str] | None) -> None:
        super().__init__()
        self._world = world
        self._unguarded = unguarded

    def update(self, job_id: str, change: Change) -> Job | Refused:
        before = self.jobs.get(job_id)
        written = super().update(job_id, self._without_guard(change))
        if isinstance(written, Job) and before is not None:
            self._watch(before, written)
            if change.name == "claim":
                self._watch_claim(before, written)
            if change.name == "redispatch":
                self._watch_redispatch(change, written)
        return written

    def find_late(self, now: datetime, limit: int) -> tuple[str, ...]:
        # Of jobs that were due at the same instant the older one comes first: ids differ from run to run.
        late = [job for job in self.jobs.values() if job.due_at and job.due_at <= now]
        return tuple(job.job_id for job in sorted(late, key=lambda job: job.due_at or now)[:limit])

    def commit(self, job: Job, settlement: Settlement, tallies: Tallies | None = None) -> bool:
        is_written = super().commit(job, settlement, tallies)
        if is_written and settlement.send:
            begins = self._world.now + timedelta(seconds=settlement.send.delay_seconds)
            self._world.not_before[(job.job_id, self.jobs[job.job_id].seq)] = begins
            if settlement.send.delay_seconds and self.jobs[job.job_id].cancel_requested_at is not None:
                self._world.violate(f"{job.job_id} was put off although it was asked to stop")
        return is_written

    def _without_guard(self, change: Change) -> Change:
        self._world.guards |= {(change.name, requirement.field) for requirement in change.requires}
        kept = tuple(r for r in change.requires if (change.name, r.field) != self._unguarded)
        return replace(change, requires=kept)

    def _watch(self, before: Job, after: Job) -> None:
        if before.status not in ACTIVE:
            self._world.violate(f"I3: {before.job_id} was written after it had ended")
        if after.seq < before.seq or after.epoch < before.epoch or after.version <= before.version:
            self._world.violate(f"I3: seq, epoch or version of {before.job_id} fell")

    def _watch_claim(self, before: Job, claimed: Job) -> None:
        begins = self._world.not_before.get((claimed.job_id, claimed.seq), START)
        is_asked_to_stop = claimed.cancel_requested_at is not None
        if self._world.now < begins and not is_asked_to_stop:
            self._world.violate(f"turn {claimed.seq} of {claimed.job_id} began before its time")
        slack = timedelta(seconds=self._world.odds.skew_seconds)
        if before.lease_until and before.lease_until <= self._world.now + slack:
            # Its lease ran out by somebody's clock, so it may still be at work without anybody being at fault.
            self._world.at_work[(before.job_id, before.seq)].discard(before.lease_owner)

    def _watch_redispatch(self, change: Change, written: Job) -> None:
        (seen,) = (guard.value for guard in change.requires if isinstance(guard, Is))
        if (written.job_id, seen) in self._world.sent_again:
            self._world.violate(f"I5: {written.job_id} was sent twice for one due time")
        self._world.sent_again.add((written.job_id, seen))


class FaultyStore:
    """One process's way to the table, where calls fail, answers get lost and the process dies.

    Parameters
    ----------
    overlap
        Whether other processes may run between a read and what follows it.
    """

    def __init__(self, world: World, *, overlap: bool = False) -> None:
        self._world = world
        self._overlap = overlap

    def submit(self, submission: Submission) -> Submitted:
        return self._transact("submit", lambda: self._world.table.submit(submission))

    def commit(self, job: Job, settlement: Settlement, tallies: Tallies | None = None) -> bool:
        return self._transact("commit", lambda: self._world.table.commit(job, settlement, tallies))

    def update(self, job_id: str, change: Change) -> Job | Refused:
        self._before(change.name)
        written = self._world.table.update(job_id, change)
        fault = self._world.fault_at(f"after {change.name}", Fault.CRASH, Fault.LOST_ANSWER)
        if fault is Fault.CRASH:
            raise Crash
        # The SDK repeats a call whose answer was lost, and the second one meets what the first has written.
        return self._world.table.update(job_id, change) if fault is Fault.LOST_ANSWER else written

    def read(self, job_id: str) -> Job | None:
        self._before("read")
        job = self._world.table.read(job_id)
        if self._overlap and self._world.fault_at("after read", Fault.OVERTAKEN):
            self._world.let_pass(self._world.random.uniform(0.0, 90.0))
        return job

    def read_many(self, job_ids: Sequence[str]) -> tuple[Job, ...]:
        self._before("read_many")
        return self._world.table.read_many(job_ids)

    def list_jobs(self, tenant: str, before: str | None, limit: int) -> tuple[ListedJob, ...]:
        self._before("list_jobs")
        return self._world.table.list_jobs(tenant, before, limit)

    def read_tallies(self, tenant: str, now: datetime) -> Tallies:
        self._before("read_tallies")
        return self._world.table.read_tallies(tenant, now)

    def read_with_result(self, job_id: str, address: str | None = None) -> StoredJob | None:
        self._before("read_with_result")
        return self._world.table.read_with_result(job_id)

    def read_events(self, job_id: str, after: int) -> History | None:
        self._before("read_events")
        return self._world.table.read_events(job_id, after)

    def read_request(self, job: Job) -> str:
        self._before("read_request")
        return self._world.table.read_request(job)

    def find_late(self, now: datetime, limit: int) -> tuple[str, ...]:
        self._before("find_late")
        return self._world.table.find_late(now, limit)

    def _before(self, name: str) -> None:
        fault = self._world.fault_at(f"before {name}", Fault.CRASH, Fault.OUTAGE)
        if fault is Fault.CRASH:
            raise Crash
        if fault is Fault.OUTAGE:
            raise StoreUnavailableError("Simulated outage.")

    def _transact[T](self, name: str, act: Callable[[], T]) -> T:
        self._before(name)
        written = act()
        fault = self._world.fault_at(f"after {name}", Fault.CRASH, Fault.LOST_ANSWER)
        if fault is Fault.CRASH:
            raise Crash
        if fault is Fault.LOST_ANSWER:
            raise StoreUnavailableError("Simulated: written, but nobody was told.")
        return written


class SimulatedQueue:
    """Both lanes: messages come late, twice, out of order, or not at all."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.waiting = 0
        self.in_flight = 0

    def send(self, send: Send) -> bool:
        fault = self._world.fault_at("before send", Fault.CRASH, Fault.LOSE_MESSAGE)
        if fault is Fault.CRASH:
            raise Crash
        if fault is Fault.LOSE_MESSAGE:
            return False
        fault = self._world.fault_at("after send", Fault.CRASH, Fault.DUPLICATE, Fault.DELAY)
        # A message takes its own time, so two of them arrive in any order.
        transit = self._world.random.uniform(0.01, 0.5)
        late = self._world.random.uniform(0, 900) if fault is Fault.DELAY else 0.0
        self._put(send, send.delay_seconds + transit + late)
        if fault is Fault.DUPLICATE:
            self._put(send, send.delay_seconds + self._world.random.choice((transit, 1.0, 40.0, 300.0)))
        if fault is Fault.CRASH:
            raise Crash
        return True

    def _put(self, send: Send, seconds: float) -> None:
        self.waiting += 1
        self._world.at(seconds, lambda: self._arrive(send))

    def _arrive(self, send: Send) -> None:
        self.waiting -= 1
        self._world.deliver(send.message, send.lane, receives=1)


class Delivery:
    """A message in a worker's hands; unless it is deleted, it comes again when its visibility ends."""

    def __init__(self, world: World, message: StepMessage, lane: Lane, receives: int) -> None:
        self._world = world
        self._message = message
        self._lane = lane
        self._receives = receives
        self._is_deleted = False

    def resume(self, turn: Coroutine[Sleep, None, None]) -> None:
        """Let the worker go on until it sleeps, ends or dies."""
        try:
            sleep = turn.send(None)
        except (StopIteration, StoreUnavailableError):
            # The handler returns success either way. It may still die before the message is deleted.
            if self._world.fault_at("before delete", Fault.CRASH) is None:
                self._delete()
        except Crash:
            pass
        else:
            self._world.at(sleep.seconds, lambda: self.resume(turn))

    def come_again(self) -> None:
        """Be visible again."""
        if not self._is_deleted:
            self._delete()
            self._world.deliver(self._message, self._lane, self._receives + 1)

    def _delete(self) -> None:
        if not self._is_deleted:
            self._is_deleted = True
            self._world.queue.in_flight -= 1


class Worker:
    """One execution environment of a worker function."""

    def __init__(self, world: World, lane: Lane) -> None:
        self._world = world
        skew_seconds = world.random.uniform(-1, 1) * world.odds.skew_seconds
        clock = SkewedClock(world, skew_seconds)
        self.engine = Engine(
            lane=lane,
            store=FaultyStore(world),
            queue=world.queue,
            clock=clock,
            steps=make_steps(lambda _kind, _url: SimulatedServer(world), AgentSettings(), AddressPolicy()),
            run_step=self.run_step,
        )

    async def run_step(self, step: Step, context: StepContext, lease: Lease) -> Outcome:
        """Run a step, and let others be faster between its end, good or bad, and what is written of it."""
        try:
            outcome = await self._run_beside_lease(step, context, lease)
        except RuneError:
            await self._linger()
            raise
        await self._linger()
        return outcome

    async def _linger(self) -> None:
        if self._world.fault_at("after last renewal", Fault.OVERTAKEN):
            await Sleep(self._world.random.uniform(0.0, 30.0))

    async def _run_beside_lease(self, step: Step, context: StepContext, lease: Lease) -> Outcome:
        """Run a step with renewals between slices of its sleep, and die or stall where the world says so."""
        job = context.job
        holders = self._world.at_work[(job.job_id, job.seq)]
        if holders:
            self._world.violate(f"two workers ran turn {job.seq} of {job.job_id} at the same time")
        holders.add(job.lease_owner)

        async def pass_cut_point(place: str) -> None:
            fault = self._world.fault_at(place, Fault.CRASH, Fault.PAUSE)
            if fault is Fault.CRASH:
                raise Crash
            if fault is Fault.PAUSE:
                # Frozen for longer than its lease: from now on it is a zombie.
                holders.discard(job.lease_owner)
                await Sleep(200.0)

        running = step(context)
        try:
            await pass_cut_point("before step")
            while True:
                try:
                    left_seconds = running.send(None).seconds
                except StopIteration as end:
                    await pass_cut_point("after step")
                    outcome: Outcome = end.value
                    return outcome
                while left_seconds > 0:
                    await pass_cut_point("in step")
                    await Sleep(min(left_seconds, RENEWAL_SECONDS))
                    left_seconds -= RENEWAL_SECONDS
                    if lease.renew(context.progress):
                        return Cancelled()
                    self._check_owner(job)
        finally:
            running.close()
            holders.discard(job.lease_owner)

    def _check_owner(self, job: Job) -> None:
        if self._world.table.jobs[job.job_id].lease_owner != job.lease_owner:
            self._world.violate(f"a worker went on with turn {job.seq} of {job.job_id} after it had lost it")


class SimulatedServer:
    """A model server that takes its time, and sometimes fails."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def list_models(self) -> tuple[str, ...]:
        self._world.model_calls["list_models"] += 1
        await Sleep(0.1)
        return ("llama3.1:8b",)

    async def list_running(self) -> tuple[str, ...]:
        return ()

    async def has_model(self, model: str) -> bool:
        self._world.model_calls["has_model"] += 1
        await Sleep(0.2)
        return model == "llama3.1:8b"

    async def pull(self, request: PullRequest, on_progress: OnPull) -> bool:
        self._world.model_calls["pull"] += 1
        await Sleep(60.0)
        on_progress(PullProgress(4_900_000_000, 4_900_000_000))
        return True

    async def warm_up(self, request: WarmUpRequest) -> WarmUp:
        self._world.model_calls["warm_up"] += 1
        self._fail_by_chance()
        await Sleep(30.0)
        return WarmUp(load_ms=29_000.0, first_token_ms=1_000.0)

    async def chat(self, request: ChatRequest, on_chunk: OnChunk) -> Generation:
        self._world.model_calls["chat"] += 1
        self._fail_by_chance()
        await Sleep(self._world.random.uniform(*self._world.odds.answer_seconds))
        on_chunk(7)
        if self._world.random.random() < self._world.odds.truncation:
            raise StreamTruncatedError("The answer broke off.")
        stamps = Stamps(0, 1, 2, 10_000_000, 10_000_000, 100_000_000, 101_000_000)
        tokens = TokenCounts(5, 7, None, None, TokenSource.SERVER)
        return Generation(
            "Simulated.", "", FinishReason.STOP, tokens, stamps, (10_000_000, 100_000_000), ServerTimings()
        )

    async def aclose(self) -> None:
        return None

    def _fail_by_chance(self) -> None:
        if self._world.random.random() < self._world.odds.overload:
            raise ServerOverloadedError("Come later.", retry_after_seconds=30)
