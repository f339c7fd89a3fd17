"""Endpoints and deliveries as they are stored."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class EndpointStatus(StrEnum):
    """Whether events are sent to an endpoint."""

    ENABLED = "enabled"
    DISABLED = "disabled"
    REMOVED = "removed"


class DisabledReason(StrEnum):
    """Why an endpoint gets nothing."""

    CALLER = "caller"
    """The tenant said so."""
    GONE = "gone"
    """It answered 410."""
    FAILURES = "failures"
    """It has only failed for days."""


class DeliveryState(StrEnum):
    """How far a delivery has got."""

    PENDING = "pending"
    """Not tried since it was made; in its turn."""
    RETRYING = "retrying"
    """Tried without success, or asked for again; due at a moment of its own."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """Not tried again by itself."""


OPEN_STATES = (DeliveryState.PENDING, DeliveryState.RETRYING)

CALLBACK_PREFIX = "cb_"
"""Of the id of an endpoint that is one job's `callback_url`."""

ENDPOINT_PREFIX = "wh_"


@dataclass(frozen=True, slots=True)
class Secret:
    """Which secret signs. It is derived when it is needed, and stored nowhere.

    Attributes
    ----------
    number
        Rises with each rotation.
    key_version
        Of the deployment's key, from which it is derived.
    valid_until
        Of one that was replaced: until when it signs beside the present one.
    """

    number: int
    key_version: int
    valid_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address to which events are sent, and how far that has got.

    Attributes
    ----------
    events
        Filters, as in `rune.webhooks.filters`.
    revision
        Rises with what callers change, and with disabling; `version` rises with each write.
    secrets
        The present one first. A callback's are its tenant's, and none are here.
    event_count
        Events about the endpoint itself, such as tests of it.
    last_position
        Of its newest delivery. Deliveries are numbered from 1, without a gap.
    tried_position
        Up to here each delivery has been tried once.
    retrying_count
        Deliveries in the state `retrying`.
    epoch
        Rises with each claim; only its holder may write what became of an attempt.
    not_before
        Until when nothing is sent, as the receiver fails or asked for it.
    failures_in_row, failing_since, last_failed_at
        Of all attempts since the last that succeeded.
    last_asked_at
        When a caller last asked for a delivery again.
    due_at
        When its deliveries should be looked at; None where there is nothing to do.
    """

    endpoint_id: str
    tenant: str
    url: str
    events: tuple[str, ...]
    status: EndpointStatus
    secrets: tuple[Secret, ...]
    created_at: datetime
    updated_at: datetime
    version: int = 1
    revision: int = 1
    description: str | None = None
    disabled_reason: DisabledReason | None = None
    disabled_at: datetime | None = None
    event_count: int = 0
    last_position: int = 0
    tried_position: int = 0
    retrying_count: int = 0
    epoch: int = 0
    lease_until: datetime | None = None
    not_before: datetime | None = None
    failures_in_row: int = 0
    failing_since: datetime | None = None
    last_failed_at: datetime | None = None
    last_succeeded_at: datetime | None = None
    last_asked_at: datetime | None = None
    due_at: datetime | None = None
    expires_at: datetime | None = None

    @property
    def key(self) -> str:
        """Names the endpoint in messages."""
        return f"{self.tenant}/{self.endpoint_id}"

    @property
    def is_callback(self) -> bool:
        """Whether it is the `callback_url` of one job."""
        return self.endpoint_id.startswith(CALLBACK_PREFIX)

    @property
    def open_count(self) -> int:
        """Deliveries that have neither succeeded nor failed."""
        return self.last_position - self.tried_position + self.retrying_count


@dataclass(frozen=True, slots=True)
class Attempt:
    """One POST, or a try that did not come so far.

    Attributes
    ----------
    status
        HTTP status of the answer; None without one.
    error
        Stable name such as `timeout`; None where the attempt succeeded.
    """

    number: int
    at: datetime
    duration_ms: int
    status: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event for one endpoint.

    Attributes
    ----------
    body
        What is sent, byte for byte the same at each try.
    tries
        Made since it was made, or asked for again.
    began_at
        When it was made, or asked for again.
    is_once
        Whether it is tried once only, as a test event is.
    attempts
        The newest `MAX_ATTEMPTS_KEPT`, numbered over all.
    response
        Beginning of the newest answer's body.
    due_at
        When it is tried again; only in the state `retrying`.
    """

    endpoint_id: str
    tenant: str
    position: int
    event_id: str
    event_type: str
    body: str
    state: DeliveryState
    created_at: datetime
    began_at: datetime
    updated_at: datetime
    expires_at: datetime
    version: int = 1
    tries: int = 0
    is_once: bool = False
    attempts: tuple[Attempt, ...] = ()
    response: str | None = None
    due_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether it is still to be tried."""
        return self.state in OPEN_STATES


MAX_ATTEMPTS_KEPT = 20

READ_AT_ONCE = 20
"""Deliveries that one read gives."""


@dataclass(frozen=True, slots=True)
class TenantWebhooks:
    """What a tenant has besides its endpoints.

    Attributes
    ----------
    endpoint_count
        Endpoints that are not removed.
    callback_secrets
        Of what is sent to the `callback_url` of its jobs, the present one first; empty until one is needed.
    """

    updated_at: datetime
    version: int = 0
    endpoint_count: int = 0
    callback_secrets: tuple[Secret, ...] = ()


def parse_key(key: str) -> tuple[str, str] | None:
    """Return tenant and endpoint id of a key in a message; None for another text."""
    tenant, slash, endpoint_id = key.partition("/")
    is_known = endpoint_id.startswith((ENDPOINT_PREFIX, CALLBACK_PREFIX))
    return (tenant, endpoint_id) if tenant and slash and is_known else None


def callback_owner(tenant: str) -> str:
    """Return what the secret of a tenant's callbacks is of; no endpoint has such an id."""
    return f"callback:{tenant}"
