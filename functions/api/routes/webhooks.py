"""Routes of webhooks: made, listed, changed and removed; what was delivered, and delivering it again."""

import json
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Body, Path, Query, Request, Response

from api.auth import admitted_caller_of
from api.problems import responses
from api.queries import StrictRoute
from api.services import services_of
from rune.contracts.webhooks import (
    AttemptRecord,
    DeliveryList,
    DeliveryRecord,
    DeliveryStateName,
    DeliverySummary,
    PingSent,
    Redelivery,
    RedeliveryAccepted,
    SecretRotation,
    WebhookCreated,
    WebhookList,
    WebhookRecord,
    WebhookRequest,
    WebhookRevision,
    WebhookSecret,
    WebhookStatusName,
)
from rune.services.webhooks import ShownSecret, WebhookService
from rune.webhooks.lifecycle import find_next_attempt
from rune.webhooks.record import Delivery, DeliveryState, Endpoint

router = APIRouter(
    route_class=StrictRoute, prefix="/v1/webhooks", tags=["webhooks"], responses=responses(401, 403, 422, 503)
)

_WITH_BODY = responses(400, 413, 415)

type Rotation = Annotated[SecretRotation, Body(default_factory=SecretRotation)]
"""A request without a body asks for the defaults."""

type WebhookId = Annotated[str, Path(description="`wh_…`, or `cb_<job_id>` for a job's `callback_url`.")]


@router.post("", status_code=201, responses=_WITH_BODY | responses(409))
async def create_webhook(request: Request, body: WebhookRequest, response: Response) -> WebhookCreated:
    """Make a webhook. Its secret is shown in this answer alone."""
    service, tenant = _service_for(request)
    endpoint, secret = service.create(tenant, body.url, body.events, body.description)
    response.headers["Location"] = f"/v1/webhooks/{endpoint.endpoint_id}"
    return WebhookCreated(**_record(service, endpoint).model_dump(), secret=secret.text)


@router.get("")
async def list_webhooks(request: Request) -> WebhookList:
    """Return the tenant's webhooks, oldest first; at most ten."""
    service, tenant = _service_for(request)
    return WebhookList(webhooks=[_record(service, each) for each in service.list_webhooks(tenant)])


# Before the routes that take any name for an id.
@router.get("/callback-secret", responses=responses(409))
async def get_callback_secret(request: Request) -> WebhookSecret:
    """Return the secret that signs what is posted to the `callback_url` of the tenant's jobs."""
    service, tenant = _service_for(request)
    return _secret(service.show_callback_secret(tenant))


@router.post("/callback-secret/rotate-secret", responses=_WITH_BODY | responses(409))
async def rotate_callback_secret(request: Request, body: Rotation) -> WebhookSecret:
    """Replace that secret; for a while deliveries are signed with both."""
    service, tenant = _service_for(request)
    return _secret(service.rotate_callback_secret(tenant, timedelta(seconds=body.overlap_seconds)))


@router.get("/{webhook_id}", responses=responses(404))
async def get_webhook(request: Request, webhook_id: WebhookId) -> WebhookRecord:
    """Return a webhook, and how its receiver fares."""
    service, tenant = _service_for(request)
    return _record(service, service.find(tenant, webhook_id))


@router.patch("/{webhook_id}", responses=_WITH_BODY | responses(404))
async def update_webhook(request: Request, webhook_id: WebhookId, body: WebhookRevision) -> WebhookRecord:
    """Change a webhook; what is left out stays as it is."""
    service, tenant = _service_for(request)
    revised = service.revise(
        tenant,
        webhook_id,
        url=body.url,
        events=body.events,
        description=body.description,
        is_enabled=None if body.status is None else body.status == "enabled",
    )
    return _record(service, revised)


@router.delete("/{webhook_id}", status_code=204, responses=responses(404))
async def delete_webhook(request: Request, webhook_id: WebhookId) -> None:
    """Remove a webhook, and what it still waits for."""
    service, tenant = _service_for(request)
    service.remove(tenant, webhook_id)


@router.post("/{webhook_id}/rotate-secret", responses=_WITH_BODY | responses(404, 409))
async def rotate_webhook_secret(request: Request, webhook_id: WebhookId, body: Rotation) -> WebhookSecret:
    """Replace a webhook's secret; for a while deliveries are signed with both. The new one is shown once."""
    service, tenant = _service_for(request)
    return _secret(service.rotate(tenant, webhook_id, timedelta(seconds=body.overlap_seconds)))


@router.post("/{webhook_id}/test", status_code=202, responses=responses(404, 409))
async def send_test_event(request: Request, webhook_id: WebhookId) -> PingSent:
    """Send an event of the type `rune.ping`, once, whatever the webhook's filters; see what became of it below."""
    service, tenant = _service_for(request)
    return PingSent(event_id=service.send_ping(tenant, webhook_id))


@router.get("/{webhook_id}/deliveries", responses=responses(404))
async def list_webhook_deliveries(  # the query, one parameter each
    request: Request,
    webhook_id: WebhookId,
    state: Annotated[
        DeliveryStateName | None, Query(description="Only those in this state, of each page.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=100, description="Longest page.")] = 20,
    cursor: Annotated[
        str | None, Query(pattern=r"^[0-9]{1,10}$", description="`next_cursor` of the page before.")
    ] = None,
) -> DeliveryList:
    """Return what was sent, newest first, with each attempt. A page may be short and not the last."""
    service, tenant = _service_for(request)
    endpoint = service.find(tenant, webhook_id, or_callback=True)
    page = service.log.list_deliveries(
        endpoint,
        before=None if cursor is None else int(cursor),
        limit=limit,
        state=None if state is None else DeliveryState(state),
    )
    return DeliveryList(
        deliveries=[_summary(endpoint, each) for each in page.deliveries],
        next_cursor=None if page.position is None else str(page.position),
    )


@router.get("/{webhook_id}/deliveries/{event_id}", responses=responses(404))
async def get_webhook_delivery(request: Request, webhook_id: WebhookId, event_id: str) -> DeliveryRecord:
    """Return one delivery with the body that is sent."""
    service, tenant = _service_for(request)
    endpoint = service.find(tenant, webhook_id, or_callback=True)
    delivery = service.log.find(endpoint, event_id)
    return DeliveryRecord(**_summary(endpoint, delivery).model_dump(), body=json.loads(delivery.body))


@router.post("/{webhook_id}/redeliver", status_code=202, responses=_WITH_BODY | responses(404, 409))
async def redeliver_events(request: Request, webhook_id: WebhookId, body: Redelivery) -> RedeliveryAccepted:
    """Deliver one event again, or all that failed since a time; under the same ids."""
    service, tenant = _service_for(request)
    endpoint = service.find(tenant, webhook_id, or_callback=True)
    if body.event_id is not None:
        service.log.redeliver(endpoint, body.event_id)
        return RedeliveryAccepted(redelivered_count=1)
    if body.since is None:
        raise AssertionError("the document has one of the two")
    count, continue_since = service.log.redeliver_since(endpoint, body.since)
    return RedeliveryAccepted(redelivered_count=count, continue_since=continue_since)


def _service_for(request: Request) -> tuple[WebhookService, str]:
    return services_of(request).webhooks(), admitted_caller_of(request).tenant


def _record(service: WebhookService, endpoint: Endpoint) -> WebhookRecord:
    status: WebhookStatusName = "enabled" if endpoint.status.value == "enabled" else "disabled"
    return WebhookRecord(
        webhook_id=endpoint.endpoint_id,
        url=endpoint.url,
        events=[*endpoint.events],
        description=endpoint.description,
        status=status,
        disabled_reason=None if endpoint.disabled_reason is None else endpoint.disabled_reason.value,
        disabled_at=endpoint.disabled_at,
        created_at=endpoint.created_at,
        updated_at=endpoint.updated_at,
        waiting_count=endpoint.open_count,
        failing_since=endpoint.failing_since,
        paused_until=service.paused_until(endpoint),
        last_succeeded_at=endpoint.last_succeeded_at,
        old_secret_valid_until=service.old_secret_valid_until(endpoint),
    )


def _secret(secret: ShownSecret) -> WebhookSecret:
    return WebhookSecret(secret=secret.text, old_secret_valid_until=secret.old_valid_until)


def _summary(endpoint: Endpoint, delivery: Delivery) -> DeliverySummary:
    return DeliverySummary(
        event_id=delivery.event_id,
        type=delivery.event_type,
        state=delivery.state.value,
        created_at=delivery.created_at,
        next_attempt_at=find_next_attempt(endpoint, delivery),
        attempts=[
            AttemptRecord(
                number=each.number,
                at=each.at,
                duration_ms=each.duration_ms,
                status=each.status,
                error=each.error,
            )
            for each in delivery.attempts
        ],
        response=delivery.response,
    )
