"""Connections that end early: a client that leaves, and a server that hangs up."""

import asyncio
from collections.abc import Awaitable

from starlette.types import Receive, Send


async def run_until_disconnect(work: Awaitable[None], receive: Receive) -> None:
    """Run `work` to its end, or cancel it when the client leaves first."""
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(wait_for_disconnect(receive))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        for task in (working, watching):
            task.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


async def wait_for_disconnect(receive: Receive) -> None:
    """Return when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


def peer_name(send: Send) -> str | None:
    """Return the common name of the certificate that a client has shown; None where it has shown none.

    ASGI cannot tell it. `send` must be uvicorn's own, as in `abort_connection`.
    """
    cycle = getattr(send, "__self__", None)
    transport: asyncio.BaseTransport | None = getattr(cycle, "transport", None)
    shown = transport.get_extra_info("peercert") if transport is not None else None
    parts = [pair for group in (shown or {}).get("subject", ()) for pair in group]
    return next((value for key, value in parts if key == "commonName"), None)


def abort_connection(send: Send) -> None:
    """Close a connection without a byte of an answer.

    ASGI cannot express that. `send` must be uvicorn's own: a method of the object that holds the transport.

    Raises
    ------
    RuntimeError
        `send` is not uvicorn's.
    """
    cycle = getattr(send, "__self__", None)
    transport: asyncio.WriteTransport | None = getattr(cycle, "transport", None)
    if transport is None:
        raise RuntimeError("Only uvicorn's connections can be aborted.")
    transport.abort()
