"""Many requests at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier, RLock
from types import ModuleType

import pytest
from moto.dynamodb.models import DynamoDBBackend

from tests.functional.functions.asking import Response, ask

THREADS = 20


@contextmanager
def one_transaction_at_a_time() -> Iterator[None]:
    """Order transactions as DynamoDB does; moto's threads run between their conditions and their writes."""
    lock, transact = RLock(), DynamoDBBackend.transact_write_items

    def transact_alone(*arguments: object, **named: object) -> object:
        with lock:
            return transact(*arguments, **named)  # type: ignore[arg-type]  # handed on

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DynamoDBBackend, "transact_write_items", transact_alone)
        yield


def ask_at_once(api: ModuleType, events: Sequence[dict[str, object]]) -> list[Response]:
    """Return the answers to requests that begin together, in `THREADS` threads."""
    start = Barrier(THREADS)

    def ask_some(some: Sequence[dict[str, object]]) -> list[Response]:
        # Mangum runs a request on its thread's own loop.
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        try:
            start.wait(30)
            return [ask(api, event) for event in some]
        finally:
            asyncio.set_event_loop(None)
            loop.close()

    shares = [events[place::THREADS] for place in range(THREADS)]
    with one_transaction_at_a_time(), ThreadPoolExecutor(THREADS) as pool:
        return [response for responses in pool.map(ask_some, shares) for response in responses]
