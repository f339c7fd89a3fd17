"""The queues of the ways in: messages that come again later, and the failure queues."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from rune.aws.errors import log_failed_call, store_errors

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

log = logging.getLogger(__name__)

LARGEST_BODY_BYTES = 1_000_000
"""Of a message in a failure queue: SQS takes 1 MiB with the attributes."""


class SqsIntake:
    """The queues of the ways in.

    Parameters
    ----------
    failure_urls
        URLs of the failure queues, by way.
    """

    def __init__(self, get_client: Callable[[], SQSClient], failure_urls: Mapping[str, str]) -> None:
        self._get_client = get_client
        self._failure_urls = failure_urls

    def keep(self, way: str, body: str, reasons: Mapping[str, str]) -> None:
        """Put a message into a failure queue with the reasons as attributes; raises StoreUnavailableError.

        The body is the one that arrived, so that an operator can send it again as it is. Only of one that would be
        too large with the reasons, the end is missing.
        """
        whole = body.encode()
        shown = whole[:LARGEST_BODY_BYTES].decode(errors="ignore")
        told = {**reasons, "shortened": "true"} if len(whole) > LARGEST_BODY_BYTES else reasons
        with store_errors("The failure queue cannot be reached now."):
            self._get_client().send_message(
                QueueUrl=self._failure_urls[way],
                MessageBody=shown,
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": value} for name, value in told.items()
                },
            )

    def hide(self, queue_url: str, receipt_handle: str, seconds: int) -> None:
        """Have a message come again after so long; where that fails, after the queue's own time."""
        try:
            self._get_client().change_message_visibility(
                QueueUrl=queue_url, ReceiptHandle=receipt_handle, VisibilityTimeout=seconds
            )
        except (BotoCoreError, ClientError) as error:
            log_failed_call(log, "intake.not_hidden", error)
