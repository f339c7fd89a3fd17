"""What a job that rented leaves for the estimates of later ones. Plain functions over plain data."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from rune.jobs.places import RowChange
from rune.jobs.record import Job, Status
from rune.jobs.samples import Sample, SampleRow, record_sample
from rune.rentals.record import Expected, Rental

_MILLISECOND = timedelta(milliseconds=1)

_PHASES: Mapping[str, tuple[str, ...]] = {
    "search": ("search",),
    "boot": ("boot",),
    "pull": ("pull",),
    "load": ("load", "first_token"),
}
"""The phases of a sample, and the job's own of which they are made."""


def make_samples(
    job: Job, attempts: Sequence[Rental], cost_micro_usd: int, now: datetime
) -> tuple[RowChange, ...]:
    """Return the row that the job's end writes; none for a job that had no machine of its own.

    Parameters
    ----------
    cost_micro_usd
        Of all its machines up to now.
    """
    made = [rental for rental in attempts if rental.contract_id is not None and rental.job_id == job.job_id]
    if not made or made[0].expected is None or job.ends_as is None:
        return ()
    last, expected = made[-1], made[0].expected
    sample = Sample(
        job_id=job.job_id,
        kind=job.kind,
        class_gb=expected.class_gb,
        status=Status.CANCELLED if job.cancel_requested_at is not None else job.ends_as,
        model=last.model or "",
        gpu=f"{last.machine.gpu_count}x {last.machine.gpu_name}",
        machine_count=len(made),
        cost_micro_usd=cost_micro_usd,
        expected_micro_usd=expected.micro_usd,
        phases_ms=_phases_of(job, last),
        expected_ms=_expected_ms(expected),
    )
    return (RowChange(SampleRow(sample.shape, now, job.job_id), record_sample(sample, now)),)


def _phases_of(job: Job, last: Rental) -> dict[str, int]:
    known = {
        phase: sum(job.phases_ms.get(part, 0) for part in parts)
        for phase, parts in _PHASES.items()
        if parts[0] in job.phases_ms
    }
    if last.release_asked_at is None:
        return known
    if last.running_at is not None and "load" in known:
        # All that came after: answers, those of the judge on the machine, and the steps' own time.
        busy_ms = (last.release_asked_at - last.running_at) // _MILLISECOND
        known["work"] = max(0, busy_ms - known.get("pull", 0) - known["load"])
    if last.released_at is not None:
        known["release"] = max(0, (last.released_at - last.release_asked_at) // _MILLISECOND)
    return known


def _expected_ms(expected: Expected) -> dict[str, int]:
    return {
        "boot": expected.boot_ms,
        "pull": expected.pull_ms,
        "load": expected.load_ms,
        "work": expected.work_ms,
    }
