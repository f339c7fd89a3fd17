"""What servers of each engine say of their load, read while they are measured over HTTP."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any, override

import pytest

from local.simulators.scripted import MODEL, Script, ScriptedServer
from local.simulators.scripted.metrics import ENGINES, Engine
from rune.bench.driver import measure_point
from rune.bench.records import Point
from rune.bench.runs import fold_run
from rune.bench.tasks import Task
from rune.contracts import RunReport
from rune.llm.opener import ServerOpener
from tests.functional.bench.truth import LOOPBACK, TASK

WAITING = Script(ttft_ms=60.0, gap_ms=4.0, output_tokens=25)
LOADED: dict[str, object] = {
    "name": f"{MODEL}:latest", "digest": "d", "size": 10, "size_vram": 10, "context_length": 4096,
}  # fmt: skip


class Told(ScriptedServer):
    """A scripted server that does something before it answers anything but a chat, or answers that otherwise."""

    tell: Callable[[str], dict[str, Any] | bytes | None] = staticmethod(lambda _path: None)

    @override
    def _document(self, path: str) -> tuple[int, bytes, str]:
        told = self.tell(path)
        if told is None:
            return super()._document(path)
        return 200, told if isinstance(told, bytes) else json.dumps(told).encode(), "text/plain"


def measure(
    server: ScriptedServer, task: Task = TASK, *, kind: str = "openai", concurrency: int = 4
) -> RunReport:
    async def go() -> RunReport:
        async with server.listening() as address:
            client = ServerOpener(LOOPBACK)(kind, address)
            try:
                point = Point(0, concurrency)
                measured = await measure_point(
                    client, task, point, time_limit_seconds=20.0, on_progress=lambda _ended, _chunks: None
                )
            finally:
                await client.aclose()
        return fold_run(measured, None, None)

    return asyncio.run(go())


@pytest.mark.parametrize("engine", ENGINES)
def test_report_tells_what_the_engine_says(engine: Engine) -> None:
    # Twice as many requests as it answers at a time, for about 0.6 s; two contexts fill its memory.
    server = ScriptedServer(WAITING, slots=2, engine=engine, kv_tokens=44, has_prefix_cache=True)

    run = measure(server, replace(TASK, repetitions=2, warmup_count=4))

    load = run.server
    assert load is not None
    assert (load.source, load.reload_count) == (engine, 0)
    assert load.reading_count >= 2
    assert load.running_requests_max == 2
    assert run.warning_evidence["server_queued"] == load.waiting_requests_max in {1, 2}
    tells_memory = engine in {"vllm", "sglang"}
    assert (load.kv_cache_used_ratio_max is not None) == tells_memory
    assert ("kv_cache_full" in run.warnings) == tells_memory
    assert (load.prefix_cache_hit_ratio == 0.0) == (engine != "tgi")


def test_restart_and_speculation_are_told() -> None:
    server = Told(replace(WAITING, ttft_ms=20.0), engine="vllm")
    assert server.metrics is not None
    server.metrics.drafts = True
    pages = count(1)

    def restart_at_the_third(path: str) -> None:
        if path == "/metrics" and next(pages) == 3 and server.metrics is not None:
            server.metrics.restart(server.exchanges)

    server.tell = restart_at_the_third

    run = measure(server, replace(TASK, repetitions=2), concurrency=2)

    assert run.server is not None
    assert run.server.draft_accepted_ratio == pytest.approx(0.7, abs=0.01)
    assert run.warning_evidence["model_reloaded"] == run.server.reload_count == 1


def test_model_that_another_took_the_place_of_is_told_by_ollama() -> None:
    server = Told(replace(WAITING, ttft_ms=20.0))
    lists = iter([[LOADED], []])
    server.tell = lambda path: {"models": next(lists, [LOADED])} if path == "/api/ps" else None

    run = measure(server, replace(TASK, repetitions=2), kind="ollama", concurrency=2)

    assert run.server is not None
    assert (run.server.source, run.server.reload_count) == ("ollama", 1)
    assert "model_reloaded" in run.warnings


def test_connections_are_opened_after_the_first_reading() -> None:
    server = Told(Script(ttft_ms=5.0, gap_ms=1.0), engine="vllm")
    read_ns: list[int] = []
    server.tell = lambda path: read_ns.append(time.monotonic_ns()) if path == "/metrics" else None

    measure(server, replace(TASK, repetitions=2, warmup_count=0))

    # The connection of the reading itself is used again.
    connected_ns = sorted({exchange.connected_ns for exchange in server.exchanges})
    assert len(connected_ns) > 2
    assert all(each_ns > read_ns[0] for each_ns in connected_ns[1:])


HOSTILE = {
    "not metrics": b"<html>",
    "empty": b"",
    "too long": b"vllm:num_requests_running 1\n" + b"#" * (2 * 1024 * 1024),
    "too many": b"".join(b'vllm:num_requests_running{engine="%d"} 1\n' % engine for engine in range(2000)),
    "no text": bytes(range(256)) * 64,
    "no numbers": b"vllm:num_requests_running NaN\nvllm:num_requests_waiting -Inf\nvllm:kv_cache_usage_perc 1e9\n",
}


@pytest.mark.parametrize("page", HOSTILE)
def test_hostile_page_breaks_no_run(page: str) -> None:
    server = Told(Script(ttft_ms=5.0, gap_ms=1.0))
    server.tell = lambda path: HOSTILE[page] if path == "/metrics" else None

    run = measure(server)

    assert (run.completed, run.failed) == (4, 0)
    assert run.warning_evidence == {}
    assert run.server is None or run.server.running_requests_max is None
