"""A tenant's list of jobs, page by page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rune.jobs.record import Job, Kind, Status
from rune.jobs.store import ListedJob
from rune.services import jobs as service_module
from rune.services.jobs import LISTED_AT_ONCE, LONGEST_SEARCH_PAGES, JobLimits, JobPage, JobService
from tests.builders import NOW, TENANT, FakeClock, RecordingQueue, a_job, after, an_ended_job
from tests.memory_budget_store import MemoryBudgetStore
from tests.memory_job_store import MemoryJobStore
from tests.unit.jobs.stores import a_store, fill

LIMITS = JobLimits(
    queue_timeout=timedelta(days=1),
    max_runtime=timedelta(hours=1),
    retention=timedelta(days=30),
    max_cost_micro_usd=10_000_000,
)


def a_service(store: MemoryJobStore) -> JobService:
    return JobService(store, RecordingQueue(), FakeClock(), LIMITS, slot_count=5, budgets=MemoryBudgetStore())


def old(seconds: int, **overrides: object) -> Job:
    """Return a job that was posted so long ago, and is named for it."""
    return a_job(**{"job_id": f"job-{seconds}", "created_at": after(-seconds), **overrides})


def ids_of(page: JobPage) -> list[str]:
    return [job.job_id for job in page.jobs]


def all_pages(service: JobService, limit: int, **filters: object) -> list[JobPage]:
    pages: list[JobPage] = []
    position: str | None = None
    while not pages or position is not None:
        pages.append(service.list_jobs(TENANT, before=position, limit=limit, **filters))  # type: ignore[arg-type]
        position = pages[-1].position
    return pages


def test_list_begins_with_the_newest() -> None:
    jobs = [old(5), old(60), old(1), old(30)]

    page = a_service(a_store(*jobs)).list_jobs(TENANT, before=None, limit=10)

    assert (page.jobs, page.position) == ((jobs[2], jobs[0], jobs[3], jobs[1]), None)


def test_list_is_empty_when_there_is_nothing() -> None:
    assert a_service(a_store()).list_jobs(TENANT, before=None, limit=10) == JobPage((), None)


def test_list_shows_jobs_as_they_are_now() -> None:
    store = a_store(old(5))
    store.jobs["job-5"] = ended = an_ended_job(job_id="job-5", created_at=after(-5))

    assert a_service(store).list_jobs(TENANT, before=None, limit=1).jobs == (ended,)


MIXED = [
    old(1, status=Status.RUNNING),
    old(2, kind=Kind.AGENTIC_AGENT),
    old(3, status=Status.FAILED),
    old(4, status=Status.FAILED, kind=Kind.LLM_INSTANCE),
    old(5),
    old(6, status=Status.SUCCEEDED, kind=Kind.AGENTIC_AGENT),
]
FILTERS: list[tuple[Status | None, Kind | None, list[int]]] = [
    (None, None, [1, 2, 3, 4, 5, 6]),
    (Status.QUEUED, None, [2, 5]),
    (Status.RUNNING, None, [1]),
    (Status.FAILED, None, [3, 4]),
    (Status.CANCELLED, None, []),
    (None, Kind.BENCHMARK, [1, 3, 5]),
    (None, Kind.AGENTIC_AGENT, [2, 6]),
    (None, Kind.LLM_INSTANCE, [4]),
    (Status.FAILED, Kind.LLM_INSTANCE, [4]),
    (Status.SUCCEEDED, Kind.AGENTIC_AGENT, [6]),
    (Status.SUCCEEDED, Kind.BENCHMARK, []),
]


@pytest.mark.parametrize(("status", "kind", "found"), FILTERS)
def test_list_holds_what_was_asked_for(status: Status | None, kind: Kind | None, found: list[int]) -> None:
    page = a_service(a_store(*MIXED)).list_jobs(TENANT, before=None, limit=10, status=status, kind=kind)

    assert (ids_of(page), page.position) == ([f"job-{seconds}" for seconds in found], None)


@pytest.mark.parametrize(("status", "kind", "found"), FILTERS)
@pytest.mark.parametrize("limit", [1, 2])
def test_pages_hold_what_was_asked_for(
    status: Status | None, kind: Kind | None, found: list[int], limit: int
) -> None:
    pages = all_pages(a_service(a_store(*MIXED)), limit, status=status, kind=kind)

    assert [job for page in pages for job in ids_of(page)] == [f"job-{seconds}" for seconds in found]
    assert all(len(page.jobs) <= limit for page in pages)


HIDDEN: dict[str, Job] = {
    "another tenant's": old(2, tenant="acme"),
    "a tenant's with a longer name": old(2, tenant="default2"),
    "just expired": old(2, expires_at=NOW),
    "long expired": old(2, expires_at=after(-86400)),
}


@pytest.mark.parametrize("hidden", HIDDEN.values(), ids=HIDDEN.keys())
def test_list_leaves_out_what_the_tenant_may_not_see(hidden: Job) -> None:
    service = a_service(a_store(old(1), hidden, old(3)))

    assert ids_of(service.list_jobs(TENANT, before=None, limit=2)) == ["job-1", "job-3"]


def test_list_shows_a_job_until_it_expires() -> None:
    assert ids_of(
        a_service(a_store(old(2, expires_at=after(0.001)))).list_jobs(TENANT, before=None, limit=1)
    ) == ["job-2"]


def test_list_gives_nothing_of_another_tenant_when_its_position_is_taken_over() -> None:
    service = a_service(a_store(old(1, tenant="acme"), old(2, tenant="acme"), old(3)))
    theirs = service.list_jobs("acme", before=None, limit=1)

    assert theirs.position
    assert ids_of(service.list_jobs(TENANT, before=theirs.position, limit=9)) == ["job-3"]


def test_list_passes_over_a_line_whose_job_is_gone() -> None:
    class Fraying(MemoryJobStore):
        """TTL takes a job's rows one by one."""

        def list_jobs(self, tenant: str, before: str | None, limit: int) -> tuple[ListedJob, ...]:
            gone = ListedJob("job-0", Kind.BENCHMARK, "9999999999999#job-0")
            return (gone, *super().list_jobs(tenant, before, limit))

    page = a_service(fill(Fraying(), old(1))).list_jobs(TENANT, before=None, limit=5)

    assert (page.jobs, page.position) == ((old(1),), None)


def test_list_ends_with_the_page_that_the_last_job_filled() -> None:
    service = a_service(a_store(old(1), old(2)))

    (page,) = all_pages(service, limit=2)

    assert (ids_of(page), page.position) == (["job-1", "job-2"], None)


ages = st.lists(st.integers(0, 5), max_size=12)


@given(ages=ages, newer=ages, limit=st.integers(1, 5), status=st.none() | st.sampled_from([Status.QUEUED]))
def test_pages_hold_every_job_once_also_when_new_ones_arrive_between_them(
    ages: list[int], newer: list[int], limit: int, status: Status | None
) -> None:
    # Many were posted in the same millisecond.
    jobs = [a_job(job_id=f"job-{n:02}", created_at=after(-age)) for n, age in enumerate(ages)]
    store = a_store(*jobs)
    service = a_service(store)
    seen: list[str] = []
    position: str | None = None
    arriving = [a_job(job_id=f"new-{n:02}", created_at=after(1 + age)) for n, age in enumerate(newer)]
    while True:
        page = service.list_jobs(TENANT, before=position, limit=limit, status=status)
        seen += ids_of(page)
        position = page.position
        if position is None:
            break
        fill(store, *arriving[:1])
        arriving = arriving[1:]

    newest_first = sorted(jobs, key=lambda job: (job.created_at, job.job_id), reverse=True)
    assert seen == [job.job_id for job in newest_first]


class CountingStore(MemoryJobStore):
    """Counts what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.list_limits: list[int] = []
        self.read_ids: list[Sequence[str]] = []

    def list_jobs(self, tenant: str, before: str | None, limit: int) -> tuple[ListedJob, ...]:
        self.list_limits.append(limit)
        return super().list_jobs(tenant, before, limit)

    def read_many(self, job_ids: Sequence[str]) -> tuple[Job, ...]:
        self.read_ids.append(job_ids)
        return super().read_many(job_ids)


def a_long_list(count: int) -> CountingStore:
    """Return many jobs, of which the oldest alone has failed."""
    queued = [old(seconds) for seconds in range(1, count)]
    return fill(CountingStore(), *queued, old(count, status=Status.FAILED))


def test_search_ends_after_so_many_rounds_and_says_where_to_go_on() -> None:
    count = LISTED_AT_ONCE * LONGEST_SEARCH_PAGES + 1
    store = a_long_list(count)
    service = a_service(store)

    first = service.list_jobs(TENANT, before=None, limit=1, status=Status.FAILED)
    assert (first.jobs, store.list_limits) == ((), [LISTED_AT_ONCE] * LONGEST_SEARCH_PAGES)

    assert first.position
    second = service.list_jobs(TENANT, before=first.position, limit=2, status=Status.FAILED)
    assert (ids_of(second), second.position) == ([f"job-{count}"], None)


def test_search_stops_as_soon_as_the_page_is_full() -> None:
    store = a_long_list(LISTED_AT_ONCE * 3)

    a_service(store).list_jobs(TENANT, before=None, limit=LISTED_AT_ONCE)

    assert len(store.list_limits) == 1


@pytest.mark.parametrize("count", [99, 100, 101, 200])
def test_search_finds_the_oldest_job_around_the_end_of_a_round(count: int) -> None:
    store = a_long_list(count)

    page = a_service(store).list_jobs(TENANT, before=None, limit=2, status=Status.FAILED)

    assert (ids_of(page), page.position) == ([f"job-{count}"], None)
    assert all(len(ids) <= 100 for ids in store.read_ids)


def test_page_is_short_when_the_rest_was_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "LISTED_AT_ONCE", 2)
    monkeypatch.setattr(service_module, "LONGEST_SEARCH_PAGES", 2)
    failed = {1, 6, 7}
    jobs = [old(n, status=Status.FAILED if n in failed else Status.QUEUED) for n in range(1, 8)]

    pages = all_pages(a_service(a_store(*jobs)), limit=3, status=Status.FAILED)

    assert [ids_of(page) for page in pages] == [["job-1"], ["job-6", "job-7"]]


def test_search_reads_only_jobs_of_the_kind_that_was_asked_for() -> None:
    store = fill(CountingStore(), *MIXED)

    a_service(store).list_jobs(TENANT, before=None, limit=9, kind=Kind.AGENTIC_AGENT)

    assert store.read_ids == [["job-2", "job-6"]]
