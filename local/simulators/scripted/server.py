"""The scripted server: plain asyncio, because a web framework would delay its chunks."""

import asyncio
import json
import math
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from local.simulators.scripted.metrics import Engine, MetricsPage, PrefixCache
from local.simulators.scripted.script import Exchange, Script, SendKind
from local.simulators.scripted.wire import OllamaWire, OpenAiWire, Wire

HOST = "127.0.0.1"
MODEL = "scripted"
BYTES_PER_TOKEN = 4
TEMPLATE_TOKENS = 10
"""Tokens around every prompt."""

_NS_PER_MS = 1_000_000
_NS_PER_SECOND = 1_000_000_000
_START_LIMIT_SECONDS = 10.0
_STOP_LIMIT_SECONDS = 0.5

_CHATS: dict[str, Wire] = {"/v1/chat/completions": OpenAiWire(), "/api/chat": OllamaWire()}
_DOCUMENTS: dict[str, object] = {
    "/v1/models": {"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "rune"}]},
    "/api/tags": {"models": [{"name": f"{MODEL}:latest", "model": f"{MODEL}:latest"}]},
    "/api/version": {"version": "0.33.0"},
    "/api/generate": {"model": MODEL, "done": True, "done_reason": "load"},
}


@dataclass(frozen=True, slots=True)
class _Send:
    due_ms: float
    kinds: tuple[SendKind, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class _Request:
    path: str
    body: bytes


class ScriptedServer:
    """A model server with scripted times; it answers OpenAI's API and Ollama's on one port.

    Parameters
    ----------
    script
        Of every answer, or a function from the prompt to its script.
    slots
        Requests answered at a time, first come first served; None for any number.
    context_tokens
        Longer prompts are cut to so many tokens without a word in the answer; None cuts none.
    engine
        Whose metrics `/metrics` tells; None for a server without such a page.
    kv_tokens
        How many tokens all contexts under way may have together. With more the metrics tell of preemptions; answers
        take no longer by it.
    has_prefix_cache
        Whether answers tell how much of their prompt began as an earlier one did, and the metrics with them.

    Attributes
    ----------
    exchanges
        Every chat, in the order of arrival.
    metrics
        What `/metrics` tells.
    running_models
        What Ollama's `/api/ps` lists.
    """

    def __init__(
        self,
        script: Script | Callable[[str], Script],
        *,
        slots: int | None = None,
        context_tokens: int | None = None,
        engine: Engine | None = None,
        kv_tokens: int = 1_000_000,
        has_prefix_cache: bool = False,
    ) -> None:
        self._script = script
        self._slots = asyncio.Semaphore(slots) if slots else None
        self._context_tokens = context_tokens
        self._open: set[asyncio.Task[None]] = set()
        self._prefix_cache = PrefixCache() if has_prefix_cache else None
        self.exchanges: list[Exchange] = []
        self.metrics = None if engine is None else MetricsPage(engine, MODEL, kv_tokens)
        self.running_models: list[dict[str, object]] = []

    @asynccontextmanager
    async def listening(self, port: int = 0) -> AsyncIterator[str]:
        """Serve in the running loop while the block runs; gives the address, without a final slash."""
        listener = await asyncio.start_server(self._serve, HOST, port, backlog=256)
        try:
            yield f"http://{HOST}:{listener.sockets[0].getsockname()[1]}"
        finally:
            listener.close()
            if self._open:  # their clients may just have left
                await asyncio.wait(self._open, timeout=_STOP_LIMIT_SECONDS)
            for task in self._open:
                task.cancel()
            await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 a coroutine always runs in one
        self._open.add(task)
        try:
            await self._serve_connection(_Connection(reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client has left, or the server is stopped: only the connection ends
        finally:
            self._open.discard(task)
            writer.close()

    async def _serve_connection(self, connection: "_Connection") -> None:
        connected_ns = time.monotonic_ns()
        while True:
            request = await connection.read_request()
            path = request.path
            chat = _CHATS.get(path)
            if chat is None:
                connection.write_whole(*self._document(path))
                continue
            exchange, script = self._begin(json.loads(request.body), connected_ns)
            self.exchanges.append(exchange)
            answering = asyncio.create_task(self._answer(connection, chat, script, exchange))
            if not await connection.wait_or_hang_up(answering):
                exchange.is_aborted = True
            exchange.ended_ns = time.monotonic_ns()
            if exchange.is_aborted or script.ending == "cut":
                connection.abort()
                return

    def _document(self, path: str) -> tuple[int, bytes, str]:
        """Return status, body and media type of anything but a chat."""
        if path == "/metrics" and self.metrics is not None:
            return 200, self.metrics.page(self.exchanges), "text/plain; version=0.0.4; charset=utf-8"
        document = {"models": self.running_models} if path == "/api/ps" else _DOCUMENTS.get(path)
        body = json.dumps(document or {"error": "no such path"}).encode()
        return 200 if document else 404, body, "application/json"

    def _begin(self, body: dict[str, object], connected_ns: int) -> tuple[Exchange, Script]:
        messages = body["messages"]
        options = body.get("options")
        assert isinstance(messages, list)  # noqa: S101 RUNE's own clients send nothing else
        prompt = str(messages[-1]["content"])
        script = self._script if isinstance(self._script, Script) else self._script(prompt)
        limit = body.get("max_tokens", options.get("num_predict") if isinstance(options, dict) else None)
        whole = "".join(str(message["content"]) for message in messages)
        tokens = TEMPLATE_TOKENS + math.ceil(len(whole.encode()) / BYTES_PER_TOKEN)
        exchange = Exchange(prompt, connected_ns, time.monotonic_ns())
        exchange.prompt_tokens = min(tokens, self._context_tokens or tokens)
        exchange.cached_tokens = script.cached_tokens
        if self._prefix_cache is not None:
            exchange.cached_tokens = self._prefix_cache.look_up(whole.encode())
        exchange.output_tokens = min(
            script.output_tokens, limit if isinstance(limit, int) else script.output_tokens
        )
        return exchange, script

    async def _answer(
        self, connection: "_Connection", chat: Wire, script: Script, exchange: Exchange
    ) -> None:
        if self._slots is None:
            return await self._answer_in_slot(connection, chat, script, exchange)
        async with self._slots:
            return await self._answer_in_slot(connection, chat, script, exchange)

    async def _answer_in_slot(
        self, connection: "_Connection", chat: Wire, script: Script, exchange: Exchange
    ) -> None:
        began_ns = exchange.slot_ns = time.monotonic_ns()
        if script.status != 200:  # noqa: PLR2004 anything but a stream
            exchange.headers_ns = time.monotonic_ns()
            connection.write_whole(script.status, chat.refusal(script.status))
            return
        for send in _plan(chat, script, exchange):
            await _sleep_until(began_ns, send.due_ms)
            sent_ns = time.monotonic_ns()
            if exchange.headers_ns is None:
                exchange.headers_ns = sent_ns
                connection.write_head(chat.media_type)
            connection.write_chunk(send.data)
            exchange.sends += [(kind, sent_ns) for kind in send.kinds]
        if script.ending == "hang":
            await asyncio.Event().wait()
        if script.ending != "cut":
            connection.write_chunk(b"")


def _plan(chat: Wire, script: Script, exchange: Exchange) -> list[_Send]:
    """Return all writes of an answer, in order."""
    sends: list[_Send] = []
    role = chat.role()
    if script.role_ms is not None and role is not None:
        sends.append(_Send(script.role_ms, ("role",), role))
    if script.empty_ms is not None:
        sends.append(_Send(script.empty_ms, ("empty",), chat.chunk("", is_reasoning=False)))
    sends += _chunks(chat, script, exchange)
    if script.ending == "complete":
        sends.append(_Send(sends[-1].due_ms, ("end",), chat.end(script, exchange)))
    if script.ending == "error":
        sends.append(_Send(sends[-1].due_ms, ("end",), chat.failure()))
    return [_joined(sends)] if script.is_buffered else sends


def _chunks(chat: Wire, script: Script, exchange: Exchange) -> Iterator[_Send]:
    # A request for fewer tokens than the script has gets its first chunks.
    count = min(script.chunk_count, max(1, math.ceil(exchange.output_tokens / script.tokens_per_chunk)))
    waiting: list[_Send] = []
    for index, due_ms in zip(range(count), script.chunk_times_ms(), strict=False):
        is_reasoning = index < script.reasoning_chunks
        data = chat.chunk(_text(script, index), is_reasoning=is_reasoning)
        waiting.append(_Send(due_ms, ("reasoning" if is_reasoning else "text",), data))
        if len(waiting) == script.chunks_per_segment or index == count - 1:
            yield _joined(waiting)
            waiting = []


def _text(script: Script, index: int) -> str:
    """Return the text of a chunk: about four characters for each token, of which a number tells the chunk."""
    text = f" w{index}" + " tok" * (round(script.tokens_per_chunk) - 1)
    if script.thinking_chunks:
        text = ("<think>" if index == 0 else "") + text
        text += "</think>" if index == script.thinking_chunks - 1 else ""
    return text


def _joined(sends: list[_Send]) -> _Send:
    kinds = tuple(kind for send in sends for kind in send.kinds)
    return _Send(sends[-1].due_ms, kinds, b"".join(send.data for send in sends))


async def _sleep_until(began_ns: int, due_ms: float) -> None:
    remaining_ns = began_ns + round(due_ms * _NS_PER_MS) - time.monotonic_ns()
    if remaining_ns > 0:
        await asyncio.sleep(remaining_ns / _NS_PER_SECOND)


class _Connection:
    """One connection: as much of HTTP/1.1 as clients of model servers use."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._pushed_back = b""

    async def read_request(self) -> _Request:
        head = self._pushed_back + await self._reader.readuntil(b"\r\n\r\n")
        self._pushed_back = b""
        first, *lines = head.decode("latin-1").split("\r\n")
        lengths = [line.split(":")[1] for line in lines if line.lower().startswith("content-length:")]
        body = await self._reader.readexactly(int(lengths[0])) if lengths else b""
        return _Request(first.split(" ")[1], body)

    async def wait_or_hang_up(self, answering: asyncio.Task[None]) -> bool:
        """Return whether the answer was given before the client left."""
        leaving = asyncio.create_task(self._reader.read(1))
        await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
        if leaving.done() and not leaving.cancelled() and not answering.done():
            answering.cancel()
            await asyncio.wait((answering,))
            return False
        # The first byte of the next request may have come in the same turn of the loop.
        if leaving.done():
            self._pushed_back = leaving.result()
        leaving.cancel()
        await asyncio.wait((leaving,))
        answering.result()
        return True

    def write_whole(self, status: int, body: bytes, media_type: str = "application/json") -> None:
        headers = f"content-type: {media_type}\r\ncontent-length: {len(body)}"
        self._writer.write(f"HTTP/1.1 {status} Scripted\r\n{headers}\r\n\r\n".encode() + body)

    def write_head(self, media_type: str) -> None:
        self._writer.write(
            f"HTTP/1.1 200 OK\r\ncontent-type: {media_type}\r\ntransfer-encoding: chunked\r\n\r\n".encode()
        )

    def write_chunk(self, data: bytes) -> None:
        self._writer.write(b"%x\r\n%s\r\n" % (len(data), data))

    def abort(self) -> None:
        self._writer.transport.abort()


@contextmanager
def running_scripted(server: ScriptedServer, *, port: int = 0) -> Iterator[str]:
    """Serve in a thread with its own loop while the block runs; gives the address.

    Raises
    ------
    RuntimeError
        The server did not start.
    """
    started, stopping = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()
    addresses: list[str] = []

    async def serve() -> None:
        async with server.listening(port) as address:
            addresses.append(address)
            started.set()
            await stopping.wait()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run, name="scripted server", daemon=True)
    thread.start()
    if not started.wait(_START_LIMIT_SECONDS):
        raise RuntimeError("The scripted server did not start.")
    try:
        yield addresses[0]
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join()
