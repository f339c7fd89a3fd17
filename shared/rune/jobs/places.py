"""Places for jobs: the slots of those that run, and how many jobs each tenant has running and waiting.

A bounded number of jobs runs at the same time. A slot is a row that names its job. A tenant's share is a row that
counts the tenant's slots and its waiting jobs. Slot and share change in one transaction, so they agree. A process
that dies before it gives a slot back leaves a slot whose job has ended, and the janitor finds it.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from rune.events.outbox import OutboxRow
from rune.jobs.receipts import ReceiptRow
from rune.jobs.record import Job
from rune.jobs.samples import SampleRow
from rune.jobs.stops import NOT_STOPPED, Stop, StopRow, rows_checked_for
from rune.jobs.usage import UsageRow
from rune.jobs.wants import KEPT_UNUSED
from rune.money.budgets import BudgetRow
from rune.storage.change import Change, Is, IsBelow, Value, make_change

SHARE_KEPT = timedelta(days=60)
"""How long the row of a tenant without jobs stays. No job waits and runs for as long."""

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

_MEAN_WEIGHT = 0.2
"""Of the latest job in the mean running time of a tenant's jobs."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a tenant's settings say of the places of its jobs.

    Attributes
    ----------
    weight
        Its share beside others': with weight 2 a tenant has twice as many jobs running as one with weight 1, as
        long as both have jobs that wait.
    max_running, max_waiting
        Most of its jobs that run, and that wait, at the same time.
    max_machines
        Most machines that it may have at the same time; None where that is not known.
    """

    weight: int = 1
    max_running: int = 1000
    max_waiting: int = 1000
    max_machines: int | None = None


DEFAULT_TERMS = Terms()


@dataclass(frozen=True, slots=True)
class Slot:
    """One place of a job that runs; `job_id` is absent while the slot is free.

    Attributes
    ----------
    rents
        Whether the job rents, or will; absent where it does not, where it has given its machine back for good, and
        in a row of an earlier version.
    """

    number: int
    version: int = 0
    updated_at: datetime | None = None
    job_id: str | None = None
    tenant: str | None = None
    rents: bool | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """One tenant's jobs that run and that wait.

    Attributes
    ----------
    weight, max_running, max_machines
        As the tenant's latest job found them in its settings; see `Terms`.
    admitted_at
        When one of its jobs was last given a slot.
    mean_run_seconds
        How long its latest jobs held their slots, smoothed; absent before the first has ended.
    renting_ended_at
        When the last of its jobs ended that rented: a job that waits for a machine less may be begun.
    """

    tenant: str
    version: int = 0
    updated_at: datetime | None = None
    running: int = 0
    waiting: int = 0
    weight: int = 1
    max_running: int = 1000
    admitted_at: datetime | None = None
    mean_run_seconds: int | None = None
    max_machines: int | None = None
    renting_ended_at: datetime | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Places:
    """All slots that hold a job, and the shares of all tenants that had a job lately; from one consistent read.

    Attributes
    ----------
    stops
        Those that hold.
    """

    slots: tuple[Slot, ...]
    shares: tuple[Share, ...]
    stops: tuple[Stop, ...] = ()

    def share_of(self, tenant: str) -> Share:
        """Return a tenant's share."""
        return next((share for share in self.shares if share.tenant == tenant), Share(tenant))

    def find_stop(self, tenant: str | None) -> Stop | None:
        """Return the stop of all tenants, or else the tenant's own; None where neither holds."""
        found = (stop for owner in (None, tenant) for stop in self.stops if stop.tenant == owner)
        return next(found, None)

    @property
    def stopped_tenants(self) -> frozenset[str]:
        """Tenants whose own stop holds."""
        return frozenset(stop.tenant for stop in self.stops if stop.tenant is not None)

    def free_numbers(self, slot_count: int) -> tuple[int, ...]:
        """Return the numbers of the free slots among the first `slot_count`."""
        taken = {slot.number for slot in self.slots}
        return tuple(number for number in range(slot_count) if number not in taken)

    def may_rent(self, tenant: str, max_machines: int | None) -> bool:
        """Return whether a tenant has fewer jobs that run and rent than it may have machines."""
        renting_count = sum(slot.tenant == tenant and slot.rents is True for slot in self.slots)
        return max_machines is None or renting_count < max_machines


@dataclass(frozen=True, slots=True)
class JobRow:
    """The hot item of a job."""

    job_id: str


@dataclass(frozen=True, slots=True)
class SlotRow:
    """The row of a slot."""

    number: int


@dataclass(frozen=True, slots=True)
class ShareRow:
    """The row of a tenant's share."""

    tenant: str


type AnyRow = (
    JobRow | SlotRow | ShareRow | StopRow | OutboxRow | UsageRow | BudgetRow | SampleRow | ReceiptRow
)


@dataclass(frozen=True, slots=True)
class RowChange:
    """A change of one row, which is written together with others. All but a job's are as new without a row."""

    row: AnyRow
    change: Change


def stop_checks(tenant: str) -> tuple[RowChange, RowChange]:
    """Return what refuses a write while all tenants are stopped, or the tenant is; in this order."""
    of_all, own = rows_checked_for(tenant)
    return RowChange(of_all, NOT_STOPPED), RowChange(own, NOT_STOPPED)


@dataclass(frozen=True, slots=True)
class QueuePlace:
    """Where a waiting job stands.

    Attributes
    ----------
    position
        1 for the tenant's next job to be admitted.
    is_exact
        Whether no more jobs are before it than were counted.
    wait_seconds
        About how long it still waits; None where no job of the tenant has ended yet.
    max_machines
        How many machines its tenant may have, if as many of its jobs rent now; None otherwise.
    """

    position: int
    is_exact: bool
    wait_seconds: int | None
    max_machines: int | None = None


def choose_job(waiting: Iterable[Job], places: Places, share: Share, now: datetime) -> Job | None:
    """Return which of a tenant's waiting jobs is begun next; None where none may be.

    It is the one that waits the longest. Jobs that rent are passed over while as many of the tenant's jobs rent as
    it may have machines, and behind one that found that it may not rent and need not look again yet: they would
    find the same. Only where the tenant keeps an unused machine do they look too, since it may fit one of them.
    """
    may_rent = places.may_rent(share.tenant, share.max_machines)
    for job in sorted(waiting, key=lambda job: (job.waiting_since or job.created_at, job.job_id)):
        if not job.rents or (may_rent and _may_look(job, share, now)):
            return job
        may_rent = may_rent and KEPT_UNUSED in job.progress
    return None


def _may_look(job: Job, share: Share, now: datetime) -> bool:
    """Return whether a job that rents may look whether it may rent."""
    if job.looks_again_at is None or job.looks_again_at <= now:
        return True
    ended_at = share.renting_ended_at
    return ended_at is not None and ended_at >= job.updated_at


def choose_share(shares: Sequence[Share], now: datetime, excluded: Collection[str] = ()) -> Share | None:
    """Return the tenant whose job is admitted next; None where no job may be.

    It is the one with the fewest running jobs for its weight, and of those alike the one whose last admission is
    the longest ago, where time counts by weight too. A tenant at its own limit is passed over.
    """
    entitled = [
        share
        for share in shares
        if share.waiting > 0 and share.running < share.max_running and share.tenant not in excluded
    ]
    return min(
        entitled,
        key=lambda share: (
            share.running / share.weight,
            -share.weight * (now - (share.admitted_at or _LONG_AGO)),
            share.tenant,
        ),
        default=None,
    )


def may_begin_at_once(
    places: Places, tenant: str, terms: Terms, now: datetime, *, rents: bool = False
) -> bool:
    """Return whether a new job would be the next to be admitted, before all that wait."""
    share = places.share_of(tenant)
    if share.waiting or (rents and not places.may_rent(tenant, terms.max_machines)):
        return False
    asking = replace(share, waiting=1, weight=terms.weight, max_running=terms.max_running)
    others = tuple(each for each in places.shares if each.tenant != tenant)
    chosen = choose_share((*others, asking), now)
    return chosen is asking


def estimate_wait_seconds(places: Places, tenant: str, position: int, slot_count: int) -> int | None:
    """Return about how long the tenant's job in this position waits; None where nothing is known.

    The tenant has its part of the slots, by weight among the tenants that have jobs. Jobs hold a slot as long as
    the tenant's latest did.
    """
    share = places.share_of(tenant)
    if share.mean_run_seconds is None:
        return None
    busy_weight = sum(each.weight for each in places.shares if each.running or each.waiting) or share.weight
    slots = max(1.0, min(slot_count * share.weight / busy_weight, share.max_running))
    return round(share.mean_run_seconds * position / slots)


def take_slot(job: Job, now: datetime) -> Change:
    """Return the write that gives a free slot to a job."""
    return make_change(
        "take_slot",
        now,
        requires=(Is("job_id", None),),
        sets={"job_id": job.job_id, "tenant": job.tenant, "rents": job.rents or None},
    )


def free_slot(job_id: str, now: datetime) -> Change:
    """Return the write that takes a slot from the job that has it."""
    return make_change(
        "free_slot",
        now,
        requires=(Is("job_id", job_id),),
        sets={"job_id": None, "tenant": None, "rents": None},
    )


def stop_renting(now: datetime) -> Change:
    """Return the write of the slot of a job that has given its machine back and goes on without one."""
    return make_change("stop_renting", now, requires=(), sets={"rents": None})


def count_begun(terms: Terms, now: datetime) -> Change:
    """Return the write of a tenant's share for a new job that is admitted at once."""
    return _count("count_begun", now, terms, running=1, requires=(IsBelow("running", terms.max_running),))


def count_waiting(terms: Terms, now: datetime) -> Change:
    """Return the write of a tenant's share for a new job that waits."""
    return _count("count_waiting", now, terms, waiting=1, requires=(IsBelow("waiting", terms.max_waiting),))


def count_admitted(share: Share, now: datetime) -> Change:
    """Return the write of a tenant's share for a job that has waited and is admitted."""
    return make_change(
        "count_admitted",
        now,
        requires=(IsBelow("running", share.max_running),),
        sets={"admitted_at": now, "expires_at": now + SHARE_KEPT},
        adds={"running": 1, "waiting": -1},
    )


def count_given_up(now: datetime) -> Change:
    """Return the write of a tenant's share for a job that ended while it waited."""
    return make_change("count_given_up", now, requires=(), sets={}, adds={"waiting": -1})


def count_requeued(now: datetime) -> Change:
    """Return the write of a tenant's share for a job that has a slot and waits again.

    It may wait although the tenant has as many waiting jobs as it may have.
    """
    return make_change("count_requeued", now, requires=(), sets={}, adds={"running": -1, "waiting": 1})


def count_ended(share: Share, ran_seconds: float | None, now: datetime, *, rents: bool = False) -> Change:
    """Return the write of a tenant's share for a job that no longer has its slot.

    Parameters
    ----------
    ran_seconds
        How long it ran; None for a job that was never begun, which says nothing of how long jobs run.
    """
    sets: dict[str, Value] = {"expires_at": now + SHARE_KEPT}
    if ran_seconds is not None:
        mean_seconds = ran_seconds
        if share.mean_run_seconds is not None:
            mean_seconds = (1 - _MEAN_WEIGHT) * share.mean_run_seconds + _MEAN_WEIGHT * ran_seconds
        sets["mean_run_seconds"] = max(1, round(mean_seconds))
    if rents:
        sets["renting_ended_at"] = now
    return make_change("count_ended", now, requires=(), sets=sets, adds={"running": -1})


def _count(
    name: str,
    now: datetime,
    terms: Terms,
    *,
    requires: tuple[IsBelow, ...],
    running: int = 0,
    waiting: int = 0,
) -> Change:
    sets: dict[str, Value] = {
        "weight": terms.weight,
        "max_running": terms.max_running,
        "max_machines": terms.max_machines,
        "expires_at": now + SHARE_KEPT,
    }
    if running:
        sets["admitted_at"] = now
    adds = {"running": running} if running else {"waiting": waiting}
    return make_change(name, now, requires=requires, sets=sets, adds=adds)
