"""The janitor: every minute a look at machines and at late turns, as its handler does it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from rune.errors import StoreUnavailableError
from rune.jobs.admission import Admission
from rune.jobs.record import STOPPED
from rune.jobs.telling import TellingStore
from rune.services.charge_reading import ChargeReading
from rune.services.credit_check import CreditCheck
from rune.services.late_jobs import LateJobSweep
from rune.services.leaving import Leaving
from rune.services.notices import NoticeSweep
from rune.services.orphan_sweep import OrphanSweep, SweepResult
from rune.services.stopping import Stopping
from rune.services.tick import JobTick
from tests.simulation.faults import Fault
from tests.simulation.lanes import CancellingQueue
from tests.simulation.notifier import FaultyOutbox
from tests.simulation.provider import STAGE
from tests.simulation.rental_store import FaultyCreditStore, FaultyRentalStore
from tests.simulation.table import FaultyStore
from tests.simulation.timing import Ending, SkewedClock, pause, resume

if TYPE_CHECKING:
    from collections.abc import Callable

    from rune.clock import Clock
    from rune.jobs.store import JobStore
    from tests.simulation.world import World

TICK_SECONDS = 60
TIMEOUT_SECONDS = 50
TIME_TO_STOP_SECONDS = 5
TIME_FOR_TURNS_SECONDS = 25


class Janitor:
    """Ticks for as long as the world goes on."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._good_count = 0
        self.is_at_work = False
        self.swept = SweepResult()
        self.ended_count = 0
        self.freed_count = 0

    def tick(self) -> None:
        """Begin a tick, and plan the next one, which comes even if this one fails."""
        self._world.at(TICK_SECONDS, self.tick)
        began_at = self._world.now
        self.is_at_work = True
        resume(self._world, self._run(began_at), lambda ending: self._end(began_at, ending))

    async def _run(self, began_at: datetime) -> None:
        world = self._world
        clock = SkewedClock(world)
        store = TellingStore(FaultyStore(world, overlap=True), world.notices)

        def has_more_than(seconds: int) -> bool:
            return world.now < began_at + timedelta(seconds=TIMEOUT_SECONDS - seconds)

        def may_go_on() -> bool:
            return has_more_than(TIME_TO_STOP_SECONDS)

        admission = Admission(store, world.queue, clock, world.job_slots)
        notices = NoticeSweep(FaultyOutbox(world), world.notices, clock)
        tick = JobTick(LateJobSweep(store, world.queue, clock, admission), admission, notices)
        if world.table.stops and world.account is not None:
            # Only then, as below.
            tick.go_on_stopping(lambda: self._go_on_stopping(store, admission, clock, may_go_on))
        tick.send_releases(may_go_on)
        if world.account is not None:
            orphan_sweep = OrphanSweep(
                provider=world.account.provider(clock),
                rental_store=FaultyRentalStore(world, world.account.rental_store, stall=Fault.OVERTAKEN),
                jobs=store,
                clock=clock,
                stage=STAGE,
                deployments=world.account.deployments,
                pause=pause,
            )
            try:
                swept = await orphan_sweep.sweep(lambda: has_more_than(TIME_FOR_TURNS_SECONDS))
            except StoreUnavailableError:
                swept = SweepResult()
            self._add_up(swept)
        tick.send_late_and_admit(may_go_on)
        if world.account is not None:
            rental_store = FaultyRentalStore(world, world.account.rental_store, stall=Fault.OVERTAKEN)
            credit_store = FaultyCreditStore(world, world.account.rental_store)
            tick.check_credit(CreditCheck(rental_store, credit_store, clock).check)
        tick.send_notices(may_go_on)
        if world.account is not None and world.account.rental_store.find_uncharged(world.now, 1):
            # Only then: each call of a faulty store makes the days that follow other ones.
            rental_store = FaultyRentalStore(world, world.account.rental_store, stall=Fault.OVERTAKEN)
            reading = ChargeReading(world.account.provider(clock), rental_store, store, clock)
            await reading.read(may_go_on)
        self.ended_count += tick.result.ended_count
        self.freed_count += tick.result.freed_count
        if tick.result.failed:
            raise StoreUnavailableError(", ".join(tick.result.failed))

    def _go_on_stopping(
        self, store: JobStore, admission: Admission, clock: Clock, may_go_on: Callable[[], bool]
    ) -> bool:
        world, account = self._world, self._world.account
        assert account is not None
        rental_store = FaultyRentalStore(world, account.rental_store, stall=Fault.OVERTAKEN)
        queue = CancellingQueue(world)
        leaving = Leaving(
            rental_store=rental_store,
            deployments=account.deployments,
            jobs=store,
            queue=queue,
            clock=clock,
            sweep=None,
            pause=pause,
            warning=STOPPED,
        )
        stopping = Stopping(
            jobs=store, queue=queue, clock=clock, admission=admission, rental_store=rental_store
        )
        if store.read_places().find_stop(None) is not None:
            leaving.end_all()
        return not stopping.go_on(may_go_on)

    def _add_up(self, swept: SweepResult) -> None:
        self.swept.destroyed_count += swept.destroyed_count
        self.swept.proven_count += swept.proven_count
        self.swept.alarm_count += swept.alarm_count

    def _end(self, began_at: datetime, ending: Ending) -> None:
        self.is_at_work = False
        in_time = self._world.now < began_at + timedelta(seconds=TIMEOUT_SECONDS - TIME_TO_STOP_SECONDS)
        if ending is not None or not in_time:
            self._good_count = 0
            return
        self._good_count += 1
        if self._good_count >= 2:
            self._check_no_turn_is_late(began_at)

    def _check_no_turn_is_late(self, began_at: datetime) -> None:
        oldest = min(self._world.now, began_at) - 2 * timedelta(seconds=TICK_SECONDS)
        for job in self._world.table.jobs.values():
            if job.due_at and job.due_at < oldest:
                self._world.violate(f"I6: {job.job_id} has been late for more than two ticks")
        for subject, state in self._world.table.outbox.states.items():
            if state.due_at and state.due_at < oldest:
                self._world.violate(f"I6: the notice of {subject} has been late for more than two ticks")
