"""A load put by several processes: one load, one clock, and nothing left of it afterwards."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from local.simulators.scripted import Script
from rune.bench.process_messages import ServerAccess
from rune.bench.processes import Processes
from rune.bench.records import Point
from rune.bench.tasks import Task
from rune.errors import LoadProcessError
from tests.functional.bench.serving import ROOT, Served, running_thread
from tests.functional.bench.truth import MS, OPENER, TASK, Trial, measure

pytestmark = pytest.mark.alone

QUICK = Served(Script(ttft_ms=30.0, gap_ms=10.0, output_tokens=4))
SILENT = Served(Script(ttft_ms=60_000.0))
SIX = Point(0, 6)


def load_processes(parent: int | None = None) -> list[int]:
    """Return the processes that a process has for its loads, dead ones that nobody has waited for included."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):
            if entry.name.isdecimal():
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                is_child = int(fields[1]) == (parent or os.getpid())
                is_load = b"load_process" in (entry / "cmdline").read_bytes() or fields[0] == "Z"
                found += [int(entry.name)] if is_child and is_load else []
    return found


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """See that no process and no descriptor is left, however the measurement ended."""
    before = descriptors()
    yield
    assert load_processes() == []
    assert descriptors() == before


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def offsets_ms(trial: Trial) -> list[float]:
    """Return how long after its sending each request came to the server, less the same number for all."""
    return [
        (exchange.received_ns - record.sent_ns) / MS
        for record, exchange in trial.pairs
        if record.sent_ns is not None
    ]


def test_several_processes_put_one_load_with_one_clock() -> None:
    task = replace(TASK, repetitions=6, warmup_count=5)
    progress: list[tuple[int, int]] = []

    trial = measure(
        "openai", QUICK, task, SIX, process_count=2, on_progress=lambda *counts: progress.append(counts)
    )

    measured = trial.measured
    asked = Counter(exchange.prompt for exchange in trial.all_exchanges)
    assert set(asked.values()) == {1}, "each prompt has a number of its own, those of the warm-up too"
    assert sum(asked.values()) == 5 + 24
    assert [record.number for record in measured.records] == list(range(24))
    assert {record.status for record in measured.records} == {"completed"}
    assert (trial.report.max_concurrent_requests, measured.process_count) == (6, 2)
    assert (measured.warmup_count, measured.unsent_count) == (5, 0)
    # Every stamp of both processes lies between the server's, once the common beginning is known.
    offsets = offsets_ms(trial)
    assert max(offsets) - min(offsets) < 100
    assert min(record.sent_ns or 0 for record in measured.records) >= 0
    assert progress[-1] == (24, 24 * 4)


def test_point_ends_with_its_time_and_tells_of_requests_that_found_no_slot() -> None:
    """Four slots are busy for good: nobody gets a fifth, and each request that was due by the end is told."""
    task = replace(TASK, repetitions=10, warmup_count=0, idle_timeout_seconds=60.0)
    point = Point(0, 4, request_rate_per_s=20.0)

    for limit_seconds in (3.0, 12.0):  # the second where starting took all of the first
        began = time.monotonic()
        trial = measure("openai", SILENT, task, point, process_count=2, time_limit_seconds=limit_seconds)
        took_seconds = time.monotonic() - began
        if len(trial.measured.records) > 4:
            break

    records = trial.measured.records
    assert took_seconds < limit_seconds + 3
    assert {record.status for record in records} == {"cut_off"}
    assert [record.number for record in records if record.sent_ns is not None] == [0, 1, 2, 3]
    assert len(records) + trial.measured.unsent_count == 40
    assert all(record.due_ns <= record.ended_ns for record in records)
    assert [exchange.is_aborted for exchange in trial.all_exchanges] == [True] * 4


def test_point_fails_with_the_reason_when_a_process_dies() -> None:
    hit: list[int] = []

    def kill_one(_ended: int, chunk_count: int) -> None:
        if chunk_count and not hit:
            hit.append(load_processes()[0])
            os.kill(hit[0], signal.SIGKILL)

    with pytest.raises(LoadProcessError, match="was ended by SIGKILL, as where memory runs out") as raised:
        measure(
            "openai",
            QUICK,
            replace(TASK, repetitions=1000),
            SIX,
            process_count=2,
            on_progress=kill_one,
            time_limit_seconds=60.0,
        )

    assert hit
    assert raised.value.retryable


def test_cancel_ends_the_processes_and_their_requests() -> None:
    async def measure_and_cancel(address: str) -> float:
        server = OPENER("openai", address)
        call = Processes(2, {}).measure_point(
            ServerAccess(OPENER, "openai", address),
            server,
            replace(TASK, warmup_count=0),
            SIX,
            time_limit_seconds=30.0,
            on_progress=lambda _ended, _chunks: None,
        )
        measuring = asyncio.create_task(call)
        while len(exchanges) < 4:  # noqa: ASYNC110 the server is in another thread
            await asyncio.sleep(0.01)
        began = time.monotonic()
        measuring.cancel()
        with suppress(asyncio.CancelledError):
            await measuring
        await server.aclose()
        return time.monotonic() - began

    with running_thread(SILENT) as (address, exchanges):
        took_seconds = asyncio.run(measure_and_cancel(address))
        deadline = time.monotonic() + 2
        while not all(exchange.is_aborted for exchange in exchanges) and time.monotonic() < deadline:
            time.sleep(0.01)

    assert took_seconds < 1
    assert [exchange.is_aborted for exchange in exchanges] == [True] * 4


def test_processes_end_when_the_function_is_killed() -> None:
    with running_thread(SILENT) as (address, exchanges):
        script = (
            f"import tests.functional.bench.test_processes as tests; tests.measure_until_killed({address!r})"
        )
        environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
        with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, env=environment) as function:  # noqa: S603 our own
            while len(exchanges) < 4 and function.poll() is None:
                time.sleep(0.02)
            left = load_processes(function.pid)
            function.kill()
        deadline = time.monotonic() + 5
        while any(Path(f"/proc/{pid}").exists() for pid in left) and time.monotonic() < deadline:
            time.sleep(0.02)

        assert len(left) == 2
        assert [pid for pid in left if _is_alive(pid)] == []


def measure_until_killed(address: str) -> None:
    """Measure in a process of its own; see the test above."""
    task: Task = replace(TASK, warmup_count=0)
    call = Processes(2, {}).measure_point(
        ServerAccess(OPENER, "openai", address),
        OPENER("openai", address),
        task,
        SIX,
        time_limit_seconds=60.0,
        on_progress=lambda _ended, _chunks: None,
    )
    asyncio.run(call)


def _is_alive(pid: int) -> bool:
    with suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
