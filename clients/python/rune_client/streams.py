"""What takes more than one call: lists of several pages, and jobs that are followed until they have ended.

The first parameter is the client's policy; methods have `self` in its place.
"""

from __future__ import annotations

from collections.abc import Mapping

from rune_client.calls import benchmarks as benchmark_calls
from rune_client.calls import jobs as job_calls
from rune_client.calls import rentals as rental_calls
from rune_client.calls import webhooks as webhook_calls
from rune_client.documents import BenchmarkSummary, DeliverySummary, JobRecord, JobSummary, RentalRecord
from rune_client.flows import Flow, Policy, Stream, Update, following, paging, waiting


def jobs(
    policy: Policy,
    /,
    *,
    status: str | None = None,
    kind: str | None = None,
    name: str | None = None,
    metadata: Mapping[str, str] | None = None,
    page_size: int | None = None,
) -> Stream[JobSummary]:
    """Give own jobs, newest first, page after page as they are asked for."""
    texts = [f"{key}:{value}" for key, value in (metadata or {}).items()]
    return paging(
        lambda cursor: job_calls.list_jobs(
            cursor, status=status, kind=kind, name=name, metadata=texts, page_size=page_size
        ),
        "jobs",
        policy,
    )


def benchmarks(
    policy: Policy,
    /,
    *,
    status: str | None = None,
    name: str | None = None,
    metadata: Mapping[str, str] | None = None,
    page_size: int | None = None,
) -> Stream[BenchmarkSummary]:
    """Give own benchmarks, newest first, page after page as they are asked for."""
    texts = [f"{key}:{value}" for key, value in (metadata or {}).items()]
    return paging(
        lambda cursor: benchmark_calls.list_benchmarks(
            cursor, status=status, name=name, metadata=texts, page_size=page_size
        ),
        "benchmarks",
        policy,
    )


def rentals(
    policy: Policy,
    /,
    *,
    state: str | None = None,
    job_id: str | None = None,
    page_size: int | None = None,
) -> Stream[RentalRecord]:
    """Give rented machines: those that are not proven gone, or by `state` or `job_id`."""
    return paging(
        lambda cursor: rental_calls.list_rentals(cursor, state=state, job_id=job_id, page_size=page_size),
        "rentals",
        policy,
    )


def deliveries(
    policy: Policy, /, webhook_id: str, *, state: str | None = None, page_size: int | None = None
) -> Stream[DeliverySummary]:
    """Give what was sent to a webhook, newest first."""
    return paging(
        lambda cursor: webhook_calls.list_deliveries(cursor, webhook_id, state=state, page_size=page_size),
        "deliveries",
        policy,
    )


def follow(
    policy: Policy, /, job_id: str, *, after: int = 0, timeout_seconds: float | None = None
) -> Stream[Update]:
    """Give what is new of a job until it has ended: the job, and the events since the update before.

    An outage of RUNE or of the network is waited out for five minutes, as the job goes on meanwhile.

    Parameters
    ----------
    after
        Events up to this id are left out.
    timeout_seconds
        How long to follow at most; None is until the job has ended.

    Raises
    ------
    WaitTimedOutError
        It has not ended within the time. It goes on, and may cost money.
    """
    return following(job_id, policy, after=after, timeout_seconds=timeout_seconds)


def wait(policy: Policy, /, job_id: str, *, timeout_seconds: float) -> Flow[JobRecord]:
    """Return a job once it has ended, in whatever way.

    Raises
    ------
    WaitTimedOutError
        It has not ended within the time. It goes on, and may cost money.
    """
    return waiting(job_id, policy, timeout_seconds=timeout_seconds)
