"""The AWS clients of a function, and the store and queues made of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import boto3
from botocore.config import Config

from rune.aws.auth_limiter import DynamoLimiter
from rune.aws.job_store import DynamoJobStore, NoObjectStore
from rune.aws.provider_limits import DynamoProviderLimits
from rune.aws.rental_store import DynamoRentalStore
from rune.aws.s3 import S3Links, S3ObjectStore
from rune.aws.settings_store import ParameterReader, SsmTokens
from rune.aws.sqs import SqsDeadLetters, SqsStepQueue
from rune.clock import Clock
from rune.errors import SettingsError
from rune.jobs.plan import Lane
from rune.rentals.paced_provider import PacedProvider
from rune.rentals.vastai import VastAi
from rune.settings import BackendAccess, VastaiSettings

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

    from rune.agents.settings import AgentSettings
    from rune.jobs.store import ObjectStore
    from rune.net.addresses import AddressPolicy
    from rune.tenants.backends import BackendSettings

CONFIG = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 3})
"""AWS answers in milliseconds; what takes seconds is better tried again while the caller still waits."""


JSON_LINES = "application/x-ndjson"


class Clients:
    """One client a service, on one session.

    A cold start takes 80 ms for the first client, 50 ms for S3's and 5 to 30 ms for each other. DynamoDB's and
    SQS's serve most invocations and are made with what uses them; S3's is made at the first call.
    """

    def __init__(self) -> None:
        self._session = boto3.session.Session()

    @cached_property
    def _dynamodb(self) -> DynamoDBClient:
        return self._session.client("dynamodb", config=CONFIG)

    @cached_property
    def _sqs(self) -> SQSClient:
        return self._session.client("sqs", config=CONFIG)

    @cached_property
    def _s3(self) -> S3Client:
        return self._session.client("s3", config=CONFIG)

    @cached_property
    def _ssm(self) -> ParameterReader:
        client: ParameterReader = self._session.client("ssm", config=CONFIG)
        return client

    def tokens(self, parameter_name: str, clock: Clock) -> SsmTokens:
        """Return the tokens in an SSM parameter."""
        return SsmTokens(self._ssm, parameter_name, clock)

    def agents(self, parameter_name: str) -> AgentSettings:
        """Return the tenants' agents as an SSM parameter has them now; an empty name means that there are none."""
        # Imported here: the janitor has no agents, and pydantic is a sixth of its cold start.
        from rune.agents.settings import AgentSettings  # noqa: PLC0415

        return AgentSettings.parse(self._read_secret(parameter_name)) if parameter_name else AgentSettings()

    def backends(self, access: BackendAccess, policy: AddressPolicy) -> BackendSettings:
        """Return what tenants may use of the operator's, as an SSM parameter has it now."""
        # Imported here for the janitor's sake, as above.
        from rune.tenants.backends import BackendSettings  # noqa: PLC0415

        return BackendSettings.parse(
            self._read_secret(access.parameter) if access.parameter else "",
            policy,
            home_region=access.region,
            has_bedrock=access.has_bedrock,
        )

    def limiter(self, table: str, clock: Clock) -> DynamoLimiter:
        """Return the limiter of failed authentications."""
        return DynamoLimiter(self._dynamodb, table, clock)

    def job_store(
        self, table: str, bucket: str | None, limiter: DynamoLimiter | None = None
    ) -> DynamoJobStore:
        """Return the jobs in the table, with their large bodies in the bucket if one is given."""
        bodies: ObjectStore = NoObjectStore()
        if bucket is not None:
            bodies = S3ObjectStore(lambda: self._s3, bucket)
        return DynamoJobStore(self._dynamodb, table, bodies, limiter)

    def record_files(self, bucket: str) -> S3ObjectStore:
        """Return where files of JSON lines go."""
        return S3ObjectStore(lambda: self._s3, bucket, JSON_LINES)

    def links(self, bucket: str) -> S3Links:
        """Return the way to links into the bucket."""
        return S3Links(self._signing_client, bucket)

    def _signing_client(self) -> S3Client:
        # By itself botocore signs links for the global host, which redirects to the bucket's region, where the
        # signature is wrong, and in some regions with SigV2. An emulator has one host for all buckets.
        endpoint = self._s3.meta.endpoint_url
        style: Literal["virtual", "path"] = "virtual" if ".amazonaws.com" in endpoint else "path"
        config = Config(signature_version="s3v4", s3={"addressing_style": style})
        return self._session.client("s3", config=CONFIG.merge(config))

    def rental_store(self, table: str) -> DynamoRentalStore:
        """Return the rental store in the table."""
        return DynamoRentalStore(self._dynamodb, table)

    def provider(self, table: str, settings: VastaiSettings, clock: Clock) -> PacedProvider:
        """Return the way to Vast.ai, with the key as it is now; raises SettingsError if there is none."""
        # Imported here: an API function never calls Vast.ai, nor does a deployment that has no account.
        from rune.rentals.vastai_http import HttpVastaiTransport  # noqa: PLC0415

        api_key = settings.api_key
        if settings.api_key_parameter:
            api_key = self._read_secret(settings.api_key_parameter).strip()
        if not api_key:
            raise SettingsError("There is no key for Vast.ai.")
        provider_limits = DynamoProviderLimits(self._dynamodb, table)
        transport = HttpVastaiTransport(settings.api_url, api_key)
        return PacedProvider(VastAi(transport, asyncio.sleep), provider_limits, clock)

    def step_queue(self, queue_urls: Mapping[Lane, str]) -> SqsStepQueue:
        """Return the queues of the lanes."""
        return SqsStepQueue(self._sqs, queue_urls)

    def dead_letters(self, queue_url: str) -> SqsDeadLetters:
        """Return the dead-letter queue."""
        return SqsDeadLetters(self._sqs, queue_url)

    def _read_secret(self, parameter_name: str) -> str:
        return str(self._ssm.get_parameter(Name=parameter_name, WithDecryption=True)["Parameter"]["Value"])
