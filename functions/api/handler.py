"""API Gateway's HTTP API in, one response out."""

import asyncio
import logging
import os
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from mangum import Mangum
from mangum.types import LambdaContext, LambdaEvent

from api.answer_limit import ANSWER_TOO_LARGE, fits
from api.app import create_app
from api.problems import respond_to_lambda
from api.response_headers import complete
from api.services import Services
from api.settings import ApiSettings
from rune import logs
from rune.aws.wiring import Clients
from rune.clock import SystemClock
from rune.contracts.problems import Problem
from rune.contracts.workloads import most_concurrency
from rune.errors import SettingsError
from rune.jobs.plan import Lane
from rune.services.jobs import JobService
from rune.settings import PROD_STAGE
from rune.tenants.entries import log_refused
from rune.tenants.networks import read_networks
from rune.tenants.rates import TenantRates
from rune.tenants.reading import DocumentContext
from rune.tenants.tokens import VARIABLE, TokenBook
from rune.tenants.uses import TokenUses

if TYPE_CHECKING:
    from rune.llm.protocol import ModelServer
    from rune.rentals.market import MarketRow
    from rune.services.baselines import BaselineService
    from rune.services.estimates import EstimateService
    from rune.services.finops import FinopsService
    from rune.services.links import LinkService
    from rune.services.rentals import RentalService
    from rune.services.reports import ReportService
    from rune.services.schedules import ScheduleService
    from rune.services.stopping import Stopping
    from rune.services.suites import SuiteService
    from rune.services.usage import UsageService
    from rune.services.webhooks import WebhookService
    from rune.tenants.rates import RateCounter

logs.configure(os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "api"))
log = logging.getLogger(__name__)

settings = ApiSettings.from_environment(os.environ)
clients = Clients(is_waited_for=True)
clock = SystemClock()
limiter = clients.limiter(settings.table, clock)
address_policy = read_networks(settings.allowed_networks, settings.stage)
token_book = TokenBook.take_from(os.environ, may_be_plain=settings.stage != PROD_STAGE)
log_refused(token_book.refused)
if token_book.is_empty and not settings.tenants_path and not settings.auth_disabled:
    raise SettingsError(
        f"There is no token in {VARIABLE} and no path of tenants, so no call would be allowed."
    )
job_store = clients.telling_job_store(settings.table, settings.bucket, settings.notice_queue_url, limiter)
step_queue = clients.step_queue(
    {Lane.MONEY: settings.money_queue_url, Lane.INFERENCE: settings.inference_queue_url}
)
jobs = JobService(
    job_store,
    step_queue,
    clock,
    settings.limits,
    settings.running_jobs,
    budgets=clients.budget_store(settings.table),
)


# What rare routes work with is imported and made when one is called.
@cache
def find_report_service() -> "ReportService":
    """Return the way to reports."""
    from rune.services.reports import ReportService  # noqa: PLC0415

    return ReportService(jobs, clients.links(settings.bucket), clients.parts(settings.bucket), clock)


@cache
def find_rate_counter() -> "RateCounter":
    """Return where processes tell each other of requests."""
    return clients.rate_counter(settings.table)


@cache
def find_baseline_service() -> "BaselineService":
    """Return the way to baselines."""
    from rune.services.baselines import BaselineService  # noqa: PLC0415

    return BaselineService(clients.baseline_store(settings.table), find_report_service(), clock)


@cache
def find_suite_service() -> "SuiteService":
    """Return the way to suites of cases."""
    from rune.services.suites import SuiteService  # noqa: PLC0415

    return SuiteService(clients.suite_store(settings.table), clock)


@cache
def find_rental_service() -> "RentalService":
    """Return the way to rented machines."""
    from rune.services.rentals import RentalService  # noqa: PLC0415

    releases = clients.release_queue(settings.money_queue_url)
    return RentalService(clients.rental_store(settings.table), clock, releases)


@cache
def find_stopping() -> "Stopping":
    """Return what stops a tenant."""
    from rune.jobs.admission import Admission  # noqa: PLC0415
    from rune.services.stopping import Stopping  # noqa: PLC0415

    return Stopping(
        jobs=job_store,
        queue=step_queue,
        clock=clock,
        admission=Admission(job_store, step_queue, clock, settings.running_jobs),
        rental_store=clients.rental_store(settings.table),
        releases=clients.release_queue(settings.money_queue_url),
    )


@cache
def find_link_service() -> "LinkService":
    """Return the signer of links."""
    from rune.services.links import LinkService  # noqa: PLC0415

    return LinkService(clients.signing_keys(settings.signing_key_parameter, clock), clock)


@cache
def find_schedule_service() -> "ScheduleService":
    """Return the way to schedules."""
    from rune.services.schedule_jobs import ScheduleJobs  # noqa: PLC0415
    from rune.services.schedules import ScheduleService  # noqa: PLC0415

    return ScheduleService(
        clients.schedule_store(settings.table),
        job_store,
        ScheduleJobs(
            jobs,
            address_policy,
            has_provider=settings.can_rent,
            most_concurrency=most_concurrency(settings.load_lane.process_count),
        ),
        clock,
        clients.notice_queue(settings.notice_queue_url),
    )


@cache
def find_webhook_service() -> "WebhookService":
    """Return the way to webhooks."""
    from rune.services.webhook_queue import WebhookQueue  # noqa: PLC0415
    from rune.services.webhooks import WebhookService  # noqa: PLC0415

    store = clients.webhook_store(settings.table)
    queue = WebhookQueue(
        store, clients.notice_queue(settings.notice_queue_url), clock, settings.limits.retention
    )
    keys = clients.signing_keys(settings.signing_key_parameter, clock)
    return WebhookService(queue, keys, address_policy, clock)


@cache
def find_usage_service() -> "UsageService":
    """Return the way to what a tenant has used."""
    from rune.services.usage import UsageService  # noqa: PLC0415

    return UsageService(job_store, clock)


@cache
def find_estimate_service() -> "EstimateService":
    """Return the way to estimates."""
    from rune.services.estimates import EstimateService  # noqa: PLC0415

    return EstimateService(
        jobs,
        clients.market_store(settings.table),
        clients.host_store(settings.table),
        clients.sample_store(settings.table),
        clock,
    )


def read_market() -> "tuple[MarketRow, ...]":
    """Return what searches have last seen of the market."""
    return clients.market_store(settings.table).read(clock.now())


@cache
def find_finops_service() -> "FinopsService":
    """Return the way to simulations of cost."""
    from rune.services.finops import FinopsService  # noqa: PLC0415

    samples = clients.sample_store(settings.table)
    return FinopsService(job_store, samples, read_market, clock, settings.bedrock.region)


def open_server(kind: str, url: str, api_key: str | None = None, /) -> "ModelServer":
    """Return the model server at an address."""
    from rune.llm.opener import ServerOpener  # noqa: PLC0415

    return ServerOpener(address_policy, settings.bedrock.url)(kind, url, api_key)


app = create_app(
    Services(
        clock=clock,
        jobs=jobs,
        reports=find_report_service,
        tenants=clients.tenants(
            settings.tenants_path,
            clock,
            DocumentContext(address_policy, settings.bedrock.region, settings.bedrock.is_allowed),
            token_book,
        ),
        limiter=limiter,
        token_uses=TokenUses(lambda: clients.token_use_store(settings.table), clock),
        rates=TenantRates(settings.rates, find_rate_counter, clock),
        address_policy=address_policy,
        open_server=open_server,
        rentals=find_rental_service,
        links=find_link_service,
        schedules=find_schedule_service,
        webhooks=find_webhook_service,
        usage=find_usage_service,
        finops=find_finops_service,
        estimates=find_estimate_service,
        baselines=find_baseline_service,
        suites=find_suite_service,
        market=read_market,
        stopping=find_stopping,
        can_rent=settings.can_rent,
        has_authentication=not settings.auth_disabled,
        most_concurrency=most_concurrency(settings.load_lane.process_count),
    ),
    with_docs=settings.with_docs,
    cors_origins=settings.cors_origins,
)
# Mangum runs requests on the current event loop, which Python no longer makes by itself.
asyncio.set_event_loop(asyncio.new_event_loop())
# Without its own list Mangum takes problem+json for binary and sends it in base64.
adapter = Mangum(app, lifespan="off", text_mime_types=["text/", "json", "javascript", "xml"])


def handle(event: LambdaEvent, context: LambdaContext) -> Mapping[str, object]:
    """Return the API's response to an HTTP request (payload format 2.0)."""
    # The gateway's own id: its access log has it, and so has the answer (`apigw-requestid`).
    request_id = str(event["requestContext"]["requestId"])
    with logs.about(request_id=request_id, invocation_id=context.aws_request_id):
        response = _answer(event, context)
    response["headers"]["x-request-id"] = request_id
    complete(response["headers"], varies_by_origin=bool(settings.cors_origins))
    return response


def _answer(event: LambdaEvent, context: LambdaContext) -> dict[str, Any]:
    try:
        # A body that announces no length has the one that only this event tells.
        event["headers"].setdefault("content-length", str(len(event.get("body") or "")))
        http = event["requestContext"]["http"]
        # Clients whose base address ends with a slash put another one before each path.
        if http["path"].startswith("//"):
            http["path"] = f"/{http['path'].lstrip('/')}"
        response = adapter(event, context)
    except (KeyError, UnicodeDecodeError, ValueError):
        # Mangum reads Host and X-Forwarded-Port outside the app, and raises on odd ones such as "[::1]".
        log.exception("request.unreadable")
        return respond_to_lambda(Problem(400, "bad_request", "The request's headers cannot be read."))
    if not fits(response["body"]):
        log.error("request.answer_too_large")
        return respond_to_lambda(ANSWER_TOO_LARGE)
    if response["statusCode"] in {HTTPStatus.NOT_MODIFIED, HTTPStatus.NO_CONTENT}:
        # Mangum gives every answer a type, also one without a body.
        response["headers"].pop("content-type", None)
    return response
