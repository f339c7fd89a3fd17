"""One workload, put to real servers by RUNE and by its peer."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

from rune.bench.driver import measure_point
from rune.bench.prompts import add_nonce
from rune.bench.records import MeasuredPoint, Point, RequestRecord
from rune.bench.tasks import Task
from rune.llm.opener import ServerOpener
from rune.llm.protocol import ModelServer
from tests.real.asking import LOOPBACK
from tests.real.llama_server import MODEL, LlamaServer
from tests.real.peer import PeerRun, measure_with_peer

# Long enough that reading it takes the server far longer than sending and stamping take a client.
PROMPT = 2 * "Tell me of the cloud and the fox, and why the gpu is fast on some days and slow on others. "
OUTPUT_TOKENS = 32

_LIMIT_SECONDS = 240.0


async def measure_once(client: ModelServer, concurrency: int, request_count: int) -> MeasuredPoint:
    """Return what RUNE measures: `PROMPT` so often, each time behind a number that was never used before."""
    task = Task(
        model=MODEL,
        prompts=(PROMPT,),
        repetitions=request_count,
        warmup_count=concurrency,
        max_output_tokens=OUTPUT_TOKENS,
        temperature=0.0,
        ignore_eos=True,
        context_tokens=None,
        is_cache_busted=True,
        seed=0,
    )
    return await measure_point(
        client,
        task,
        Point(0, concurrency),
        time_limit_seconds=_LIMIT_SECONDS,
        on_progress=lambda _ended, _chunks: None,
    )


async def with_client[T](server: LlamaServer, do: Callable[[ModelServer], Awaitable[T]]) -> T:
    """Return what is done with RUNE's client of the server."""
    client = ServerOpener(LOOPBACK)("openai", server.url)
    try:
        return await do(client)
    finally:
        await client.aclose()


def measure_with_aiperf(
    server: LlamaServer, concurrency: int, folder: Path, request_count: int, *, nonce_seed: int
) -> PeerRun:
    """Return what aiperf measures: the same, behind other numbers, so that the server's cache knows none of it."""
    numbered = [
        add_nonce(PROMPT, nonce_seed, concurrency, number) for number in range(concurrency + request_count)
    ]
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
    """Return parts of one point as one, as if there had been no pauses between them."""
    records: list[RequestRecord] = []
    for part in parts:
        offset_ns = max((record.ended_ns for record in records), default=0)
        records += [_moved(record, offset_ns) for record in part.records]
    return replace(
        parts[0], records=tuple(replace(record, number=number) for number, record in enumerate(records))
    )


def _moved(record: RequestRecord, offset_ns: int) -> RequestRecord:
    return replace(
        record,
        due_ns=record.due_ns + offset_ns,
        sent_ns=None if record.sent_ns is None else record.sent_ns + offset_ns,
        ended_ns=record.ended_ns + offset_ns,
    )
