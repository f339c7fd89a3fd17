"""Many requests at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from types import ModuleType

from tests.cloud import one_at_a_time
from tests.functional.functions.asking import Response, ask

THREADS = 20


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
    # A query of moto's fails where a row comes while it runs.
    alone = one_at_a_time("transact_write_items", "put_item", "update_item", "query")
    with alone, ThreadPoolExecutor(THREADS) as pool:
        return [response for responses in pool.map(ask_some, shares) for response in responses]
