"""Requests that processes tell each other of, as rows of the one DynamoDB table (`rune.tenants.rates`).

=================  ====================  ==========================================
pk                 sk                    what
=================  ====================  ==========================================
RATE#<tenant>      <class>#<window>      `n` requests that were told of the window
=================  ====================  ==========================================

A lost answer counts a block twice: the tenant is refused some requests early, for the rest of ten seconds.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from rune.aws.errors import log_failed_call
from rune.tenants.rates import WINDOW_SECONDS, RateCounter, RequestClass

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

log = logging.getLogger(__name__)

KEPT_WINDOWS = 60
"""A row may go ten minutes after its window, whichever clock wrote it."""


class DynamoRateCounter(RateCounter):
    """Counts in the table; where it cannot be asked, nobody is refused for that."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def add(self, tenant: str, what: RequestClass, window: int, count: int) -> int | None:
        """Count requests of a window in one write; see the protocol."""
        try:
            found = self._client.update_item(
                TableName=self._table,
                Key={"pk": {"S": f"RATE#{tenant}"}, "sk": {"S": f"{what}#{window}"}},
                UpdateExpression="SET expires_at = :expires_at ADD n :count",
                ExpressionAttributeValues={
                    ":count": {"N": str(count)},
                    ":expires_at": {"N": str((window + KEPT_WINDOWS) * WINDOW_SECONDS)},
                },
                ReturnValues="UPDATED_NEW",
            )
        except (BotoCoreError, ClientError) as error:
            log_failed_call(log, "rates.unreachable", error)
            return None
        return int(found["Attributes"]["n"]["N"])
