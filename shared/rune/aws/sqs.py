"""Step messages in SQS: one queue for each lane, and the dead-letter queue."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, override

from botocore.exceptions import BotoCoreError, ClientError

from rune.aws.errors import log_failed_call
from rune.errors import UnreadableRowError
from rune.jobs.lifecycle import Send
from rune.jobs.plan import Lane
from rune.jobs.record import StepMessage
from rune.jobs.store import StepQueue

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

log = logging.getLogger(__name__)

FORMAT = 1
"""Of messages; a later version writes a higher number, as `format`, into those that this one would misread."""

RELEASE_FORMAT = 2
"""Of messages for the release of a rental. A version that does not know them leaves them alone, and its janitor
destroys the machine a tick later."""

LARGEST_SEQ = 10**9
"""Highest turn that is read; no job takes as many. boto3 raises on numbers too long for DynamoDB (38 digits)."""


class SqsStepQueue(StepQueue):
    """The queues of the lanes.

    Parameters
    ----------
    queue_urls
        Empty, or without a lane, where the deployment does not have it. A message into it is lost.
    get_client
        Called for each message.
    """

    def __init__(self, get_client: Callable[[], SQSClient], queue_urls: Mapping[Lane, str]) -> None:
        self._get_client = get_client
        self._queue_urls = queue_urls

    @override
    def send(self, send: Send) -> bool:
        if not self._queue_urls.get(send.lane):
            # A turn of a lane that was switched off since; the job's deadline ends it.
            log.error("queue.lane_missing", extra={"job_id": send.message.job_id, "lane": send.lane})
            return False
        try:
            self._get_client().send_message(
                QueueUrl=self._queue_urls[send.lane],
                MessageBody=encode(send.message),
                DelaySeconds=send.delay_seconds,
            )
        except (BotoCoreError, ClientError) as error:
            log_failed_call(log, "queue.send_failed", error, {"job_id": send.message.job_id})
            return False
        return True

    @override
    def count_backlog(self, lane: Lane) -> int:
        if not self._queue_urls.get(lane):
            return 0
        try:
            answer = self._get_client().get_queue_attributes(
                QueueUrl=self._queue_urls[lane], AttributeNames=["ApproximateNumberOfMessages"]
            )
            return int(answer["Attributes"]["ApproximateNumberOfMessages"])
        except (BotoCoreError, ClientError) as error:
            log_failed_call(log, "queue.count_failed", error, {"lane": lane})
            return 0
        except (KeyError, ValueError):
            log.warning("queue.count_failed", exc_info=True, extra={"lane": lane})
            return 0


class SqsDeadLetters:
    """The dead-letter queue, for messages that are not step messages."""

    def __init__(self, client: SQSClient, queue_url: str) -> None:
        self._client = client
        self._queue_url = queue_url

    def put(self, body: str) -> None:
        """Keep the body for the operator.

        Raises
        ------
        BotoCoreError, ClientError
            The queue did not take it; the function fails, and SQS delivers the message again.
        """
        self._client.send_message(QueueUrl=self._queue_url, MessageBody=body)


def encode(message: StepMessage) -> str:
    """Return the body of a message."""
    return json.dumps({"job_id": message.job_id, "seq": message.seq})


def encode_release(rental_id: str) -> str:
    """Return the body of a message for the release of a rental."""
    return json.dumps({"format": RELEASE_FORMAT, "release": rental_id})


def decode_release(body: str) -> str | None:
    """Return the rental that a body asks to release, or None if it is another message."""
    match _read(body):
        case {"format": number, "release": str(rental_id)} if number == RELEASE_FORMAT:
            return rental_id
        case _:
            return None


def decode(body: str) -> StepMessage | None:
    """Return the message that a body holds, or None if it is not a step message.

    Members that a later version may add are ignored: the row decides, and a message only says where to look.

    Raises
    ------
    UnreadableRowError
        It is in a later format.
    """
    match _read(body):
        case {"format": int(number)} if number > FORMAT:
            raise UnreadableRowError(f"This version does not understand messages in format {number}.")
        case {"job_id": str(job_id), "seq": int(seq)} if not isinstance(seq, bool):
            return StepMessage(job_id, seq) if 0 < seq <= LARGEST_SEQ else None
        case _:
            return None


def _read(body: str) -> object:
    """Return what a body holds; None where it is no JSON."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):  # the latter: nested deeper than Python reads
        return None
