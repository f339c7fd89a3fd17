"""Every write of a slot or a share, with what it is allowed on, and what each requirement alone keeps out."""

from __future__ import annotations

from dataclasses import replace

from rune.jobs import places
from rune.jobs.places import Share, Slot, Terms
from tests.builders import JOB_ID, NOW, TENANT, a_job, after
from tests.functional.aws.guarded import Guarded

TERMS = Terms(weight=3, max_running=2, max_waiting=5)


def a_free_slot() -> Slot:
    """Return a slot that held a job before."""
    return Slot(4, version=2, updated_at=NOW)


def a_taken_slot(job_id: str = JOB_ID) -> Slot:
    """Return a slot that holds a job."""
    return Slot(4, version=1, updated_at=NOW, job_id=job_id, tenant=TENANT)


def a_share(running: int = 0, waiting: int = 0, mean_run_seconds: int | None = None) -> Share:
    """Return a share as a tenant's earlier jobs left it."""
    return Share(
        TENANT,
        version=7,
        updated_at=NOW,
        running=running,
        waiting=waiting,
        weight=1,
        max_running=2,
        admitted_at=after(-60),
        mean_run_seconds=mean_run_seconds,
        expires_at=NOW + places.SHARE_KEPT,
    )


SLOTS: tuple[Guarded[Slot], ...] = (
    Guarded(
        "take_slot",
        places.take_slot(a_job(), after(5)),
        a_free_slot(),
        (("job_id", a_taken_slot("another")), ("job_id", a_taken_slot())),
    ),
    Guarded(
        "free_slot",
        places.free_slot(JOB_ID, after(5)),
        a_taken_slot(),
        (("job_id", a_taken_slot("another")), ("job_id", a_free_slot())),
    ),
    Guarded("stop_renting", places.stop_renting(after(5)), replace(a_taken_slot(), rents=True), ()),
)
SHARES: tuple[Guarded[Share], ...] = (
    Guarded(
        "count_begun",
        places.count_begun(TERMS, after(5)),
        a_share(running=1),
        (("running", a_share(running=2)), ("running", a_share(running=3))),
    ),
    Guarded(
        "count_waiting",
        places.count_waiting(TERMS, after(5)),
        a_share(running=2, waiting=4),
        (("waiting", a_share(waiting=5)), ("waiting", a_share(waiting=6))),
    ),
    Guarded(
        "count_admitted",
        places.count_admitted(a_share(running=1, waiting=1), after(5)),
        a_share(running=1, waiting=1),
        (("running", a_share(running=2, waiting=1)),),
    ),
    # What has ended is counted without a condition: the same write frees its slot or ends its job.
    Guarded("count_requeued", places.count_requeued(after(5)), a_share(running=1, waiting=3), ()),
    Guarded("count_given_up", places.count_given_up(after(5)), a_share(waiting=1), ()),
    Guarded("count_ended", places.count_ended(a_share(running=1), None, after(5)), a_share(running=1), ()),
    Guarded("count_ended", places.count_ended(a_share(running=1), 30.4, after(5)), a_share(running=1), ()),
    Guarded(
        "count_ended",
        places.count_ended(a_share(running=1, mean_run_seconds=100), 200, after(5)),
        a_share(running=1, mean_run_seconds=100),
        (),
    ),
)
"""Held complete by `test_places.py`: every function that makes a change, every requirement of each."""
