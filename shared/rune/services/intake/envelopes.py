"""What arrived in an intake: which envelope it is, and whether this intake's senders can have sent it.

Whoever can write a body can write another way's envelope into it. So each intake takes one form, and refuses all
others by name.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NoReturn

from pydantic import ValidationError

from rune.contracts import Document
from rune.contracts.orders import JobOrder, JobRequested, KeyedJobOrder, WorkflowJobOrder
from rune.contracts.problems import refuse_document
from rune.errors import InvalidRequestError, NotJsonError
from rune.events.catalog import REQUESTED
from rune.jobs.record import Kind
from rune.json_members import RepeatedMemberError, once_each

type Body = Mapping[str, Any]

_BODY = "The body"


class Form(StrEnum):
    """What a body looks like."""

    REQUEST = "a request"
    TASK = "a task of a state machine"
    EVENT = "an event of EventBridge"
    NOTIFICATION = "a message of SNS"
    S3_NOTIFICATION = "a notification of S3"
    RECORDS = "records of another service"


@dataclass(frozen=True, slots=True)
class Task:
    """A task of a state machine that waits. The token is a secret: its holder can end the workflow."""

    token: str = field(repr=False)
    execution: str


@dataclass(frozen=True, slots=True)
class Order:
    """A job to be submitted.

    Attributes
    ----------
    request
        As sent, not validated yet.
    identity
        The same at every redelivery of this order.
    """

    kind: Kind
    request: Mapping[str, Any]
    identity: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """An order that came over the bus, and the source that the bus says it has."""

    source: str
    order: Order


def read_message(body: str, message_id: str) -> Order:
    """Return the order in a message that was sent to the queue itself.

    Raises
    ------
    NotJsonError, InvalidRequestError, InvalidDocumentError
        It is no order, as in all functions here.
    """
    return _keyed_order(_in_form(_parse(body), Form.REQUEST), ("message", message_id))


def read_invocation(payload: object, request_id: str) -> Order:
    """Return the order that a function was called with."""
    return _keyed_order(_in_form(_object(payload), Form.REQUEST), ("invocation", request_id))


def read_notification(body: str, topic: str) -> Order:
    """Return the order in a message of the topic, whose envelope is taken off once."""
    envelope = _in_form(_parse(body), Form.NOTIFICATION)
    if envelope.get("Type") == "UnsubscribeConfirmation":
        _refuse_foreign("Somebody has ended the queue's subscription to the topic; this is no order.")
    message, message_id = envelope.get("Message"), envelope.get("MessageId")
    if envelope.get("TopicArn") != topic or not isinstance(message, str) or not isinstance(message_id, str):
        _refuse_foreign("The message is none of this deployment's topic.")
    return _keyed_order(_in_form(_parse(message, "The Message"), Form.REQUEST), ("notification", message_id))


def read_event(body: str) -> Event:
    """Return the order in an event of the deployment's own bus."""
    envelope = _in_form(_parse(body), Form.EVENT)
    source, event_id = envelope.get("source"), envelope.get("id")
    if not isinstance(source, str) or not isinstance(event_id, str):
        _refuse_foreign("The event has no source or no id.")
    if envelope.get("detail-type") != REQUESTED:
        _refuse_foreign(f"The bus asks for jobs with events of the detail-type {REQUESTED} alone.")
    detail = _validate(JobRequested, envelope.get("detail"))
    key = detail.metadata.idempotency_key
    # Two senders may use the same keys.
    identity = ("event", event_id) if key is None else ("key", source, key)
    return Event(source, _order(detail.data, identity))


def read_task(body: str) -> tuple[Order, Task]:
    """Return an order, and the task that waits for its end.

    A retry of the state brings a new token, and is the same order.
    """
    sent = _validate(WorkflowJobOrder, _in_form(_parse(body), Form.TASK))
    identity = ("task", sent.execution, sent.state, sent.idempotency_key or "")
    return _order(sent, identity), Task(sent.task_token, sent.execution)


def find_task_token(body: str) -> str | None:
    """Return the token in a message that may be wrong in all else; None where none can be read."""
    try:
        token = _parse(body).get("task_token")
    except (NotJsonError, InvalidRequestError):
        return None
    return token if isinstance(token, str) and token else None


def without_task_token(body: str) -> str:
    """Return the body with the token left out, if it has one that can be read."""
    try:
        members = _parse(body)
    except (NotJsonError, InvalidRequestError):
        return body
    return json.dumps({name: value for name, value in members.items() if name != "task_token"})


def read_created_object(body: str, bucket: str) -> Body:
    """Return S3's detail of an event that tells of a new object in the bucket."""
    envelope = _in_form(_parse(body), Form.EVENT)
    is_creation = (envelope.get("source"), envelope.get("detail-type")) == ("aws.s3", "Object Created")
    detail = envelope.get("detail")
    if not is_creation or not isinstance(detail, dict):
        _refuse_foreign("This intake takes events of S3 about new objects alone.")
    about = detail.get("bucket")
    if not isinstance(about, dict) or about.get("name") != bucket:
        # Another bucket is never followed, whoever may read it.
        _refuse_foreign("The object is in a bucket that is not the inbox.")
    return detail


def form_of(body: Body) -> Form:
    """Return what a body looks like. One that has marks of an envelope looks like that envelope."""
    records = body.get("Records")
    if body.get("Event") == "s3:TestEvent":
        return Form.S3_NOTIFICATION
    if records is not None:
        first = records[0] if isinstance(records, list) and records else None
        is_of_s3 = isinstance(first, dict) and first.get("eventSource") == "aws:s3"
        return Form.S3_NOTIFICATION if is_of_s3 else Form.RECORDS
    if "TopicArn" in body:
        return Form.NOTIFICATION
    if {"detail-type", "detail"} & body.keys():
        return Form.EVENT
    return Form.TASK if "task_token" in body else Form.REQUEST


def parse_json(text: str | bytes, what: str = _BODY) -> object:
    """Return what a text in UTF-8 says; raises NotJsonError.

    Parameters
    ----------
    what
        What the sender calls the text.
    """
    try:
        # Python would also read UTF-16 and UTF-32, which the API refuses.
        decoded = text if isinstance(text, str) else text.decode("utf-8-sig")
        return json.loads(decoded, object_pairs_hook=once_each)
    except RepeatedMemberError as error:
        raise NotJsonError(what, repeated=error.name) from None
    except (ValueError, RecursionError):  # the latter: nested deeper than Python reads
        raise NotJsonError(what) from None


def _parse(body: str, what: str = _BODY) -> Body:
    return _object(parse_json(body, what), what)


def _object(value: object, what: str = _BODY) -> Body:
    if not isinstance(value, dict):
        raise InvalidRequestError(f"{what} must be a JSON object.", pointer="")
    return value


def _in_form(body: Body, expected: Form) -> Body:
    found = form_of(body)
    if found is not expected:
        _refuse_foreign(f"This intake takes {expected}, and the body has the form of {found}.")
    return body


def _refuse_foreign(sentence: str) -> NoReturn:
    raise InvalidRequestError(sentence, pointer="", code="foreign_envelope")


def _keyed_order(body: Body, otherwise: tuple[str, str]) -> Order:
    sent = _validate(KeyedJobOrder, body)
    key = sent.idempotency_key
    return _order(sent, otherwise if key is None else ("key", key))


def _order(sent: JobOrder, identity: tuple[str, ...]) -> Order:
    return Order(Kind(sent.kind), sent.request, identity)


def _validate[D: Document](kind: type[D], value: object) -> D:
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise refuse_document(error.errors(), kind) from None
