"""What the calls of AWS's clients use, computed from the rows that they read and write; moto counts no units."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from botocore.session import Session

from tests.bench.costs import (
    REQUESTS_PER_MESSAGE,
    Item,
    Usage,
    index_units,
    item_bytes,
    read_units,
    write_units,
)

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from mypy_boto3_dynamodb import DynamoDBClient

TABLE_KEYS = ("pk", "sk")


@contextmanager
def watched_clients(watch: Callable[[BaseClient], None]) -> Iterator[None]:
    """Hand every client that a session makes in the block to `watch`."""
    create_client = Session.create_client

    def create_watched(session: Session, *arguments: Any, **options: Any) -> BaseClient:  # noqa: ANN401  # passed on
        client = create_client(session, *arguments, **options)
        watch(client)
        return client

    with patch.object(Session, "create_client", create_watched):
        yield


@dataclass(frozen=True, slots=True)
class SentMessage:
    """A message as it was given to SQS."""

    queue_url: str
    body: str
    delay_seconds: int


class Meter:
    """Adds up what watched clients use, and keeps the messages that they send.

    Attributes
    ----------
    take_at_once
        Called with each message; one that it takes is not kept.
    by_term
        What was used by what it is for: `engine`, `events`, `receipts`, or `accounts` (budgets and counts of use).
    term
        What all calls are for that are made now; None for each by the rows that it writes, or the queue.

    Parameters
    ----------
    dynamodb
        A client that is not watched; it looks at rows before and after they are written.
    index_keys
        Of each index, the names of its own key attributes.
    """

    def __init__(self, dynamodb: DynamoDBClient, table: str, index_keys: Sequence[Sequence[str]]) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._index_keys = [(*TABLE_KEYS, *keys) for keys in index_keys]
        self.usage = Usage()
        self.sent: list[SentMessage] = []
        self.take_at_once: Callable[[SentMessage], bool] = lambda _: False
        self.by_term: defaultdict[str, Usage] = defaultdict(Usage)
        self.term: str | None = None

    def watch(self, client: BaseClient) -> None:
        """Count what this client does from now on."""
        client.meta.events.register_first("before-parameter-build", self._begin)
        client.meta.events.register_first("after-call", self._end)

    def metered[Answer](self, do: Callable[[], Answer]) -> tuple[Usage, Answer]:
        """Do it, and return what it used."""
        before = self.usage
        answer = do()
        return self.usage - before, answer

    def _begin(self, params: dict[str, Any], context: dict[str, Any], **_rest: object) -> None:
        keys = _written_keys(params)
        context["rune_bench"] = (dict(params), keys, [self._look(key) for key in keys])

    def _end(
        self, event_name: str, parsed: Mapping[str, Any], context: dict[str, Any], **_rest: object
    ) -> None:
        operation = event_name.rpartition(".")[2]
        params, keys, before = context["rune_bench"]
        used = Usage(calls=1)
        if keys:
            after = [self._look(key) for key in keys]
            used += self._written(before, after, operation)
            for key, *pair in zip(keys, before, after, strict=True):
                term = self.term or _term_of(key)
                self.by_term[term] += self._written([pair[0]], [pair[1]], operation)
        elif operation in ("GetItem", "BatchGetItem", "Query"):
            used += Usage(read_units=_read_by(operation, params, parsed))
        elif operation == "SendMessage":
            used += Usage(messages=1, sqs_requests=REQUESTS_PER_MESSAGE)
            message = SentMessage(params["QueueUrl"], params["MessageBody"], params.get("DelaySeconds", 0))
            if not self.take_at_once(message):
                self.sent.append(message)
        else:
            used += Usage(
                sqs_requests=int(operation == "GetQueueAttributes"),
                s3_puts=int(operation == "PutObject"),
                s3_gets=int(operation == "GetObject"),
                bus_events=len(params["Entries"]) if operation == "PutEvents" else 0,
            )
        self.usage += used
        if not keys:
            to_notifier = operation == "SendMessage" and "notice" in params["QueueUrl"]
            self.by_term[self.term or ("events" if to_notifier else "engine")] += used

    def _look(self, key: Item) -> Item | None:
        return self._dynamodb.get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item")

    def _written(self, before: Sequence[Item | None], after: Sequence[Item | None], operation: str) -> Usage:
        in_transaction = operation == "TransactWriteItems"
        pairs = [*zip(before, after, strict=True)]
        return Usage(
            write_units=sum(write_units(*pair, in_transaction=in_transaction) for pair in pairs),
            index_units=sum(index_units(*pair, keys) for pair in pairs for keys in self._index_keys),
        )


def _term_of(key: Item) -> str:
    """Return what a row is for."""
    partition, name = key["pk"]["S"], key["sk"]["S"]
    if name == "RECEIPT":
        return "receipts"
    if name == "OUTBOX":
        return "events"
    return "accounts" if partition.startswith(("BUDGET", "USAGE#")) else "engine"


def _written_keys(params: Mapping[str, Any]) -> list[Item]:
    """Return the keys of the rows that a call writes, or whose conditions it checks."""
    if "TransactItems" in params:
        return [_key_of(write) for each in params["TransactItems"] for write in each.values()]
    is_write = "UpdateExpression" in params or "Item" in params
    return [_key_of(params)] if is_write else []


def _key_of(write: Mapping[str, Any]) -> Item:
    row = write["Item"] if "Item" in write else write["Key"]
    return {name: row[name] for name in TABLE_KEYS}


def _read_by(operation: str, params: Mapping[str, Any], parsed: Mapping[str, Any]) -> Decimal:
    if operation == "BatchGetItem":
        ((table, wanted),) = params["RequestItems"].items()
        found = [item_bytes(row) for row in parsed["Responses"].get(table, [])]
        missing = [0] * (len(wanted["Keys"]) - len(found))
        is_consistent = wanted.get("ConsistentRead", False)
        units = (read_units(size, is_consistent=is_consistent) for size in (*found, *missing))
        return sum(units, Decimal(0))
    rows = parsed["Items"] if operation == "Query" else [parsed.get("Item", {})]
    is_consistent = params.get("ConsistentRead", False)
    return read_units(sum(map(item_bytes, rows)), is_consistent=is_consistent)
