"""Calls on webhooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rune_client.answers import read_document, read_nothing
from rune_client.calls.call import Call, named, segment
from rune_client.documents import (
    DeliveryRecord,
    PingSent,
    RedeliveryAccepted,
    WebhookCreated,
    WebhookList,
    WebhookRecord,
    WebhookSecret,
)


def webhooks() -> Call[WebhookList]:
    """Return the tenant's webhooks."""
    return Call(method="GET", path="/v1/webhooks", reads=read_document, is_repeatable=True)


def webhook(webhook_id: str) -> Call[WebhookRecord]:
    """Return a webhook, and how its receiver fares."""
    return Call(method="GET", path=_path(webhook_id), reads=read_document, is_repeatable=True)


def create_webhook(
    url: str, *, events: Sequence[str] | None = None, description: str | None = None
) -> Call[WebhookCreated]:
    """Make a webhook, and return it with its secret, which is shown this once."""
    types = None if events is None else list(events)
    return Call(
        method="POST",
        path="/v1/webhooks",
        reads=read_document,
        body=named(url=url, events=types, description=description),
    )


def update_webhook(webhook_id: str, changes: Mapping[str, Any]) -> Call[WebhookRecord]:
    """Change `url`, `events`, `description` or `status` (`enabled`, `disabled`)."""
    return Call(
        method="PATCH",
        path=_path(webhook_id),
        reads=read_document,
        body=dict(changes),
    )


def delete_webhook(webhook_id: str) -> Call[None]:
    """Remove a webhook."""
    return Call(method="DELETE", path=_path(webhook_id), reads=read_nothing)


def rotate_webhook_secret(webhook_id: str, *, overlap_seconds: int | None = None) -> Call[WebhookRecord]:
    """Return the webhook with another secret, shown once; both sign for `overlap_seconds`."""
    return Call(
        method="POST",
        path=f"{_path(webhook_id)}/rotate-secret",
        reads=read_document,
        body=named(overlap_seconds=overlap_seconds),
    )


def test_webhook(webhook_id: str) -> Call[PingSent]:
    """Send an event of the type `rune.ping` once."""
    return Call(method="POST", path=f"{_path(webhook_id)}/test", reads=read_document)


def list_deliveries(
    cursor: str | None, webhook_id: str, *, state: str | None = None, page_size: int | None = None
) -> Call[Any]:
    """Return a page of what was sent, newest first, with each attempt."""
    return Call(
        method="GET",
        path=f"{_path(webhook_id)}/deliveries",
        reads=read_document,
        query={"state": state, "limit": page_size, "cursor": cursor},
        is_repeatable=True,
    )


def delivery(webhook_id: str, event_id: str) -> Call[DeliveryRecord]:
    """Return what was sent of one event, with its body."""
    return Call(
        method="GET",
        path=f"{_path(webhook_id)}/deliveries/{segment(event_id, 'The id of the event')}",
        reads=read_document,
        is_repeatable=True,
    )


def redeliver(
    webhook_id: str, *, event_id: str | None = None, since: str | None = None
) -> Call[RedeliveryAccepted]:
    """Send one event again, or all that failed since a moment (RFC 3339)."""
    return Call(
        method="POST",
        path=f"{_path(webhook_id)}/redeliver",
        reads=read_document,
        body=named(event_id=event_id, since=since),
    )


def callback_secret() -> Call[WebhookSecret]:
    """Return the secret that signs what is posted to the `callback_url` of jobs."""
    return Call(
        method="GET",
        path="/v1/webhooks/callback-secret",
        reads=read_document,
        is_repeatable=True,
    )


def rotate_callback_secret(*, overlap_seconds: int | None = None) -> Call[WebhookSecret]:
    """Return another secret for `callback_url`; both sign for `overlap_seconds`."""
    return Call(
        method="POST",
        path="/v1/webhooks/callback-secret/rotate-secret",
        reads=read_document,
        body=named(overlap_seconds=overlap_seconds),
    )


def _path(webhook_id: str) -> str:
    return f"/v1/webhooks/{segment(webhook_id, 'The id of the webhook')}"
