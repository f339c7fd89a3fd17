"""One workload, put to real servers by RUNE and by its peer."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

from rune.bench.driver import Task, measure_point
from rune.bench.prompts import add_nonce
from rune.bench.records import MeasuredPoint, Point, RequestRecord
from rune.llm.protocol import ModelServer
from rune.llm.servers import open_server
from tests.real.asking import LOOPBACK
from tests.real.llama_server import MODEL, LlamaServer
from tests.real.peer import PeerRun, measure_with_peer

PROMPT = "Tell me of the cloud and the fox, and why the gpu is fast on some days and slow on others."
OUTPUT_TOKENS = 32

_LIMIT_SECONDS = 240.0
_TASK = Task(
    model=MODEL,
    prompts=(PROMPT,),
    repetitions=0,
    warmup_count=0,
    max_output_tokens=OUTPUT_TOKENS,
    temperature=0.0,
    ignore_eos=True,
    context_tokens=None,
    is_cache_busted=True,
    seed=0,
)


async def measure_once(
    client: ModelServer, concurrency: int, request_count: int, *, part: int
) -> MeasuredPoint:
    """Return what RUNE measures: `PROMPT` so often, each time behind a number of its own, which `part` is in."""
    return await measure_point(
        client,
        replace(_TASK, repetitions=request_count, warmup_count=concurrency if part == 0 else 0),
        Point(part, concurrency),
        time_limit_seconds=_LIMIT_SECONDS,
        on_progress=lambda _ended, _pieces: None,
    )


async def measure_while(
    waited_for: Awaitable[PeerRun], client: ModelServer, concurrency: int
) -> tuple[PeerRun, MeasuredPoint]:
    """Return what the peer measures, and what RUNE does from before it begins until after it has ended."""
    parts = [await measure_once(client, concurrency, concurrency, part=0)]
    waiting = asyncio.ensure_future(waited_for)
    while not waiting.done():
        parts.append(await measure_once(client, concurrency, 5 * concurrency, part=len(parts)))
    return await waiting, join(parts)


async def with_client[T](server: LlamaServer, do: Callable[[ModelServer], Awaitable[T]]) -> T:
    """Return what is done with RUNE's client of the server."""
    client = open_server("openai", server.url, LOOPBACK)
    try:
        return await do(client)
    finally:
        await client.aclose()


def measure_with_aiperf(server: LlamaServer, concurrency: int, folder: Path, request_count: int) -> PeerRun:
    """Return what aiperf measures: the same, behind other numbers, so that the server's cache knows none of it."""
    numbered = [add_nonce(PROMPT, 0, concurrency, number) for number in range(concurrency + request_count)]
    return measure_with_peer(
        server.url,
        folder,
        model=MODEL,
        warmup_prompts=numbered[:concurrency],
        prompts=numbered[concurrency:],
        concurrency=concurrency,
        output_tokens=OUTPUT_TOKENS,
    )


def join(parts: Sequence[MeasuredPoint]) -> MeasuredPoint:
    """Return parts of one point as one, on a time line that begins with the first request of the first."""
    begun_ns = min(_began_ns(record) for part in parts for record in part.records)
    records = [record for part in parts for record in part.records]
    return replace(
        parts[0],
        records=tuple(
            _moved(record, _began_ns(record) - begun_ns, number) for number, record in enumerate(records)
        ),
        warmup_output_tokens=sum(part.warmup_output_tokens for part in parts),
    )


def within(measured: MeasuredPoint, begin_ns: int, end_ns: int) -> MeasuredPoint:
    """Return the requests that began and ended between two instants of the monotonic clock."""
    return replace(
        measured,
        records=tuple(
            record
            for record in measured.records
            if record.generation is not None
            and record.generation.stamps.sent_ns >= begin_ns
            and record.generation.stamps.ended_ns <= end_ns
        ),
    )


def _began_ns(record: RequestRecord) -> int:
    assert record.generation is not None, f"the server has failed a request: {record.error_code}"
    return record.generation.stamps.sent_ns


def _moved(record: RequestRecord, sent_ns: int, number: int) -> RequestRecord:
    offset_ns = sent_ns - (record.sent_ns or 0)
    return replace(
        record,
        number=number,
        due_ns=record.due_ns + offset_ns,
        sent_ns=sent_ns,
        ended_ns=record.ended_ns + offset_ns,
    )
