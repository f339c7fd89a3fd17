"""Stopping everything of a tenant, or of all, a call at a time, in memory."""

from dataclasses import dataclass, field
from typing import override

import pytest

from rune.errors import StoreUnavailableError
from rune.jobs.admission import Admission
from rune.jobs.places import Share, Slot
from rune.jobs.record import Job
from rune.jobs.store import Refused
from rune.rentals.record import EndReason, RentalState
from rune.services.stopping import OUTAGE_JOBS, Stopping
from rune.storage.change import Change
from tests.builders import NOW, TENANT, FakeClock, RecordingQueue, a_claimed_job, a_job
from tests.memory_job_store import MemoryJobStore
from tests.memory_rental_store import MemoryReleaseQueue, MemoryRentalStore
from tests.rental_builders import OTHER_JOB_ID, RENTAL_ID, a_kept_rental, a_rental_of
from tests.unit.jobs.stores import fill

OTHER = "acme"


@dataclass
class Deployment:
    """Jobs and machines of two tenants, and what stops them."""

    store: MemoryJobStore = field(default_factory=MemoryJobStore)
    rental_store: MemoryRentalStore = field(default_factory=MemoryRentalStore)
    queue: RecordingQueue = field(default_factory=RecordingQueue)
    releases: MemoryReleaseQueue = field(default_factory=MemoryReleaseQueue)
    clock: FakeClock = field(default_factory=FakeClock)

    @property
    def stopping(self) -> Stopping:
        return Stopping(
            jobs=self.store,
            queue=self.queue,
            clock=self.clock,
            admission=Admission(self.store, self.queue, self.clock, 9),
            rental_store=self.rental_store,
            releases=self.releases,
        )

    def begun(self, *tenants: str | None) -> Stopping:
        """Return what goes on with the stops of these tenants."""
        for tenant in tenants:
            self.stopping.begin(tenant, "ann")
        return self.stopping

    def ends(self) -> dict[str, str]:
        """Return what became of the jobs that were ended or asked to end."""
        asked = {job.job_id: "asked" for job in self.store.jobs.values() if job.cancel_requested_at}
        return asked | {job.job_id: job.status.value for job in self.store.jobs.values() if not job.is_active}


def a_deployment(store: MemoryJobStore | None = None) -> Deployment:
    """Return one where each tenant has a job that runs, and one that waits."""
    store = store or MemoryJobStore()
    for number, tenant in enumerate((TENANT, OTHER)):
        running = a_claimed_job(job_id=f"{tenant}-runs", tenant=tenant, slot=number)
        waiting = a_job(job_id=f"{tenant}-waits", tenant=tenant, waiting_since=NOW)
        fill(store, running, waiting)
        store.slots[number] = Slot(number, job_id=running.job_id, tenant=tenant)
        store.shares[tenant] = Share(tenant, running=1, waiting=1)
    return Deployment(store)


def always() -> bool:
    return True


def test_stop_of_a_tenant_ends_what_waits_and_asks_what_runs_to_end() -> None:
    deployment = a_deployment()

    assert deployment.begun(TENANT).go_on(always)

    assert deployment.ends() == {f"{TENANT}-runs": "asked", f"{TENANT}-waits": "cancelled"}
    assert {job.warnings for job in deployment.store.jobs.values() if job.tenant == TENANT} == {("stopped",)}
    assert [send.message.job_id for send in deployment.queue.sent] == [f"{TENANT}-runs"]
    left = deployment.stopping.find_left(TENANT)
    assert (left.running_count, left.waiting_count, left.is_done) == (1, 0, False)


def test_stop_of_all_ends_the_jobs_of_every_tenant() -> None:
    deployment = a_deployment()

    assert deployment.begun(None).go_on(always)

    assert deployment.ends() == {
        f"{tenant}-{what}": how
        for tenant in (TENANT, OTHER)
        for what, how in (("runs", "asked"), ("waits", "cancelled"))
    }


def test_stop_may_go_on_again_and_again() -> None:
    deployment = a_deployment()
    stopping = deployment.begun(None)
    stopping.go_on(always)
    before, sent_count = dict(deployment.store.jobs), len(deployment.queue.sent)

    assert stopping.go_on(always)

    assert (deployment.store.jobs, len(deployment.queue.sent)) == (before, sent_count)


def test_nothing_is_ended_where_no_stop_holds() -> None:
    deployment = a_deployment()
    deployment.begun(TENANT, None)
    deployment.stopping.end(TENANT)
    deployment.stopping.end(None)

    assert deployment.stopping.go_on(always)
    assert deployment.stopping.go_on_with(TENANT, always)
    assert deployment.ends() == {}


def test_what_there_is_no_time_for_is_left_to_the_next_call() -> None:
    deployment = a_deployment()
    calls = iter([True, False])
    stopping = deployment.begun(TENANT)

    assert not stopping.go_on_with(TENANT, lambda: next(calls, False))
    assert deployment.ends() == {f"{TENANT}-runs": "asked"}
    assert stopping.go_on_with(TENANT, always)
    assert len(deployment.ends()) == 2


def test_kept_machine_is_given_back_and_one_that_a_job_uses_is_left_to_the_job() -> None:
    deployment = a_deployment()
    kept = a_kept_rental()
    used = a_rental_of(OTHER_JOB_ID, state=RentalState.RUNNING)
    deployment.rental_store = MemoryRentalStore(kept, used)

    deployment.begun(TENANT).go_on(always)

    ended = deployment.rental_store.rentals[RENTAL_ID]
    assert (ended.state, ended.end_reason) == (RentalState.RELEASING, EndReason.CALLER_ENDED)
    assert deployment.rental_store.rentals[used.rental_id] == used
    assert deployment.releases.rental_ids == [RENTAL_ID]
    left = deployment.stopping.find_left(TENANT)
    assert {each.rental_id for each in left.machines} == {RENTAL_ID, used.rental_id}
    assert left.micro_usd_per_hour == 2 * kept.prices.micro_usd_per_hour


def test_stop_is_done_when_nothing_is_left() -> None:
    deployment = Deployment()

    assert not deployment.stopping.find_left(TENANT).is_done
    assert deployment.begun(TENANT).find_left(TENANT).is_done


class RefusingStore(MemoryJobStore):
    """Fails at the writes of some jobs."""

    refused: frozenset[str] = frozenset()

    @override
    def update(self, job_id: str, change: Change) -> Job | Refused:
        if job_id in self.refused and change.name == "request_cancel":
            raise StoreUnavailableError("The table refuses this row.")
        return super().update(job_id, change)


@pytest.mark.parametrize("refused_count", [1, OUTAGE_JOBS])
def test_job_at_which_the_store_fails_keeps_no_other_from_ending(refused_count: int) -> None:
    store = RefusingStore()
    ids = [f"job-{number}" for number in range(OUTAGE_JOBS + 1)]
    for number, job_id in enumerate(ids):
        fill(store, a_claimed_job(job_id=job_id, slot=number))
        store.slots[number] = Slot(number, job_id=job_id, tenant=TENANT)
    store.refused = frozenset(ids[:refused_count])
    deployment = Deployment(store)
    stopping = deployment.begun(TENANT)

    if refused_count == OUTAGE_JOBS:
        with pytest.raises(StoreUnavailableError):
            stopping.go_on(always)
    else:
        assert not stopping.go_on(always)
        assert [*deployment.ends()] == ids[1:]
