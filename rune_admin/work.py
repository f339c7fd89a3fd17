"""What all tenants have at work: jobs, machines, and what was used."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, datetime

from rune.amounts import MICRO_USD_PER_USD
from rune.aws.job_store import DynamoJobStore
from rune.aws.rental_store import DynamoRentalStore
from rune.errors import UnreadableRowError
from rune.jobs.record import Job
from rune.jobs.usage import Usage
from rune.rentals.bills import cost_so_far_micro_usd
from rune.rentals.record import Rental
from rune_admin.output import Row

AT_ONCE = 100
MOST_MACHINES = 500
MOST_WAITING = 100
"""Of each tenant."""


def list_jobs(store: DynamoJobStore, now: datetime) -> list[Row]:
    """Return the jobs that run, then those that wait, up to 100 of each tenant."""
    places = store.read_places()
    ids = [slot.job_id for slot in places.slots if slot.job_id is not None]
    for share in places.shares:
        if share.waiting:
            ids += store.find_waiting(share.tenant, MOST_WAITING)
    jobs: dict[str, Job] = {}
    for start in range(0, len(ids), AT_ONCE):
        jobs |= {job.job_id: job for job in store.read_many(ids[start : start + AT_ONCE])}
    return [_job_row(jobs[job_id], now) for job_id in dict.fromkeys(ids) if job_id in jobs]


def _job_row(job: Job, now: datetime) -> Row:
    return {
        "tenant": job.tenant,
        "job_id": job.job_id,
        "kind": job.kind.value,
        "status": "waiting" if job.is_waiting else job.status.value,
        "step": job.step.value,
        "age_seconds": round((now - job.created_at).total_seconds()),
        "cost_usd": job.cost_micro_usd / MICRO_USD_PER_USD,
        "rental_id": job.rental_id,
    }


def find_machines(store: DynamoRentalStore) -> tuple[list[Rental], list[str]]:
    """Return the rentals that are not proven gone, and the ids of those that this version does not understand."""
    rentals, unreadable = [], []
    for rental_id in store.find_alive(MOST_MACHINES):
        try:
            rental = store.read(rental_id)
        except UnreadableRowError:
            unreadable.append(rental_id)
            continue
        if rental is not None and rental.is_alive:
            rentals.append(rental)
    return rentals, unreadable


def machine_rows(rentals: Iterable[Rental], now: datetime) -> list[Row]:
    """Return a row for each machine."""
    return [
        {
            "tenant": rental.tenant,
            "rental_id": rental.rental_id,
            "state": rental.state.value,
            "contract_id": rental.contract_id,
            "gpu": f"{rental.machine.gpu_count} x {rental.machine.gpu_name}",
            "usd_per_hour": rental.prices.micro_usd_per_hour / MICRO_USD_PER_USD,
            "usd_so_far": cost_so_far_micro_usd(rental, now) / MICRO_USD_PER_USD,
            "job_id": rental.holder,
            "kept_until": rental.kept_until,
        }
        for rental in rentals
    ]


def usd_per_hour(rentals: Iterable[Rental]) -> float:
    """Return what machines cost an hour together, by their rows."""
    return sum(rental.prices.micro_usd_per_hour for rental in rentals) / MICRO_USD_PER_USD


def usage_rows(store: DynamoJobStore, tenants: Sequence[str], first: date, last: date) -> list[Row]:
    """Return what each tenant's ended jobs have used from the one day to the other."""
    sums: defaultdict[str, Usage] = defaultdict(Usage)
    for tenant in tenants:
        for usage in store.read_usage(tenant, first, last).values():
            sums[tenant] = sums[tenant].plus(usage)
    return [
        {
            "tenant": tenant,
            "jobs": sums[tenant].job_count,
            "succeeded": sums[tenant].succeeded_count,
            "run_seconds": sums[tenant].run_seconds,
            "cost_usd": sums[tenant].cost_micro_usd / MICRO_USD_PER_USD,
            "tokens_usd": sums[tenant].token_micro_usd / MICRO_USD_PER_USD,
        }
        for tenant in tenants
    ]
