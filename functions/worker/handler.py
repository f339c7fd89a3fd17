"""One SQS message is one turn of one job."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Protocol

# Nearly every turn calls a server over HTTP, and the client takes 25 ms of a whole processor, which Lambda gives to
# imports and not to turns.
import rune.net.client  # noqa: F401
from rune import logs
from rune.aws.sqs import decode, decode_release
from rune.aws.wiring import Clients
from rune.clock import SystemClock
from rune.contracts.workloads import most_concurrency
from rune.errors import StoreUnavailableError, UnreadableRowError
from rune.jobs.admission import Admission
from rune.jobs.engine import Engine
from rune.jobs.lease import pause_with_jitter, run_leased
from rune.jobs.plan import Lane
from rune.jobs.record import StepMessage
from rune.llm.opener import ServerOpener
from rune.tenants.networks import read_networks
from rune.tenants.reading import DocumentContext
from rune.workflows.benchmark.dependencies import BenchmarkDependencies
from rune.workflows.registry import make_steps
from worker.settings import WorkerSettings

if TYPE_CHECKING:
    from rune.workflows.benchmark.dependencies import MeasureSpread
    from rune.workflows.rental.dependencies import RentalDependencies

logs.configure(os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "worker"))
log = logging.getLogger(__name__)

settings = WorkerSettings.from_environment(os.environ)
clients = Clients()
dead_letters = clients.dead_letters(settings.dead_letter_queue_url)
address_policy = read_networks(settings.allowed_networks, settings.vastai.stage)
clock = SystemClock()
tenants = clients.tenants(
    settings.tenants_path,
    clock,
    DocumentContext(address_policy, settings.bedrock.region, settings.bedrock.is_allowed),
    knows_all=True,
)
open_model_server = ServerOpener(address_policy, settings.bedrock.url)


def _rental_dependencies() -> RentalDependencies:
    """Return what renting needs."""
    vastai = settings.vastai
    # Imported here: without an account hardly a step needs anything of renting.
    from rune.rentals.settings import RentalSettings  # noqa: PLC0415
    from rune.workflows.rental.dependencies import RentalDependencies  # noqa: PLC0415

    return RentalDependencies(
        provider=clients.provider(settings.table, vastai, clock),
        rental_store=clients.rental_store(settings.table, settings.notice_queue_url),
        clock=clock,
        open_server=open_model_server,
        settings=RentalSettings(vastai.stage, vastai.api_url, vastai.image),
        tenants=tenants,
        deployments=clients.deployment_store(settings.table),
        hosts=clients.host_store(settings.table),
        market=clients.market_store(settings.table),
        spending_limits=settings.spending,
    )


PASSED_ON = ("LD_LIBRARY_PATH", "LANG", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR")
"""Of the environment, to the processes that put a load: what an interpreter needs, and no credential."""


def _spread() -> MeasureSpread | None:
    """Return how points are measured by several processes; None in a lane that has no processors for that."""
    if settings.lane != Lane.LOAD:
        return None
    from rune.bench.processes import Processes  # noqa: PLC0415  # measuring is this lane's only work

    passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return Processes(max(1, settings.load_lane.process_count), passed_on).measure_point


def _read_cases(tenant: str, name: str, version: str) -> str | None:
    """Return the cases of a tenant's own suite; few jobs run one."""
    return clients.suite_store(settings.table).read_cases(tenant, name, version)


store = clients.telling_job_store(settings.table, settings.bucket, settings.notice_queue_url)
queue = clients.step_queue(
    {
        Lane.MONEY: settings.money_queue_url,
        Lane.INFERENCE: settings.inference_queue_url,
        Lane.LOAD: settings.load_lane.queue_url,
    }
)
engine = Engine(
    lane=Lane(settings.lane),
    store=store,
    queue=queue,
    clock=clock,
    steps=make_steps(
        open_model_server,
        tenants,
        address_policy,
        _rental_dependencies() if settings.vastai.is_present else None,
        load_rental=_rental_dependencies,
        clusters=clients.clusters(settings.tenants_path, clock) if settings.tenants_path else None,
        measuring=BenchmarkDependencies(
            records=clients.record_files(settings.bucket),
            clock=clock,
            client_region=settings.region,
            client_memory_mb=settings.memory_mb,
            most_concurrency=most_concurrency(settings.load_lane.process_count),
            spread=_spread(),
            read_cases=_read_cases,
        ),
    ),
    run_step=run_leased,
    pause=pause_with_jitter,
    admission=Admission(store, queue, clock, settings.running_jobs),
)


RELEASE_SECONDS = 20.0
"""So long an order to destroy a machine waits for the provider's pace; then the janitor sends it."""


class Context(Protocol):
    """What Lambda says about the invocation."""

    @property
    def aws_request_id(self) -> str:
        """The invocation; Lambda's own lines about it have the same id."""
        ...

    def get_remaining_time_in_millis(self) -> int:
        """Return milliseconds until Lambda ends the invocation."""
        ...


def handle(event: dict[str, list[dict[str, str]]], context: Context) -> dict[str, list[object]]:
    """Take the turn that each message names, and report no message as failed."""
    for record in event["Records"]:
        with logs.about(request_id=context.aws_request_id, message_id=record["messageId"]):
            _take(record["body"], context.get_remaining_time_in_millis() / 1000)
    return {"batchItemFailures": []}


def _take(body: str, time_left_seconds: float) -> None:
    rental_id = decode_release(body)
    if rental_id is not None:
        _release(rental_id)
        return
    try:
        message = decode(body)
    except UnreadableRowError:
        # The version that sent it sends it again, once its turn is late.
        log.warning(
            "message.not_understood", exc_info=True, extra={"metric": logs.ROWS_NOT_UNDERSTOOD_METRIC}
        )
        return
    if message is None:
        # Another delivery would not help, so it goes to the dead-letter queue at once, which has an alarm.
        dead_letters.put(body)
        log.error("message.unreadable")
        return
    with logs.about(job_id=message.job_id, seq=message.seq):
        _take_turn(message, time_left_seconds)


def _take_turn(message: StepMessage, time_left_seconds: float) -> None:
    try:
        # With a factory, asyncio.run does not change the current event loop of the process.
        asyncio.run(engine.take_turn(message, time_left_seconds), loop_factory=asyncio.new_event_loop)
    except StoreUnavailableError:
        # The turn is late now or soon, and the janitor sends it again. A failed message would go to the dead-letter
        # queue after some deliveries in an outage, though nothing is wrong with it.
        log.exception("turn.store_unavailable", extra={"job_id": message.job_id, "seq": message.seq})


def _release(rental_id: str) -> None:
    """Send the order to destroy the machine of a rental that its tenant has ended."""
    if not settings.vastai.is_present:
        log.warning("release.without_account", extra={"rental_id": rental_id})
        return
    # Imported here: a tenant ends a machine rarely.
    from rune.services.orphan_sweep import OrphanSweep  # noqa: PLC0415

    sweep = OrphanSweep(
        provider=clients.provider(settings.table, settings.vastai, clock),
        rental_store=clients.rental_store(settings.table, settings.notice_queue_url),
        jobs=store,
        clock=clock,
        stage=settings.vastai.stage,
        deployments=clients.deployment_store(settings.table),
        pause=asyncio.sleep,
    )
    ends_seconds = clock.monotonic_seconds() + RELEASE_SECONDS

    def may_go_on() -> bool:
        return clock.monotonic_seconds() < ends_seconds

    try:
        result = asyncio.run(sweep.destroy(rental_id, may_go_on), loop_factory=asyncio.new_event_loop)
    except StoreUnavailableError:
        # The janitor's next tick does the same.
        log.exception("release.store_unavailable", extra={"rental_id": rental_id})
    else:
        log.info("release.ordered", extra={"rental_id": rental_id, "destroyed": result.destroyed_count})
