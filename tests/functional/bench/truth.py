"""A benchmark of a server of which the truth is known, and that truth in RUNE's own names.

Nothing here uses RUNE's formulas: the truth is computed from what the server sent, and when.
"""

import asyncio
import heapq
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import pairwise
from typing import override

from local.simulators.scripted import MODEL, Exchange
from rune.bench.arrivals import poisson_arrivals_s
from rune.bench.driver import learn_tokens_per_word, measure_point
from rune.bench.process_messages import ServerAccess
from rune.bench.processes import Processes
from rune.bench.records import MeasuredPoint, Point, RequestRecord
from rune.bench.runs import fold_run
from rune.bench.tasks import Task
from rune.contracts import GoodputLimits, RunReport
from rune.llm.opener import ServerOpener
from rune.net.addresses import AddressPolicy
from tests.functional.bench.serving import Served, running_process, running_thread

LOOPBACK = AddressPolicy.parse("127.0.0.0/8")
OPENER = ServerOpener(LOOPBACK)
MS = 1_000_000
OVERLOADED_LAG_MS = 5.0

TASK = Task(
    model=MODEL,
    prompts=("Why is the sky blue?", "What is a tide?", "Who was Faraday?", "How do bees decide?"),
    repetitions=1,
    warmup_count=2,
    max_output_tokens=None,
    temperature=None,
    ignore_eos=False,
    context_tokens=None,
    is_cache_busted=True,
    seed=1,
    idle_timeout_seconds=5.0,
)

type OnProgress = Callable[[int, int], None]
type Run = Callable[[Served], AbstractContextManager[tuple[str, list[Exchange]]]]


@dataclass(frozen=True)
class Trial:
    """What RUNE measured, and what the server did."""

    measured: MeasuredPoint
    report: RunReport
    pairs: Sequence[tuple[RequestRecord, Exchange]]
    all_exchanges: Sequence[Exchange]

    @property
    def records(self) -> Sequence[RequestRecord]:
        return self.measured.records

    @property
    def exchanges(self) -> list[Exchange]:
        """Of measured requests, in the order in which they came."""
        return sorted((exchange for _, exchange in self.pairs), key=lambda exchange: exchange.received_ns)


def measure(
    kind: str,
    served: Served,
    task: Task = TASK,
    point: Point = Point(0, 2),  # noqa: B008 frozen
    *,
    goodput: GoodputLimits | None = None,
    time_limit_seconds: float = 20.0,
    on_progress: OnProgress = lambda _ended, _chunks: None,
    running: Run = running_thread,
    process_count: int | None = None,
) -> Trial:
    """Let RUNE measure a server: in this process, or by so many processes."""

    async def go(address: str) -> MeasuredPoint:
        model_server = OPENER(kind, address)
        try:
            if process_count is not None:
                return await Processes(process_count, {}).measure_point(
                    ServerAccess(OPENER, kind, address),
                    model_server,
                    task,
                    point,
                    time_limit_seconds=time_limit_seconds,
                    on_progress=on_progress,
                )
            return await measure_point(
                model_server, task, point, time_limit_seconds=time_limit_seconds, on_progress=on_progress
            )
        finally:
            await model_server.aclose()

    with running(served) as (address, exchanges):
        measured = asyncio.run(go(address))
    by_prompt = {exchange.prompt: exchange for exchange in exchanges}
    pairs = [
        (record, by_prompt[task.opening_messages(record.prompt_index, point.index, record.number)[0].content])
        for record in measured.records
        # Later turns of a conversation do not begin as their first one does.
        if record.sent_ns is not None and record.turn == 0
    ]
    return Trial(measured, fold_run(measured, goodput, None), pairs, exchanges)


def learn(kind: str, served: Served, task: Task) -> float | None:
    """Let RUNE learn how many tokens a word has."""

    async def go(address: str) -> float | None:
        model_server = OPENER(kind, address)
        try:
            return await learn_tokens_per_word(model_server, task)
        finally:
            await model_server.aclose()

    with running_thread(served) as (address, _):
        return asyncio.run(go(address))


def measure_truly(
    kind: str,
    served: Served,
    task: Task,
    point: Point,
    *,
    goodput: GoodputLimits,
    look: "Callable[[Trial], list[Comparison]]",
) -> "tuple[Trial, list[Comparison]]":
    """Measure and look at the numbers.

    Once more where one does not hold, but only if RUNE itself says that the machine was too busy for its numbers to
    be trusted.
    """
    for attempt in (1, 2):
        trial = measure(kind, served, task, point, goodput=goodput, running=running_process)
        rows, lag_ms = look(trial), trial.measured.loop_lag_p99_ms
        was_calm = lag_ms is not None and lag_ms <= OVERLOADED_LAG_MS
        if was_calm or attempt == 2 or all(row.holds for row in rows):
            break
    return trial, rows


@dataclass(frozen=True)
class Truth:
    """The true times of one exchange, in milliseconds from when the whole request had come."""

    ttft_ms: float
    ttfo_ms: float
    e2el_ms: float
    tpot_ms: float
    gaps_ms: tuple[float, ...]

    @classmethod
    def of(cls, exchange: Exchange) -> "Truth":
        chunks_ns = exchange.times_ns("reasoning", "text")
        first_ns, last_ns = chunks_ns[0], chunks_ns[-1]
        return cls(
            ttft_ms=(first_ns - exchange.received_ns) / MS,
            ttfo_ms=(exchange.times_ns("text")[0] - exchange.received_ns) / MS,
            e2el_ms=(last_ns - exchange.received_ns) / MS,
            # All chunks have equally many tokens. Those that were sent with the first one came with it.
            tpot_ms=(last_ns - first_ns)
            / MS
            / exchange.output_tokens
            / (1 - _together(chunks_ns) / len(chunks_ns)),
            gaps_ms=tuple((later - earlier) / MS for earlier, later in pairwise(chunks_ns)),
        )


def _together(chunks_ns: Sequence[int]) -> int:
    return sum(sent_ns - chunks_ns[0] < MS for sent_ns in chunks_ns)


@dataclass(frozen=True)
class Comparison:
    """One number, and what it should have been."""

    name: str
    true: float
    measured: float | None

    @property
    def holds(self) -> bool:
        """Whether it is within 2 ms or 2 % of the truth; only 2 % for what is no time."""
        slack = max(2.0, 0.02 * self.true) if self.name.endswith("_ms") else 0.02 * self.true
        return self.measured is not None and abs(self.measured - self.true) <= slack

    def __str__(self) -> str:
        measured = "none" if self.measured is None else f"{self.measured:10.3f}"
        return f"{self.name:38}{self.true:10.3f}{measured}{'' if self.holds else '  wrong'}"


class AllDay(Comparison):
    """A figure of the steady state, measured in a window: within 3 %."""

    @property
    @override
    def holds(self) -> bool:
        """Whether it is near enough."""
        return self.measured is not None and abs(self.measured - self.true) <= 0.03 * self.true


class Rate(Comparison):
    """The rate of an open load: within 1 %."""

    @property
    @override
    def holds(self) -> bool:
        """Whether it is near enough."""
        return self.measured is not None and abs(self.measured - self.true) <= 0.01 * self.true


def compare(
    trial: Trial, limits: GoodputLimits, waited_ms: Mapping[int, float] | None = None
) -> list[Comparison]:
    """Return each published number beside the truth.

    Parameters
    ----------
    waited_ms
        Of an open load, by number: how long each request had been due when it came to the server.
    """
    report, exchanges = trial.report, trial.exchanges
    truths = [Truth.of(exchange) for exchange in exchanges]
    tokens = sum(exchange.output_tokens for exchange in exchanges)
    ended_ns = max(exchange.times_ns("end")[-1] for exchange in exchanges)
    duration_s = (ended_ns - min(exchange.received_ns for exchange in exchanges)) / 1e9
    waited_ms = waited_ms or {}
    good = [
        record
        for record, exchange in trial.pairs
        if limits.ttft_ms and Truth.of(exchange).ttft_ms + waited_ms.get(record.number, 0.0) <= limits.ttft_ms
    ]
    columns = {
        "ttft_ms": ([truth.ttft_ms for truth in truths], report.ttft_ms),
        "ttfo_ms": ([truth.ttfo_ms for truth in truths], report.ttfo_ms),
        "tpot_ms": ([truth.tpot_ms for truth in truths], report.tpot_ms),
        "itl_ms": ([gap_ms for truth in truths for gap_ms in truth.gaps_ms], report.itl_ms),
        "e2el_ms": ([truth.e2el_ms for truth in truths], report.e2el_ms),
    }
    return [
        *(
            Comparison(f"median {name}", statistics.median(true), found.median if found else None)
            for name, (true, found) in columns.items()
        ),
        Comparison(
            "mean itl_ms",
            statistics.mean(columns["itl_ms"][0]),
            report.itl_ms.mean if report.itl_ms else None,
        ),
        Comparison("duration_ms", duration_s * 1000, report.duration_s * 1000),
        Comparison(
            "output_throughput_tokens_per_s", tokens / duration_s, report.output_throughput_tokens_per_s
        ),
        Comparison("goodput_requests_per_s", len(good) / duration_s, report.goodput_requests_per_s),
        Comparison("total_output_tokens", tokens, report.total_output_tokens),
        Comparison("total_input_tokens", sum(e.prompt_tokens for e in exchanges), report.total_input_tokens),
    ]


COLUMNS = (
    "ttft_ms",
    "ttfo_ms",
    "tpot_ms",
    "itl_ms",
    "e2el_ms",
    "output_throughput_tokens_per_s",
    "client_queue_time_ms",
)
HEADINGS = ("TTFT", "TTFO", "TPOT", "ITL", "E2EL", "tokens/s", "queue")


def as_line(title: str, rows: Sequence[Comparison]) -> str:
    """Return the medians and the throughput as one line of a table: true and measured."""
    by_name = {row.name.removeprefix("median "): row for row in rows}
    cells = [f"{by_name[name].true:.2f} {by_name[name].measured:.2f}" for name in COLUMNS if name in by_name]
    return f"{title:52}" + "".join(f"{cell:>16}" for cell in cells)


def heading() -> str:
    """Return the line above those of `as_line`."""
    return f"{'true and measured, in ms':52}" + "".join(f"{name:>16}" for name in HEADINGS)


def clear_limit_ms(task: Task, point: Point, *, first_ms: float, answer_ms: float) -> float:
    """Return a limit of TTFT from the due time that no request comes near: a millisecond decides nothing."""
    assert point.request_rate_per_s is not None
    free_ms = [0.0] * point.concurrency
    waits_ms = []
    for due_s in poisson_arrivals_s(point.request_rate_per_s, task.request_count, task.seed):
        begins_ms = max(due_s * 1000, heapq.heappop(free_ms))
        waits_ms.append(begins_ms - due_s * 1000 + first_ms)
        heapq.heappush(free_ms, begins_ms + answer_ms)
    middle = sorted(waits_ms)[2 : 2 * task.request_count // 3]
    widest = max(pairwise(middle), key=lambda pair: pair[1] - pair[0])
    return statistics.mean(widest)


def true_queue_times_ms(trial: Trial, task: Task, point: Point) -> list[float]:
    """Return how long after its due time each request came to the server, the promptest one's taken for none."""
    assert point.request_rate_per_s is not None
    due_s = poisson_arrivals_s(point.request_rate_per_s, task.request_count, task.seed)
    by_number = {record.number: exchange.received_ns / MS for record, exchange in trial.pairs}
    began_ms = min(by_number[number] - due * 1000 for number, due in enumerate(due_s))
    return [by_number[number] - began_ms - due * 1000 for number, due in enumerate(due_s)]
