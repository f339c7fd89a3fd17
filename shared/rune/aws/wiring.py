"""The AWS clients of a function, and the stores and queues made of them.

What not every function uses is imported by the method that makes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, cached_property
from typing import TYPE_CHECKING, Literal

import boto3
from botocore.config import Config

from rune.aws.job_store import DynamoJobStore, NoObjectStore
from rune.aws.sqs import SqsDeadLetters, SqsStepQueue
from rune.clock import Clock
from rune.jobs.plan import Lane

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

    from rune.aws.auth_limiter import DynamoLimiter
    from rune.aws.baseline_store import DynamoBaselineStore
    from rune.aws.budget_store import DynamoBudgetStore
    from rune.aws.credit_store import DynamoCreditStore
    from rune.aws.deployment_store import DynamoDeploymentStore
    from rune.aws.due_schedules import DynamoDueSchedules
    from rune.aws.event_bus import EventBus, EventPutter
    from rune.aws.host_store import DynamoHostStore
    from rune.aws.inbox import S3Inbox
    from rune.aws.intake_queues import SqsIntake
    from rune.aws.market_store import DynamoMarketStore
    from rune.aws.notices import SqsNoticeQueue
    from rune.aws.outbox import DynamoOutbox
    from rune.aws.release_queue import SqsReleaseQueue
    from rune.aws.rental_store import DynamoRentalStore
    from rune.aws.s3 import S3Links, S3ObjectStore, S3Parts
    from rune.aws.sample_store import DynamoSampleStore
    from rune.aws.schedule_store import DynamoScheduleStore
    from rune.aws.settings_store import ParameterReader
    from rune.aws.step_functions import StepFunctionsTasks, TaskClient
    from rune.aws.suite_store import DynamoSuiteStore
    from rune.aws.token_use_store import DynamoTokenUseStore
    from rune.aws.webhook_store import DynamoWebhookStore
    from rune.jobs.store import ObjectStore
    from rune.jobs.telling import TellingStore
    from rune.kubernetes.source import ClusterSource
    from rune.rentals.paced_provider import PacedProvider
    from rune.rentals.vastai import VastaiTransport
    from rune.settings import VastaiSettings
    from rune.signing_keys import SigningKeySource
    from rune.tenants.rates import RateCounter
    from rune.tenants.reading import DocumentContext
    from rune.tenants.settings import TenantSource
    from rune.tenants.tokens import TokenBook

CONFIG = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 3})
"""AWS answers in milliseconds; what takes seconds is better tried again. All tries take 24 s at most, less than any
function's own time, so that a call which fails can still be dealt with."""

PROMPT_CONFIG = CONFIG.merge(
    Config(connect_timeout=1, read_timeout=2, retries={"mode": "standard", "total_max_attempts": 2})
)
"""While a caller waits: all tries take 7 s at most. Settings that cannot be read within that are those of the last
reading. A request goes on without its settings and without a limiter, so three calls must fit into its time."""

JSON_LINES = "application/x-ndjson"


class Clients:
    """One client a service, on one session.

    A cold start takes 80 ms for the first client, 50 ms for S3's and 5 to 30 ms for each other. DynamoDB's and
    SQS's serve most invocations and are made with what uses them, the others at the first call.

    Parameters
    ----------
    is_waited_for
        Whether callers wait for what is done, so that a call which takes seconds has failed.
    """

    def __init__(self, *, is_waited_for: bool = False) -> None:
        self._session = boto3.session.Session()
        self._config = PROMPT_CONFIG if is_waited_for else CONFIG

    @cached_property
    def _dynamodb(self) -> DynamoDBClient:
        return self._session.client("dynamodb", config=self._config)

    @cached_property
    def _sqs(self) -> SQSClient:
        return self._session.client("sqs", config=self._config)

    @cached_property
    def _s3(self) -> S3Client:
        return self._session.client("s3", config=self._config)

    @cached_property
    def _ssm(self) -> ParameterReader:
        client: ParameterReader = self._session.client("ssm", config=PROMPT_CONFIG)
        return client

    @cached_property
    def _events(self) -> EventPutter:
        client: EventPutter = self._session.client("events", config=self._config)
        return client

    def tenants(
        self,
        path: str,
        clock: Clock,
        context: DocumentContext,
        book: TokenBook | None = None,
        *,
        knows_all: bool = False,
    ) -> TenantSource:
        """Return the tenants; without a path none has a document. See `rune.aws.tenants.SsmTenants`."""
        if not path:
            from rune.tenants.settings import FixedTenants

            return FixedTenants(book=book)
        from rune.aws.tenants import SsmTenants

        return SsmTenants(lambda: self._ssm, path, clock, context, book, knows_all=knows_all)

    def clusters(self, path: str, clock: Clock) -> ClusterSource:
        """Return the credentials of tenants' clusters."""
        from rune.aws.clusters import SsmClusters

        return SsmClusters(lambda: self._ssm, path, clock)

    def limiter(self, table: str, clock: Clock) -> DynamoLimiter:
        """Return the limiter of failed authentications."""
        from rune.aws.auth_limiter import DynamoLimiter

        return DynamoLimiter(self._dynamodb, table, clock)

    def rate_counter(self, table: str) -> RateCounter:
        """Return what processes tell each other of a tenant's requests."""
        from rune.aws.tenant_rates import DynamoRateCounter

        return DynamoRateCounter(self._dynamodb, table)

    def job_store(
        self, table: str, bucket: str | None, limiter: DynamoLimiter | None = None
    ) -> DynamoJobStore:
        """Return the jobs in the table, with their large bodies in the bucket if one is given."""
        bodies: ObjectStore = NoObjectStore()
        if bucket is not None:
            from rune.aws.s3 import S3ObjectStore

            bodies = S3ObjectStore(lambda: self._s3, bucket)
        return DynamoJobStore(self._dynamodb, table, bodies, limiter)

    def telling_job_store(
        self, table: str, bucket: str | None, notice_queue_url: str, limiter: DynamoLimiter | None = None
    ) -> TellingStore:
        """Return the jobs in the table for who writes them: what is written is told to the notifier."""
        from rune.jobs.telling import TellingStore

        return TellingStore(self.job_store(table, bucket, limiter), self.notice_queue(notice_queue_url))

    def record_files(self, bucket: str) -> S3ObjectStore:
        """Return where files of JSON lines go."""
        from rune.aws.s3 import S3ObjectStore

        return S3ObjectStore(lambda: self._s3, bucket, JSON_LINES)

    def links(self, bucket: str) -> S3Links:
        """Return the way to links into the bucket."""
        from rune.aws.s3 import S3Links

        return S3Links(self._signing_client, bucket)

    def parts(self, bucket: str) -> S3Parts:
        """Return the way to parts of the bucket's objects."""
        from rune.aws.s3 import S3Parts

        return S3Parts(lambda: self._s3, bucket)

    def _signing_client(self) -> S3Client:
        # By itself botocore signs links for the global host, which redirects to the bucket's region, where the
        # signature is wrong, and in some regions with SigV2. An emulator has one host for all buckets.
        endpoint = self._s3.meta.endpoint_url
        style: Literal["virtual", "path"] = "virtual" if ".amazonaws.com" in endpoint else "path"
        config = Config(signature_version="s3v4", s3={"addressing_style": style})
        return self._session.client("s3", config=CONFIG.merge(config))

    def signing_keys(self, parameter: str, clock: Clock) -> SigningKeySource:
        """Return the keys for signing; without a parameter there are none."""
        if not parameter:
            from rune.signing_keys import NoSigningKeys

            return NoSigningKeys()
        from rune.aws.signing_keys import SsmSigningKeys

        return SsmSigningKeys(lambda: self._ssm, parameter, clock)

    def inbox(self, bucket: str, owner: str) -> S3Inbox:
        """Return the bucket of what others put in."""
        from rune.aws.inbox import S3Inbox

        return S3Inbox(lambda: self._s3, bucket, owner)

    def intake(self, failure_urls: Mapping[str, str]) -> SqsIntake:
        """Return the queues of the ways in."""
        from rune.aws.intake_queues import SqsIntake

        return SqsIntake(lambda: self._sqs, failure_urls)

    def workflow_tasks(self) -> StepFunctionsTasks:
        """Return the tasks of state machines that wait for jobs."""
        from rune.aws.step_functions import StepFunctionsTasks

        def make_client() -> TaskClient:
            client: TaskClient = self._session.client("stepfunctions", config=self._config)
            return client

        return StepFunctionsTasks(cache(make_client))

    def rental_store(self, table: str, notice_queue_url: str | None = None) -> DynamoRentalStore:
        """Return the rental store in the table; with a queue what is written is told to the notifier."""
        from rune.aws.rental_store import DynamoRentalStore

        notices = None if notice_queue_url is None else self.notice_queue(notice_queue_url)
        return DynamoRentalStore(self._dynamodb, table, notices)

    def credit_store(self, table: str) -> DynamoCreditStore:
        """Return what is reserved of the account's credit, in the table."""
        from rune.aws.credit_store import DynamoCreditStore

        return DynamoCreditStore(self._dynamodb, table)

    def webhook_store(self, table: str) -> DynamoWebhookStore:
        """Return the webhooks in the table."""
        from rune.aws.webhook_store import DynamoWebhookStore

        return DynamoWebhookStore(self._dynamodb, table)

    def deployment_store(self, table: str) -> DynamoDeploymentStore:
        """Return the deployment in the table."""
        from rune.aws.deployment_store import DynamoDeploymentStore

        return DynamoDeploymentStore(self._dynamodb, table)

    def schedule_store(self, table: str) -> DynamoScheduleStore:
        """Return the schedules in the table."""
        from rune.aws.schedule_store import DynamoScheduleStore

        return DynamoScheduleStore(self._dynamodb, table)

    def baseline_store(self, table: str) -> DynamoBaselineStore:
        """Return the baselines in the table."""
        from rune.aws.baseline_store import DynamoBaselineStore

        return DynamoBaselineStore(self._dynamodb, table)

    def suite_store(self, table: str) -> DynamoSuiteStore:
        """Return the suites of cases in the table."""
        from rune.aws.suite_store import DynamoSuiteStore

        return DynamoSuiteStore(self._dynamodb, table)

    def due_schedules(self, table: str) -> DynamoDueSchedules:
        """Return which schedules are due."""
        from rune.aws.due_schedules import DynamoDueSchedules

        return DynamoDueSchedules(self._dynamodb, table)

    def budget_store(self, table: str) -> DynamoBudgetStore:
        """Return the budgets in the table."""
        from rune.aws.budget_store import DynamoBudgetStore

        return DynamoBudgetStore(self._dynamodb, table)

    def token_use_store(self, table: str) -> DynamoTokenUseStore:
        """Return the days on which tokens were used last, in the table."""
        from rune.aws.token_use_store import DynamoTokenUseStore

        return DynamoTokenUseStore(self._dynamodb, table)

    def host_store(self, table: str) -> DynamoHostStore:
        """Return what is known of hosts, in the table."""
        from rune.aws.host_store import DynamoHostStore

        return DynamoHostStore(self._dynamodb, table)

    def market_store(self, table: str) -> DynamoMarketStore:
        """Return the market as last seen, in the table."""
        from rune.aws.market_store import DynamoMarketStore

        return DynamoMarketStore(self._dynamodb, table)

    def sample_store(self, table: str) -> DynamoSampleStore:
        """Return the samples of past jobs, in the table."""
        from rune.aws.sample_store import DynamoSampleStore

        return DynamoSampleStore(self._dynamodb, table)

    def provider(self, table: str, settings: VastaiSettings, clock: Clock) -> PacedProvider:
        """Return the way to Vast.ai, which reads the key when it is needed; without an account each call fails."""
        from asyncio import sleep

        from rune.aws.provider_key import SsmKey
        from rune.aws.provider_limits import DynamoProviderLimits
        from rune.rentals.paced_provider import PacedProvider
        from rune.rentals.provider_key import KeyedTransport, KeySource, NoKey
        from rune.rentals.vastai import VastAi

        keys: KeySource = NoKey()
        if settings.is_present:
            keys = SsmKey(lambda: self._ssm, settings.api_key_parameter, clock)

        def open_transport(api_key: str) -> VastaiTransport:
            from rune.rentals.vastai_http import HttpVastaiTransport

            return HttpVastaiTransport(settings.api_url, api_key)

        async def fetch_log(url: str) -> str | None:
            from rune.rentals.vastai_http import fetch_log

            return await fetch_log(url)

        provider_limits = DynamoProviderLimits(self._dynamodb, table)
        vastai = VastAi(KeyedTransport(keys, open_transport), sleep, fetch_log)
        return PacedProvider(vastai, provider_limits, clock)

    def step_queue(self, queue_urls: Mapping[Lane, str], *, sends_seldom: bool = False) -> SqsStepQueue:
        """Return the queues of the lanes; for a function that seldom sends, the client is made when it does."""
        if not sends_seldom:
            _ = self._sqs
        return SqsStepQueue(lambda: self._sqs, queue_urls)

    def notice_queue(self, queue_url: str) -> SqsNoticeQueue:
        """Return the queue of the notifier."""
        from rune.aws.notices import SqsNoticeQueue

        return SqsNoticeQueue(lambda: self._sqs, queue_url)

    def outbox(self, table: str) -> DynamoOutbox:
        """Return how far events are published, in the table."""
        from rune.aws.outbox import DynamoOutbox

        return DynamoOutbox(self._dynamodb, table)

    def event_bus(self, name: str) -> EventBus:
        """Return the bus of this name as a sink of events."""
        from rune.aws.event_bus import EventBus

        return EventBus(lambda: self._events, name)

    def archive(self, bucket: str) -> S3ObjectStore:
        """Return the bucket of the archive."""
        from rune.aws.s3 import S3ObjectStore

        return S3ObjectStore(lambda: self._s3, bucket, JSON_LINES)

    def release_queue(self, queue_url: str) -> SqsReleaseQueue:
        """Return the way to who destroys machines, through the queue of the money lane."""
        from rune.aws.release_queue import SqsReleaseQueue

        return SqsReleaseQueue(lambda: self._sqs, queue_url)

    def dead_letters(self, queue_url: str) -> SqsDeadLetters:
        """Return the dead-letter queue."""
        return SqsDeadLetters(self._sqs, queue_url)
