"""What is told of webhooks themselves."""

from datetime import datetime

from rune.events.record import PublicEvent
from rune.webhooks.record import DisabledReason, Endpoint


def make_disabled_event(endpoint: Endpoint, reason: DisabledReason, now: datetime) -> PublicEvent:
    """Return the event that tells the tenant's other webhooks and the bus."""
    # Imported here: pydantic makes documents, and few endpoints are disabled.
    from rune.contracts.events import WebhookDisabledData  # noqa: PLC0415
    from rune.events.catalog import make_event  # noqa: PLC0415

    data = WebhookDisabledData(
        webhook_id=endpoint.endpoint_id,
        webhook_url=f"/v1/webhooks/{endpoint.endpoint_id}",
        reason=reason.value,
        failing_since=endpoint.failing_since if reason is DisabledReason.FAILURES else None,
    )
    return make_event(
        "rune.webhook.disabled",
        data,
        tenant=endpoint.tenant,
        subject_id=endpoint.endpoint_id,
        sequence=endpoint.event_count + 1,
        occurred_at=now,
    )
