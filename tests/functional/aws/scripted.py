"""What DynamoDB may answer to a transaction, and moto never does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

CONFLICT = ["TransactionConflict", "None"]


@dataclass
class ScriptedTransactions:
    """A client whose transactions are answered from a list of reasons to cancel; None carries one out.

    Attributes
    ----------
    tokens
        The client's token of each transaction.
    sizes
        How many writes each transaction had.
    """

    client: DynamoDBClient
    script: list[list[str] | None]
    tokens: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def __getattr__(self, name: str) -> object:
        return getattr(self.client, name)

    def transact_write_items(self, **arguments: Any) -> object:  # noqa: ANN401  # passed on
        self.tokens.append(arguments["ClientRequestToken"])
        self.sizes.append(len(arguments["TransactItems"]))
        codes = self.script.pop(0)
        if codes is None:
            return self.client.transact_write_items(**arguments)
        error = {
            "Error": {"Code": "TransactionCanceledException", "Message": "cancelled"},
            "CancellationReasons": [{"Code": code} for code in codes],
        }
        raise self.client.exceptions.TransactionCanceledException(error, "TransactWriteItems")  # type: ignore[arg-type]
