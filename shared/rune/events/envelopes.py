"""An event as text: in the form of each way out."""

from rune.contracts.events import BusDetail, EventMetadata, WebhookBody
from rune.events.record import PublicEvent

BUS_SOURCE = "rune"
"""The `source` of RUNE's events on the bus; their `detail-type` is the event's type."""


def bus_detail_json(event: PublicEvent) -> str:
    """Return the `detail` of the event on the bus."""
    return BusDetail(metadata=_metadata(event), data=dict(event.data)).model_dump_json()


def webhook_body_json(event: PublicEvent) -> str:
    """Return the body that is posted to webhooks; for one event it is always the same text."""
    return WebhookBody(
        type=event.event_type,
        timestamp=event.occurred_at,
        data=dict(event.data),
        metadata=_metadata(event),
    ).model_dump_json()


def _metadata(event: PublicEvent) -> EventMetadata:
    return EventMetadata(
        event_id=event.event_id,
        tenant=event.tenant,
        subject=str(event.subject),
        sequence=event.sequence,
        occurred_at=event.occurred_at,
    )
