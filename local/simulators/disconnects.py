"""Noticing a client that leaves before its answer is complete."""

import asyncio
from collections.abc import Awaitable

from starlette.types import Receive


async def run_until_disconnect(work: Awaitable[None], receive: Receive) -> None:
    """Run `work` to its end, or cancel it when the client leaves first."""
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_wait_for_disconnect(receive))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        for task in (working, watching):
            task.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
