"""A notice says where there may be something to tell others."""

from __future__ import annotations

import logging
import os
from typing import Protocol

from notifier.settings import NotifierSettings
from notifier.sinks import make_sinks
from rune import logs
from rune.aws.notices import decode, encode
from rune.aws.wiring import Clients
from rune.clock import SystemClock
from rune.errors import StoreUnavailableError, UnreadableRowError
from rune.events.notices import EndpointNotice, Notice, SubjectNotice
from rune.events.record import Subject, SubjectKind
from rune.services.publishing import NOT_PUBLISHED_METRIC, Publisher

logs.configure(os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "notifier"))
log = logging.getLogger(__name__)

settings = NotifierSettings.from_environment(os.environ)
clients = Clients()
clock = SystemClock()
dead_letters = clients.dead_letters(settings.dead_letter_queue_url)
publisher = Publisher(
    clients.outbox(settings.table),
    clients.job_store(settings.table, bucket=None),
    make_sinks(clients, settings, clock),
    clock,
)


TIME_FOR_ATTEMPT_MS = 20_000
"""An attempt takes up to 17 s, and is written down afterwards."""


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
    """Follow each notice once, and report no message as failed: what is due stays due without one.

    What may wait for a receiver comes last, and no receiver is waited for by another's events.
    """
    with logs.about(request_id=context.aws_request_id):
        _follow(event, context)
    return {"batchItemFailures": []}


def _follow(event: dict[str, list[dict[str, str]]], context: Context) -> None:
    notices = (_read(record) for record in event["Records"])
    # A job that goes on quickly has several among the ten, and the first one publishes everything.
    endpoints: list[str] = []
    for notice in dict.fromkeys(notice for notice in notices if notice is not None):
        match notice:
            case EndpointNotice(endpoint):
                endpoints.append(endpoint)
            case SubjectNotice(subject):
                _publish(subject)
    if endpoints:
        _deliver(endpoints, context)


def _read(record: dict[str, str]) -> Notice | None:
    with logs.about(message_id=record["messageId"]):
        return _decode(record["body"])


def _decode(body: str) -> Notice | None:
    try:
        notice = decode(body)
    except UnreadableRowError:
        # The version that sent it sends it again, once its subject is late.
        log.warning("notice.not_understood", exc_info=True, extra={"metric": logs.ROWS_NOT_UNDERSTOOD_METRIC})
        return None
    if notice is None:
        # Another delivery would not help, so it goes to the dead-letter queue at once, which has an alarm.
        dead_letters.put(body)
        log.error("notice.unreadable")
    return notice


def _publish(subject: Subject) -> None:
    of_job = {"job_id": subject.subject_id} if subject.kind is SubjectKind.JOB else {}
    with logs.about(subject=str(subject), **of_job):
        _publish_news(subject)


def _publish_news(subject: Subject) -> None:
    labels = {"notice": encode(SubjectNotice(subject))}
    try:
        publisher.publish(subject)
    except StoreUnavailableError:
        # What is due is found by the janitor. A failed message would go to the dead-letter queue after some
        # deliveries in an outage, though nothing is wrong with it.
        log.exception("notice.store_unavailable", extra=labels)
    except UnreadableRowError:
        log.exception("row.unreadable", extra={**labels, "metric": logs.ROWS_NOT_UNDERSTOOD_METRIC})
    except Exception:
        # The outermost edge of one notice: an unforeseen error must not keep the others of the batch waiting.
        log.exception("notice.failed", extra={**labels, "metric": NOT_PUBLISHED_METRIC})
    else:
        log.info("notice.followed")


def _deliver(endpoints: list[str], context: Context) -> None:
    """Post what is due to these webhooks, all at the same time."""
    # Imported here: most notices are of subjects, and the HTTP client takes as long as everything else.
    import asyncio  # noqa: PLC0415
    import random  # noqa: PLC0415

    from rune.net.posts import PostClient  # noqa: PLC0415
    from rune.services.webhook_delivery import WebhookDelivery  # noqa: PLC0415
    from rune.tenants.networks import read_networks  # noqa: PLC0415
    from rune.webhooks.http_sender import HttpSender  # noqa: PLC0415

    async def deliver() -> int:
        client = PostClient(read_networks(settings.allowed_networks, settings.stage))
        delivery = WebhookDelivery(
            clients.webhook_store(settings.table),
            HttpSender(client, clock),
            clients.signing_keys(settings.signing_key_parameter, clock),
            clients.notice_queue(settings.notice_queue_url),
            clock,
            random.random,
        )
        try:
            return await delivery.deliver_all(
                endpoints, lambda: context.get_remaining_time_in_millis() > TIME_FOR_ATTEMPT_MS
            )
        finally:
            await client.aclose()

    attempt_count = asyncio.run(deliver(), loop_factory=asyncio.new_event_loop)
    log.info("webhooks.delivered", extra={"endpoints": endpoints, "attempts": attempt_count})
