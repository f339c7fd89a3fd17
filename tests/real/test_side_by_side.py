"""RUNE and aiperf measure the same server: each one's times are held against the server's own.

On a quiet machine the plain medians agree; where processors are shared they do not: in aiperf's turns the server's
own `prompt_ms` is longer too, presumably because aiperf's processes compete with it. So each number is taken as a
multiple of the server's own for the very same requests, and the plain numbers are recorded beside it. The peer is
no truth: on a shared machine it is farther off. What is asserted is how far RUNE is from the server.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields
from functools import partial
from pathlib import Path
from statistics import median

import pytest

from rune.bench.formulas import time_per_output_token_ms, time_to_first_token_ms
from rune.bench.records import MeasuredPoint
from rune.bench.runs import fold_run
from rune.llm.protocol import Generation
from tests.real.llama_server import LlamaServer
from tests.real.measuring import OUTPUT_TOKENS, measure_once, measure_with_aiperf, with_client

ROUNDS = 3
REQUEST_COUNT = 40
MOST_DISTANCE_RATIO = 0.05
EVEN_RATIO = 0.005
"""Two distances that differ by less are the same: a median of three rounds tells no more."""

type RecordProperty = Callable[[str, object], None]


@dataclass(frozen=True, slots=True)
class Figures:
    """What both say, in their own words; see `peer.py` for aiperf's.

    Attributes
    ----------
    ttft_to_server, tpot_to_server
        Median over requests, each as a multiple of the server's own time for it.
    throughput_to_server
        As a multiple of what the server did while it was busy.
    """

    requests: int
    ttft_p50_ms: float
    tpot_p50_ms: float
    output_tokens_per_s: float
    ttft_to_server: float
    tpot_to_server: float
    throughput_to_server: float


@pytest.mark.timeout(900)
@pytest.mark.parametrize("concurrency", [1, 4])
def test_rune_is_as_near_to_the_servers_own_times_as_aiperf(
    slow_llama: LlamaServer, folder: Path, concurrency: int, record_property: RecordProperty
) -> None:
    """They take turns, each alone with the server; the median of the rounds counts."""
    ours, theirs = [], []

    for turn in range(ROUNDS):
        ours.append(_ask_rune(slow_llama, concurrency))
        theirs.append(_ask_aiperf(slow_llama, concurrency, turn, folder / f"aiperf-{concurrency}-{turn}"))

    our, their = _median(ours), _median(theirs)
    record_property("figures", _table(our, their))
    # Of requests side by side the server's times overlap: there is no busy time to hold their throughput against.
    compared = ["ttft_to_server", "tpot_to_server", *(["throughput_to_server"] if concurrency == 1 else [])]
    distances = {name: (_distance(our, name), _distance(their, name)) for name in compared}
    farther = {name: pair for name, pair in distances.items() if not _is_near_enough(*pair)}
    assert farther == {}, _table(our, their)


def _distance(figures: Figures, name: str) -> float:
    """Return how far a multiple of the server's own number is from that number, as a ratio of it."""
    return float(abs(getattr(figures, name) - 1.0))


def _is_near_enough(our_ratio: float, their_ratio: float) -> bool:
    return our_ratio <= min(MOST_DISTANCE_RATIO, their_ratio + EVEN_RATIO)


def _ask_rune(server: LlamaServer, concurrency: int) -> Figures:
    before = server.read_counters()
    ask = partial(measure_once, concurrency=concurrency, request_count=REQUEST_COUNT)
    measured = asyncio.run(with_client(server, ask))
    counted = server.read_counters() - before
    run = fold_run(measured, None, None)

    assert run.completed == REQUEST_COUNT
    assert _tokens(measured) == counted.output_tokens
    assert run.ttft_ms is not None
    assert run.tpot_ms is not None
    throughput = run.output_throughput_tokens_per_s or 0.0
    answers = [record.generation for record in measured.records if record.generation is not None]
    return Figures(
        run.completed,
        run.ttft_ms.median,
        run.tpot_ms.median,
        throughput,
        median(map(_ttft_to_server, answers)),
        median(map(_tpot_to_server, answers)),
        throughput * counted.busy_s / counted.output_tokens,
    )


def _ttft_to_server(answer: Generation) -> float:
    ours, own = time_to_first_token_ms(answer.stamps), answer.server_timings.prompt_eval_ms
    assert ours
    assert own
    return ours / own


def _tpot_to_server(answer: Generation) -> float:
    ours, own = time_per_output_token_ms(answer), answer.server_timings.eval_ms
    assert ours
    assert own
    return ours * answer.tokens.output_count / own


def _ask_aiperf(server: LlamaServer, concurrency: int, turn: int, folder: Path) -> Figures:
    before = server.read_counters()
    run = measure_with_aiperf(server, concurrency, folder, REQUEST_COUNT, nonce_seed=turn)
    counted = server.read_counters() - before

    assert (run.completed, run.failed) == (REQUEST_COUNT, 0)
    assert run.output_tokens + concurrency * OUTPUT_TOKENS == counted.output_tokens
    return Figures(
        run.completed,
        run.ttft_p50_ms,
        run.tpot_p50_ms,
        run.output_tokens_per_s,
        run.ttft_to_server,
        run.tpot_to_server,
        run.output_tokens_per_s * counted.busy_s / counted.output_tokens,
    )


def _median(rounds: Sequence[Figures]) -> Figures:
    return Figures(*(median(values) for values in zip(*map(astuple, rounds), strict=True)))


def _table(ours: Figures, theirs: Figures) -> str:
    rows = [
        f"{field.name}: {our:.3f} | {their:.3f} | {our / their:.3f}"
        for field, our, their in zip(fields(Figures), astuple(ours), astuple(theirs), strict=True)
    ]
    return "\n".join(["RUNE | aiperf | RUNE / aiperf", *rows])


def _tokens(measured: MeasuredPoint) -> int:
    """Return what all requests of a point cost, warm-up and what is counted nowhere included."""
    run = fold_run(measured, None, None)
    assert (run.failed, run.cut_off) == (0, 0)
    return run.total_output_tokens + measured.warmup_output_tokens
