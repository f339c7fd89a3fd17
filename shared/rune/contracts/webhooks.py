"""What callers send and get about webhooks."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, Field, Strict, model_validator

from rune.contracts.document import Document
from rune.contracts.requests import Url

type WebhookStatusName = Literal["enabled", "disabled"]
type DeliveryStateName = Literal["pending", "retrying", "succeeded", "failed"]

type EventFilter = Annotated[
    str, Field(max_length=64, pattern=r"^(\*|[a-zA-Z0-9_]+(\.[a-zA-Z0-9_]+)*(\.\*)?)$")
]
"""A type such as `rune.job.succeeded`, all below a prefix (`rune.job.*`), or all (`*`)."""

type EventFilters = Annotated[list[EventFilter], Field(min_length=1, max_length=20)]

type Description = Annotated[str, Field(max_length=200)]


class WebhookRequest(Document):
    """A webhook to be made."""

    url: Url
    """Where events are posted: https, with or without a query."""
    events: EventFilters = Field(default_factory=lambda: ["*"])
    """Which events: types such as `rune.job.succeeded`, prefixes such as `rune.job.*`, or `*` for all."""
    description: Description | None = None
    """For people."""


class WebhookRevision(Document):
    """What is to change of a webhook; what is left out stays."""

    url: Url | None = None
    """Another address."""
    events: EventFilters | None = None
    """Other events; what was delivered or waits already stays."""
    description: Description | None = None
    """Another description; an empty one takes it away."""
    status: WebhookStatusName | None = None
    """`disabled` stops it; `enabled` goes on with what waits, and forgets earlier failures."""


class WebhookRecord(Document):
    """A webhook: an address to which your tenant's events are posted."""

    webhook_id: str
    url: str
    events: list[str]
    description: str | None
    status: WebhookStatusName
    disabled_reason: Literal["caller", "gone", "failures"] | None
    """`caller`: you did it; `gone`: the receiver answered 410; `failures`: nothing but failures for five days."""
    disabled_at: datetime | None
    created_at: datetime
    updated_at: datetime
    waiting_count: int
    """Deliveries that are still to be tried, or tried again."""
    failing_since: datetime | None
    """When the failures began; null where the newest attempt succeeded."""
    paused_until: datetime | None
    """Until when nothing is sent, as the receiver fails or asked for it; null where that is not so."""
    last_succeeded_at: datetime | None
    """When an event was last taken at the present address."""
    old_secret_valid_until: datetime | None
    """Until when deliveries are also signed with the secret before the present one."""


class WebhookCreated(WebhookRecord):
    """A new webhook, with its secret, which is shown this once."""

    secret: str
    """Verifies that a delivery comes from RUNE (Standard Webhooks). It begins with `whsec_`."""


class WebhookList(Document):
    """Your tenant's webhooks, oldest first."""

    webhooks: list[WebhookRecord]


class SecretRotation(Document):
    """How a secret is replaced."""

    overlap_seconds: int = Field(86_400, ge=0, le=86_400)
    """For how long deliveries are signed with the old secret as well; 0 where the old one became known."""


class WebhookSecret(Document):
    """A secret with which deliveries are signed."""

    secret: str
    """Begins with `whsec_`."""
    old_secret_valid_until: datetime | None
    """Until when deliveries are also signed with the one before; null where they are not."""


class AttemptRecord(Document):
    """One try of a delivery."""

    number: int
    at: datetime
    duration_ms: int
    status: int | None
    """HTTP status of the answer; null where there was none."""
    error: str | None
    """Why it failed: `timeout`, `unreachable`, `address_refused`, `address_unresolved`, `redirected`, `status`,
    `bad_response`, or `expired` where nothing was sent; null where it succeeded."""


class DeliverySummary(Document):
    """One event on its way to one webhook."""

    event_id: str
    """Sent as `webhook-id`, the same in each attempt."""
    type: str
    state: DeliveryStateName
    """`pending` was never tried; `failed` is not tried again by itself."""
    created_at: datetime
    next_attempt_at: datetime | None
    """When it is tried again, at the soonest; null unless `retrying`, and while the webhook is disabled."""
    attempts: list[AttemptRecord]
    """The newest 20, oldest first."""
    response: str | None
    """Beginning of what the receiver answered last."""


class DeliveryRecord(DeliverySummary):
    """One event on its way to one webhook, with what is sent."""

    body: dict[str, Any]
    """What is posted, as JSON."""


class DeliveryList(Document):
    """Deliveries, newest first."""

    deliveries: list[DeliverySummary]
    next_cursor: str | None = None
    """What to send as `cursor` for older ones; null where there are none."""


class PingSent(Document):
    """A test event that is on its way."""

    event_id: str
    """Of its delivery."""


class Redelivery(Document):
    """What is to be delivered again: one event, or all that failed since a time."""

    event_id: str | None = Field(None, min_length=1, max_length=256)
    """One event, whatever became of it."""
    since: Annotated[AwareDatetime, Strict(strict=False)] | None = None
    """All that failed, or wait to be tried again, of deliveries made since then."""

    @model_validator(mode="after")
    def _require_one(self) -> Self:
        if (self.event_id is None) == (self.since is None):
            raise ValueError("Give event_id or since.")
        return self


class RedeliveryAccepted(Document):
    """What is delivered again."""

    redelivered_count: int
    continue_since: datetime | None = None
    """Where there were too many for one call: send it as `since` for the rest."""
