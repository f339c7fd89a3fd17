"""Messages in the intakes' queues."""

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Protocol, TypedDict

from rune import logs
from rune.aws.wiring import Clients
from rune.clock import SystemClock, from_epoch_ms
from rune.services.intake.desk import Addresses, Desk, Message
from rune.services.intake.inbox import DropService
from rune.services.workflow_answers import WorkflowAnswers
from trigger.settings import TriggerSettings
from trigger.wiring import FailureQueues, make_orders

logs.configure(os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "trigger"))
log = logging.getLogger(__name__)

settings = TriggerSettings.from_environment(os.environ)
clients = Clients()
store = clients.telling_job_store(settings.table, settings.bucket, settings.notice_queue_url)
orders = make_orders(settings, clients, store)
queues = clients.intake({})
desk = Desk(
    orders,
    DropService(clients.inbox(settings.inbox, settings.account), orders),
    WorkflowAnswers(store, clients.workflow_tasks()),
    refusals=FailureQueues(clients, settings.failure_queue_urls),
    addresses=Addresses(settings.tenant, settings.bus_tenants, settings.topic, settings.inbox),
    clock=SystemClock(),
)

TIME_FOR_A_LINE_MS = 15_000
"""For a line of an object whose calls are all tried again, and its answer."""


class Context(Protocol):
    """What Lambda says about the invocation."""

    @property
    def aws_request_id(self) -> str:
        """The invocation; Lambda's own lines about it have the same id."""
        ...

    def get_remaining_time_in_millis(self) -> int:
        """Return milliseconds until Lambda ends the invocation."""
        ...


class Record(TypedDict):
    """A message as the event source mapping passes it on."""

    messageId: str
    receiptHandle: str
    body: str
    attributes: Mapping[str, str]
    eventSourceARN: str


def handle(event: Mapping[str, Sequence[Record]], context: Context) -> dict[str, list[dict[str, str]]]:
    """Take each message, and report those as failed that are to come again."""

    def may_go_on() -> bool:
        return context.get_remaining_time_in_millis() > TIME_FOR_A_LINE_MS

    failed = []
    for record in event["Records"]:
        # By the queue in which it lay, which Lambda says, and never by what it says of itself.
        way = settings.way_of(record["eventSourceARN"])
        with logs.about(request_id=context.aws_request_id, message_id=record["messageId"]):
            delay_seconds = desk.take(way, _message(record), may_go_on)
        if delay_seconds is not None:
            queues.hide(settings.queue_urls[way], record["receiptHandle"], delay_seconds)
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}


def _message(record: Record) -> Message:
    attributes = record["attributes"]
    return Message(
        record["body"],
        record["messageId"],
        int(attributes["ApproximateReceiveCount"]),
        from_epoch_ms(int(attributes["SentTimestamp"])),
        from_epoch_ms(int(attributes["ApproximateFirstReceiveTimestamp"])),
    )
