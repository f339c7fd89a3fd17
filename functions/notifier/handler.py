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
    make_sinks(clients, settings),
    clock,
)


class Context(Protocol):
    """What Lambda says about the invocation."""

    def get_remaining_time_in_millis(self) -> int:
        """Return milliseconds until Lambda ends the invocation."""
        ...


def handle(event: dict[str, list[dict[str, str]]], context: Context) -> dict[str, list[object]]:
    """Follow each notice once, and report no message as failed: what is due stays due without one."""
    notices = (_read(record["body"]) for record in event["Records"])
    # A job that goes on quickly has several among the ten, and the first one publishes everything.
    for notice in dict.fromkeys(notice for notice in notices if notice is not None):
        _follow(notice, context)
    return {"batchItemFailures": []}


def _read(body: str) -> Notice | None:
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


def _follow(notice: Notice, _context: Context) -> None:
    labels = {"notice": encode(notice)}
    try:
        match notice:
            case SubjectNotice(subject):
                publisher.publish(subject)
            case EndpointNotice():
                log.warning("notice.not_understood", extra=labels)
    except StoreUnavailableError:
        # What is due is found by the janitor. A failed message would go to the dead-letter queue after some
        # deliveries in an outage, though nothing is wrong with it.
        log.exception("notice.store_unavailable", extra=labels)
    except UnreadableRowError:
        log.exception("row.unreadable", extra={**labels, "metric": logs.ROWS_NOT_UNDERSTOOD_METRIC})
    except Exception:
        # The outermost edge of one notice: an unforeseen error must not keep the others of the batch waiting.
        log.exception("notice.failed", extra={**labels, "metric": NOT_PUBLISHED_METRIC})
