"""Notices in SQS."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, override

from botocore.exceptions import BotoCoreError, ClientError

from rune.aws.errors import log_failed_call
from rune.errors import UnreadableRowError
from rune.events.notices import EndpointNotice, Notice, NoticeQueue, SubjectNotice
from rune.events.record import Subject, SubjectKind

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

log = logging.getLogger(__name__)

FORMAT = 1
"""Of notices, as of the other messages (`rune.aws.sqs`)."""


LONGEST_ID = 512
"""Of a subject; DynamoDB refuses keys of more than 2,048 bytes with an error of its own."""


class SqsNoticeQueue(NoticeQueue):
    """The queue of the notifier.

    Parameters
    ----------
    get_client
        Called for each notice.
    """

    def __init__(self, get_client: Callable[[], SQSClient], queue_url: str) -> None:
        self._get_client = get_client
        self._queue_url = queue_url

    @override
    def send(self, notice: Notice, delay_seconds: int = 0) -> bool:
        body = encode(notice)
        try:
            self._get_client().send_message(
                QueueUrl=self._queue_url, MessageBody=body, DelaySeconds=delay_seconds
            )
        except (BotoCoreError, ClientError) as error:
            log_failed_call(log, "notice.send_failed", error, {"notice": body})
            return False
        return True


def encode(notice: Notice) -> str:
    """Return the body of a notice."""
    match notice:
        case SubjectNotice(subject):
            return json.dumps({"subject": str(subject)})
        case EndpointNotice(endpoint):
            return json.dumps({"endpoint": endpoint})


def decode(body: str) -> Notice | None:
    """Return the notice that a body holds, or None if it is none. Members that a later version adds are ignored.

    Raises
    ------
    UnreadableRowError
        It is in a later format, or about a kind of subject that only a later version knows.
    """
    try:
        plain = json.loads(body)
    except (ValueError, RecursionError):  # the latter: nested deeper than Python reads
        return None
    match plain:
        case {"format": int(number)} if number > FORMAT:
            raise UnreadableRowError(f"This version does not understand notices in format {number}.")
        case {"subject": str(subject)}:
            return _decode_subject(subject)
        case {"endpoint": str(endpoint)}:
            tenant, _, endpoint_id = endpoint.partition("/")
            return EndpointNotice(endpoint) if tenant and endpoint_id else None
        case _:
            return None


def _decode_subject(text: str) -> SubjectNotice | None:
    kind, _, subject_id = text.partition(":")
    if not kind or not subject_id or len(subject_id) > LONGEST_ID:
        return None
    if kind not in SubjectKind:
        raise UnreadableRowError(f"This version knows no events of {kind!r}.")
    return SubjectNotice(Subject(SubjectKind(kind), subject_id))
