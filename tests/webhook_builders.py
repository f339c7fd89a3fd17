"""Webhook endpoints, deliveries and events for tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import override
from unittest.mock import patch

from standardwebhooks.webhooks import Webhook

from rune.clock import Clock
from rune.events.notices import Notice, NoticeQueue
from rune.events.record import PublicEvent, Subject, SubjectKind
from rune.signing_keys import SigningKeys, SigningKeySource
from rune.webhooks.answers import Answer, AttemptError
from rune.webhooks.record import (
    Delivery,
    DeliveryState,
    Endpoint,
    EndpointStatus,
    Secret,
)
from rune.webhooks.signing import derive_secret, show_secret
from rune.webhooks.store import Sender
from tests.builders import JOB_ID, NOW, TENANT

ENDPOINT_ID = "wh_" + "a" * 32
RECEIVER_URL = "https://receiver.example/hook"
MASTER_KEY = "k" * 40
RETENTION = timedelta(days=30)

_ENDPOINT = Endpoint(
    endpoint_id=ENDPOINT_ID,
    tenant=TENANT,
    url=RECEIVER_URL,
    events=("*",),
    status=EndpointStatus.ENABLED,
    secrets=(Secret(1, 1),),
    created_at=NOW,
    updated_at=NOW,
)

_DELIVERY = Delivery(
    endpoint_id=ENDPOINT_ID,
    tenant=TENANT,
    position=1,
    event_id=f"evt_job_{JOB_ID}_1",
    event_type="rune.job.accepted",
    body="{}",
    state=DeliveryState.PENDING,
    created_at=NOW,
    began_at=NOW,
    updated_at=NOW,
    expires_at=NOW + RETENTION,
)


def an_endpoint(**overrides: object) -> Endpoint:
    """Return an endpoint that was made at `NOW` and has got nothing yet."""
    return replace(_ENDPOINT, **overrides)  # type: ignore[arg-type]  # replace() refuses unknown names


def a_delivery(**overrides: object) -> Delivery:
    """Return an endpoint's first delivery, not tried yet."""
    return replace(_DELIVERY, **overrides)  # type: ignore[arg-type]  # as above


def a_public_event(
    sequence: int = 1, event_type: str = "rune.job.accepted", **overrides: object
) -> PublicEvent:
    """Return an event of the builders' job."""
    event = PublicEvent(
        event_type, TENANT, Subject(SubjectKind.JOB, JOB_ID), sequence, NOW, {"job_id": JOB_ID}
    )
    return replace(event, **overrides)  # type: ignore[arg-type]  # as above


@dataclass
class FixedKeys(SigningKeySource):
    """The deployment's keys."""

    text: str = MASTER_KEY

    @override
    def current(self) -> SigningKeys:
        return SigningKeys.parse(self.text)


@dataclass
class RecordingNotices(NoticeQueue):
    """A queue that records what is sent; with `is_down` it takes nothing."""

    sent: list[tuple[Notice, int]] = field(default_factory=list)
    is_down: bool = False

    @override
    def send(self, notice: Notice, delay_seconds: int = 0) -> bool:
        if not self.is_down:
            self.sent.append((notice, delay_seconds))
        return not self.is_down


@dataclass(frozen=True)
class Post:
    """One POST that a receiver got."""

    url: str
    body: bytes
    headers: Mapping[str, str]
    at: datetime

    @property
    def webhook_id(self) -> str:
        """What the receiver knows the event by."""
        return self.headers["webhook-id"]


@dataclass
class ScriptedSender(Sender):
    """Receivers that answer from a list, and with 200 after it.

    Attributes
    ----------
    answers
        A status, or why there is none.
    """

    clock: Clock
    answers: list[int | AttemptError] = field(default_factory=list)
    posts: list[Post] = field(default_factory=list)

    @override
    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        now = self.clock.now()
        self.posts.append(Post(url, body, headers, now))
        match self.answers.pop(0) if self.answers else 200:
            case AttemptError() as error:
                return Answer(now, 10_000, error=error)
            case status:
                return Answer(now, 42, status=status, response="thanks")


def shown_secret(owner: str = ENDPOINT_ID, number: int = 1, key: str = MASTER_KEY) -> str:
    """Return the secret that the owner of an endpoint was shown."""
    secret = derive_secret(SigningKeys.parse(key), owner, Secret(number, 1))
    assert secret is not None
    return show_secret(secret)


def verify(post: Post, secret: str) -> object:
    """Return the body that the official library verifies at the moment of the post; raises its error."""
    with patch("standardwebhooks.webhooks.datetime", wraps=datetime) as of_library:
        of_library.now.return_value = post.at
        return Webhook(secret).verify(post.body, dict(post.headers))
