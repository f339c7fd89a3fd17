"""Messages in SQS for releases that tenants ask for."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, override

from botocore.exceptions import BotoCoreError, ClientError

from rune.aws.errors import log_failed_call
from rune.aws.sqs import encode_release
from rune.rentals.store import ReleaseQueue

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

log = logging.getLogger(__name__)


class SqsReleaseQueue(ReleaseQueue):
    """The queue of the money lane, for releases that tenants ask for.

    Parameters
    ----------
    get_client
        Called for each message.
    """

    def __init__(self, get_client: Callable[[], SQSClient], queue_url: str) -> None:
        self._get_client = get_client
        self._queue_url = queue_url

    @override
    def send(self, rental_id: str) -> bool:
        try:
            self._get_client().send_message(QueueUrl=self._queue_url, MessageBody=encode_release(rental_id))
        except (BotoCoreError, ClientError) as error:
            log_failed_call(log, "queue.send_failed", error, {"rental_id": rental_id})
            return False
        return True
