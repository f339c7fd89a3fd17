"""How long the API takes for a request once it is warm, beside an app that does nothing."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import median
from typing import override

from fastapi import FastAPI
from mangum import Mangum

from api.app import create_app
from api.documents import job_record
from api.services import Services
from rune.clock import SystemClock
from rune.contracts import BenchmarkRequest, JobAccepted, JobRecord
from rune.jobs.record import Status
from rune.jobs.store import StoredJob, Submission
from rune.llm.protocol import ModelServer
from rune.net.addresses import AddressPolicy
from rune.services.baselines import BaselineService
from rune.services.estimates import EstimateService
from rune.services.finops import FinopsService
from rune.services.jobs import JobLimits, JobService
from rune.services.links import LinkService
from rune.services.rentals import RentalService
from rune.services.reports import ReportService
from rune.services.schedules import ScheduleService
from rune.services.stopping import Stopping
from rune.services.suites import SuiteService
from rune.services.usage import UsageService
from rune.services.webhooks import WebhookService
from rune.signing_keys import NoSigningKeys
from rune.tenants.rates import RateCounter, RateLimits, TenantRates
from rune.tenants.settings import FixedTenants
from rune.tenants.tokens import TokenBook
from rune.tenants.uses import TokenUses, TokenUseStore
from tests.bench.artifacts import ENVIRONMENT
from tests.bench.canned import a_result, answers_to_get, answers_to_post
from tests.bench.handlers import Context, Handle, loaded
from tests.bench.wire import answering
from tests.builders import (
    JOB_ID,
    TENANT,
    TOKEN,
    RecordingQueue,
    a_sample_event,
    an_ended_job,
    an_event,
    an_http_event,
)
from tests.memory_budget_store import MemoryBudgetStore
from tests.memory_job_store import MemoryJobStore
from tests.memory_rental_store import MemoryReleaseQueue, MemoryRentalStore
from tests.memory_sample_store import MemorySampleStore

REQUESTS = {
    "GET /healthz": an_http_event("GET", "/healthz", token=None),
    "POST job": a_sample_event("api-post-benchmark"),
    "GET job": a_sample_event("api-get-job"),
}
WARM_UP_COUNT = 20


@dataclass(frozen=True, slots=True)
class WarmRequest:
    """Medians of one request.

    Attributes
    ----------
    request_ms
        With everything but the network: AWS's clients sign and parse, and are answered at once.
    without_aws_ms
        With a store in memory: what RUNE itself takes.
    empty_ms
        An app with the same routes, bodies and documents that does nothing.
    """

    request: str
    request_ms: float
    without_aws_ms: float
    empty_ms: float

    @property
    def ratio(self) -> float:
        """What RUNE itself takes, in times of what the framework takes."""
        return self.without_aws_ms / self.empty_ms


def measure_warm_requests(runs: int) -> list[WarmRequest]:
    """Return each request's time; the three apps are asked in turn."""
    with answering({**answers_to_get(), **answers_to_post()}), loaded("api", ENVIRONMENT) as handle:
        apps = (handle, _app_without_aws(), _empty_app())
        return [_measure(name, event, apps, runs) for name, event in REQUESTS.items()]


def _measure(
    name: str, event: Mapping[str, object], apps: tuple[Handle, Handle, Handle], runs: int
) -> WarmRequest:
    spent_ms: list[list[float]] = [[], [], []]
    for number in range(-min(runs, WARM_UP_COUNT), runs):
        for app, spent in zip(apps, spent_ms, strict=True):
            started = time.perf_counter()
            response = app(event, Context())
            elapsed_ms = (time.perf_counter() - started) * 1000
            if response["statusCode"] >= 400:
                raise RuntimeError(f"{name} was answered {response['statusCode']}: {response['body']}")
            if number >= 0:
                spent.append(elapsed_ms)
    return WarmRequest(name, *(median(spent) for spent in spent_ms))


def _app_without_aws() -> Handle:
    clock = SystemClock()
    store = MemoryJobStore()
    job = an_ended_job(Status.SUCCEEDED, expires_at=clock.now() + timedelta(days=1))
    store.submit(Submission(job, "{}", an_event()))
    store.put_result(JOB_ID, a_result().model_dump_json())
    limits = JobLimits(
        queue_timeout=timedelta(days=1),
        max_runtime=timedelta(hours=1),
        retention=timedelta(days=30),
        max_cost_micro_usd=10_000_000,
    )
    jobs = JobService(store, RecordingQueue(), clock, limits, slot_count=5, budgets=MemoryBudgetStore())
    services = Services(
        clock=clock,
        jobs=jobs,
        reports=lambda: ReportService(jobs, _NoLinks(), _NoParts(), clock),
        tenants=FixedTenants(book=TokenBook.parse(f"{TENANT}:{TOKEN}")),
        limiter=_NobodyIsBlocked(),
        token_uses=TokenUses(_NoUses, clock),
        rates=TenantRates(RateLimits(10_000, 10_000), _no_counter, clock),
        address_policy=AddressPolicy.parse("127.0.0.0/8"),
        open_server=_no_server,
        rentals=lambda: RentalService(MemoryRentalStore(), clock, MemoryReleaseQueue()),
        links=lambda: LinkService(NoSigningKeys(), clock),
        schedules=_no_schedules,
        webhooks=_no_webhooks,
        usage=lambda: UsageService(store, clock),
        finops=lambda: FinopsService(store, MemorySampleStore(store), lambda: (), clock, "us-east-1"),
        estimates=_no_estimates,
        baselines=_no_baselines,
        suites=_no_suites,
        market=lambda: (),
        stopping=_no_stopping,
        can_rent=False,
    )
    return Mangum(create_app(services, with_docs=False), lifespan="off", text_mime_types=["json"])


def _empty_app() -> Handle:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    job = an_ended_job(Status.SUCCEEDED)
    record = job_record(StoredJob(job, a_result().model_dump_json()))

    @app.get("/healthz")
    async def get_health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/v1/jobs/benchmark", status_code=202)
    async def post_benchmark(body: BenchmarkRequest) -> JobAccepted:
        return JobAccepted(job_id=JOB_ID)

    @app.get("/v1/jobs/{job_id}")
    async def get_job(job_id: str) -> JobRecord:
        return record

    return Mangum(app, lifespan="off", text_mime_types=["json"])


class _NoUses(TokenUseStore):
    @override
    def note(self, tenant: str, token_name: str, day: date) -> None:
        pass

    @override
    def read(self, tenant: str) -> Mapping[str, date]:
        return {}


class _NobodyIsBlocked:
    def recall(self, subject: str) -> int | None:
        return None

    def read(self, subject: str) -> int | None:
        return None

    def count_failure(self, subject: str) -> int | None:
        return None


class _NoLinks:
    def link(self, key: str, lifetime: timedelta) -> str:
        raise NotImplementedError


class _NoParts:
    def read(self, key: str, begin: int, most_bytes: int) -> tuple[bytes, int]:
        raise NotImplementedError


def _no_schedules() -> ScheduleService:
    raise NotImplementedError


def _no_webhooks() -> WebhookService:
    raise NotImplementedError


def _no_estimates() -> EstimateService:
    raise NotImplementedError


def _no_counter() -> RateCounter:
    raise NotImplementedError


def _no_stopping() -> Stopping:
    raise NotImplementedError


def _no_baselines() -> BaselineService:
    raise NotImplementedError


def _no_suites() -> SuiteService:
    raise NotImplementedError


def _no_server(kind: str, url: str, api_key: str | None = None) -> ModelServer:
    raise NotImplementedError
