"""The whole engine in a simulated world: queues, workers, janitors, model servers, rented machines, and bad luck.

Everything real is the product's own code; simulated are time, the queue (visibility, delay, redelivery), the
table's failures, the model servers' pace and, by the simulator of the local stack, Vast.ai. Processes are
coroutines that the world resumes one at a time, so a seed gives the same run every time, and hours pass in
milliseconds.

Every place where a process can die, a call can fail or an answer can get lost is a *cut point*. They are counted
as the run passes them, so that a test can put one fault at each of them in turn.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import datetime, timedelta

from local.simulators.vastai import VastaiSettings
from rune.errors import JobFinishedError, RequestError, StoreUnavailableError
from rune.jobs.plan import Lane
from rune.jobs.record import ACTIVE, StepMessage
from rune.jobs.telling import TellingStore
from rune.services.admission.requests import Admitted
from rune.services.jobs import Caller, JobLimits, JobService
from rune.services.rentals import RentalService
from tests.memory_rental_store import MemoryReleaseQueue
from tests.simulation import rest, telling
from tests.simulation.charges import check_charges
from tests.simulation.faults import CALM, Crash, Fault, Odds
from tests.simulation.janitor import TICK_SECONDS, Janitor
from tests.simulation.lanes import SimulatedQueue
from tests.simulation.machines import Disk
from tests.simulation.metering import Billed
from tests.simulation.notifier import SimulatedNotices, WatchedOutbox, check_published
from tests.simulation.provider import Account
from tests.simulation.rental_store import FaultyRentalStore
from tests.simulation.requests import BENCHMARK, CALLER, LIMITS
from tests.simulation.slots import job_slots
from tests.simulation.table import FaultyBudgets, FaultyStore, Guard, WatchedTable
from tests.simulation.timing import START, SkewedClock

STALLED_TICKS = 4
"""Of the janitor while a process stands still."""

UNLIMITED_SLOTS = 1000
"""More than any run has jobs."""

DEEPEST_STALL = 4
"""How many processes may stand still at once, one inside the other's standstill."""


class World:
    """One simulated deployment.

    Parameters
    ----------
    planned
        Faults by number of the cut point at which they happen; beside them `odds` draws others.
    unguarded
        Names of changes, each with the field whose requirement the tables forget to check.
    vastai
        The provider as the deployment finds it; None for a deployment that rents nothing.
    neighbour
        Another deployment with the same account, whose provider it shares.
    has_capacity_rules
        Whether a job needs a slot before it rents, and reserves credit. Until November 2026 neither was so.
    limits
        Of time and money.
    keeps_slots
        Whether a job that may not rent yet keeps its slot, as it did until November 2026.
    """

    def __init__(
        self,
        seed: int = 0,
        odds: Odds = CALM,
        planned: dict[int, Fault] | None = None,
        *,
        unguarded: Collection[Guard] = (),
        vastai: VastaiSettings | None = None,
        neighbour: World | None = None,
        has_capacity_rules: bool = True,
        limits: JobLimits = LIMITS,
        keeps_slots: bool = False,
    ) -> None:
        self.random = random.Random(seed)
        self.job_slots = job_slots() if has_capacity_rules else UNLIMITED_SLOTS
        self.odds = odds
        self.limits = limits
        self.keeps_slots = keeps_slots
        self.planned = planned or {}
        self.now = START
        self.cut_points: list[tuple[str, frozenset[Fault]]] = []
        self.violations: list[str] = []
        self.leaked = 0
        self.foreign_touched = 0
        self.model_calls: Counter[str] = Counter()
        self.files: dict[str, str] = {}
        self.at_work: defaultdict[tuple[str, int], set[str | None]] = defaultdict(set)
        self.guards: set[Guard] = set()
        self.watch_cut_point: Callable[[World], None] | None = None
        self.billed = Billed()
        self.time_of_call: Callable[[str, float, Disk], float] | None = None
        self.throttled_until = START
        self._agenda: list[tuple[datetime, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._plans = 0
        self._stalled = 0
        self.table = WatchedTable(self, unguarded)
        self.table.outbox = WatchedOutbox(self, unguarded)
        shared = neighbour.account if neighbour else None
        self.account: Account | None = Account(self, vastai, unguarded, shared) if vastai else None
        if self.account is not None:
            self.account.rental_store.counts_credit = has_capacity_rules
        self.queue = SimulatedQueue(self)
        self.notices = SimulatedNotices(self)
        self.janitor = Janitor(self)
        clock = SkewedClock(self)
        store = TellingStore(FaultyStore(self, overlap=True), self.notices)
        self.job_service = JobService(
            store, self.queue, clock, limits, self.job_slots, budgets=FaultyBudgets(self)
        )
        self.at(TICK_SECONDS, self.janitor.tick)

    @property
    def skew(self) -> timedelta:
        """How far two clocks may be apart."""
        return timedelta(seconds=2 * self.odds.skew_seconds)

    def at(self, seconds: float, act: Callable[[], None]) -> None:
        """Put an act on the agenda, so many seconds from now."""
        heapq.heappush(self._agenda, (self.now + timedelta(seconds=seconds), next(self._order), act))

    def plan(self, seconds: float, act: Callable[[], object]) -> None:
        """Put something that must happen on the agenda; the world is not at rest before."""
        self._plans += 1

        def carry_out() -> None:
            self._plans -= 1
            act()

        self.at(seconds, carry_out)

    def submit(self, request: Admitted = BENCHMARK, caller: Caller = CALLER) -> str | None:
        """Post a job; return its id if it was stored, also where the answer was lost."""
        known = set(self.table.jobs)
        # The caller may see a 5xx; a job that is there all the same must end like any other.
        with suppress(Crash, StoreUnavailableError):
            self.job_service.submit(caller, request)
        return next((job_id for job_id in self.table.jobs if job_id not in known), None)

    def cancel(self, job_id: str) -> None:
        """Ask to cancel; the answer may get lost, or come too late."""
        # Its message comes beside the one that may be under way.
        self.queue.allow_one_more(StepMessage(job_id, 0))
        with suppress(Crash, StoreUnavailableError, JobFinishedError):
            self.job_service.cancel(self.table.jobs[job_id].tenant, job_id)

    def throttle(self, seconds: float) -> None:
        """Let nearly all writes of the table fail for a time."""
        self.throttled_until = self.now + timedelta(seconds=seconds)

    def hide_a_job(self, seconds: float) -> None:
        """Let the row of some active job be one that this version does not understand, for a time."""
        active = [job.job_id for job in self.table.jobs.values() if job.is_active and not job.is_waiting]
        if active:
            job_id = self.random.choice(active)
            self.table.not_understood.add(job_id)
            self.plan(seconds, lambda: self.table.not_understood.discard(job_id))

    def visit_rentals(self, act: Callable[[RentalService, str], object]) -> None:
        """Let a caller act on one of its machines; that may be refused, or its answer may be lost."""
        if self.account is None:
            return
        rental_store = FaultyRentalStore(self, self.account.rental_store, stall=Fault.OVERTAKEN)
        service = RentalService(rental_store, SkewedClock(self), MemoryReleaseQueue())
        with suppress(Crash, StoreUnavailableError, RequestError):
            rentals = service.list_rentals(CALLER.tenant)
            if rentals:
                act(service, self.random.choice(rentals).rental_id)

    def resend_by_hand(self) -> None:
        """Do what an operator may do: put the present turn of some job into a queue once more."""
        if self.table.jobs:
            job = self.random.choice([*self.table.jobs.values()])
            self.table.not_before.pop((job.job_id, job.seq), None)  # the operator means now
            message = StepMessage(job.job_id, job.seq)
            self.queue.allow_one_more(message)
            self.queue.deliver(message, self.random.choice([*Lane]))

    def run(
        self, hours: float = 12.0, *, until_kept_are_gone: bool = False, until_redelivered: bool = True
    ) -> World:
        """Let time pass until all is at rest, or the hours are over; then look whether every rule holds.

        Parameters
        ----------
        until_kept_are_gone
            Whether kept machines must have come to their end too.
        until_redelivered
            Whether messages of dead workers must have come again; they find their turn taken, and take long.
        """
        end = START + timedelta(hours=hours)
        while (
            self._agenda
            and self._agenda[0][0] <= end
            and not self._is_at_rest(
                until_kept_are_gone=until_kept_are_gone, until_redelivered=until_redelivered
            )
        ):
            self.let_pass((self._agenda[0][0] - self.now).total_seconds())
        return self.check()

    def check(self) -> World:
        """Look whether every rule holds at rest."""
        rest.check_jobs(self)
        rest.check_receipts(self, self.account)
        check_published(self)
        if self.account is not None:
            rest.check_machines(self, self.account)
            rest.check_money(self, self.account)
            telling.check_machines_are_told_of(self, self.account)
            check_charges(self, self.account)
        return self

    @property
    def next_at(self) -> datetime:
        """When something happens next; the janitor always comes again."""
        return self._agenda[0][0]

    def seconds_since_start(self, instant: datetime) -> float:
        """Return simulated seconds."""
        return (instant - START).total_seconds()

    def fault_at(self, place: str, *possible: Fault) -> Fault | None:
        """Pass a cut point; return the fault that happens there, if any."""
        number = len(self.cut_points)
        self.cut_points.append((place, frozenset(possible)))
        if self.watch_cut_point is not None:
            self.watch_cut_point(self)
        if self.planned.get(number) in possible:
            return self.planned[number]
        chances = self.odds.chances
        if not chances:
            return None
        return next((f for f in possible if self.random.random() < chances.get(f, 0.0)), None)

    def violate(self, rule: str) -> None:
        """Note that a rule did not hold."""
        self.violations.append(f"{self.seconds_since_start(self.now):.1f} s: {rule}")

    def let_pass(self, seconds: float) -> None:
        """Let others do what they have to do in the next seconds, while one process stands still."""
        end = self.now + timedelta(seconds=seconds)
        while self._agenda and self._agenda[0][0] <= end:
            self.now, _, act = heapq.heappop(self._agenda)
            act()
        self.now = max(self.now, end)

    def pause_seconds(self) -> float:
        """Return how long a process is frozen."""
        return self.random.choice(self.odds.pause_seconds)

    def stall(self, fault: Fault) -> None:
        """Let a process stand still between two instructions: frozen, or only slower than others."""
        if self._stalled == DEEPEST_STALL:
            return
        self._stalled += 1
        is_slow = fault is Fault.OVERTAKEN
        # Meanwhile the janitor sends others for a worker that seems lost, one at each tick.
        self.queue.allow_more_of_any(STALLED_TICKS)
        self.let_pass(self.random.uniform(0.0, 90.0) if is_slow else self.pause_seconds())
        self._stalled -= 1

    def _is_at_rest(self, *, until_kept_are_gone: bool, until_redelivered: bool) -> bool:
        if any(job.status in ACTIVE for job in self.table.jobs.values()):
            return False
        if self._plans or self.queue.waiting or self.queue.at_work:
            return False
        if any(state.due_at is not None for state in self.table.outbox.states.values()):
            return False
        if any(slot.job_id is not None for slot in self.table.slots.values()):
            return False
        if until_redelivered and self.queue.in_flight:
            return False
        return self.account is None or self.account.is_at_rest(until_kept_are_gone=until_kept_are_gone)
