"""Builders of measured requests with known times, in milliseconds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import accumulate

from rune.bench.records import MeasuredPoint, Point, RequestRecord
from rune.bench.reports import make_report
from rune.bench.runs import fold_run
from rune.contracts import BenchmarkReport, BenchmarkRequest, Expectation, GoodputLimits, RunReport
from rune.llm.protocol import (
    FinishReason,
    Generation,
    ModelFacts,
    ServerFacts,
    ServerTimings,
    Stamps,
    TokenCounts,
    TokenCountSource,
)
from tests.builders import JOB_ID, NOW, REQUEST

MS = 1_000_000
CLOCK_START_NS = 987_654_321 * MS
"""The monotonic clock at the start of the point."""


def a_generation(
    *,
    sent_ms: float = 0,
    ttft_ms: float = 100,
    gaps_ms: Sequence[float] = (10,) * 19,
    output_tokens: int = 20,
    input_tokens: int | None = 50,
    cached_tokens: int | None = None,
    source: TokenCountSource = TokenCountSource.USAGE,
    timings: ServerTimings | None = None,
    text: str | None = None,
    chunk_chars: Sequence[int] = (),
) -> Generation:
    """Return an answer whose first chunk comes after `ttft_ms`, and each other one a gap later."""
    sent_ns = CLOCK_START_NS + round(sent_ms * MS)
    arrivals_ns = tuple(sent_ns + round(at_ms * MS) for at_ms in accumulate(gaps_ms, initial=ttft_ms))
    stamps = Stamps(
        sent_ns=sent_ns,
        headers_ns=sent_ns + MS,
        first_chunk_ns=sent_ns + MS,
        first_content_ns=arrivals_ns[0],
        first_visible_ns=arrivals_ns[0],
        last_content_ns=arrivals_ns[-1],
        ended_ns=arrivals_ns[-1] + MS,
    )
    return Generation(
        # Three letters and a space for each token, as prose has.
        text=" tok" * output_tokens if text is None else text,
        reasoning="",
        finish_reason=FinishReason.LENGTH,
        tokens=TokenCounts(input_tokens, output_tokens, cached_tokens, None, source),
        stamps=stamps,
        chunk_arrivals_ns=arrivals_ns,
        server_timings=timings or ServerTimings(),
        chunk_chars=tuple(chunk_chars),
    )


def an_empty_generation(output_tokens: int = 0) -> Generation:
    """Return an answer without content."""
    full = a_generation(output_tokens=output_tokens, text="")
    stamps = replace(full.stamps, first_content_ns=None, first_visible_ns=None, last_content_ns=None)
    return replace(full, stamps=stamps, chunk_arrivals_ns=())


def a_completed(
    number: int = 0,
    *,
    sent_ms: float = 0,
    due_ms: float | None = None,
    ready_ms: float | None = None,
    **of_generation: object,
) -> RequestRecord:
    """Return a request with an answer; it ends with its last chunk."""
    generation = a_generation(sent_ms=sent_ms, **of_generation)  # type: ignore[arg-type]  # as named there
    ended_ns = generation.chunk_arrivals_ns[-1] - CLOCK_START_NS
    return RequestRecord(
        number=number,
        prompt_index=0,
        due_ns=round((sent_ms if due_ms is None else due_ms) * MS),
        sent_ns=round(sent_ms * MS),
        ended_ns=ended_ns,
        status="completed",
        prompt_chars=200,
        generation=generation,
        ready_ns=round((sent_ms if ready_ms is None else ready_ms) * MS),
    )


def a_failed(
    number: int = 0, *, sent_ms: float | None = 0, ended_ms: float = 5, code: str = "server_overloaded"
) -> RequestRecord:
    """Return a request that failed."""
    sent_ns = None if sent_ms is None else round(sent_ms * MS)
    return RequestRecord(number, 0, 0, sent_ns, round(ended_ms * MS), "failed", 200, error_code=code)


def a_cut_off(
    number: int = 0,
    *,
    sent_ms: float | None = 0,
    ended_ms: float = 10_000,
    due_ms: float = 0,
    arrivals_ms: Iterable[float] = (),
) -> RequestRecord:
    """Return a request that was cut off, after chunks at these times."""
    sent_ns = None if sent_ms is None else round(sent_ms * MS)
    arrivals_ns = tuple(round(at_ms * MS) for at_ms in arrivals_ms)
    return RequestRecord(
        number,
        0,
        round(due_ms * MS),
        sent_ns,
        round(ended_ms * MS),
        "cut_off",
        200,
        partial_arrivals_ns=arrivals_ns,
    )


def a_measured_point(*records: RequestRecord, **overrides: object) -> MeasuredPoint:
    """Return a point of a closed load with one request at a time and these records."""
    measured = MeasuredPoint(
        point=Point(0, 1),
        started_at_ms=round(NOW.timestamp() * 1000),
        records=records,
        warmup_count=2,
        warmup_output_tokens=40,
        rtt_ms=1.5,
        loop_lag_p99_ms=0.4,
    )
    return replace(measured, **overrides)  # type: ignore[arg-type]  # replace() refuses unknown names


def a_run(
    *records: RequestRecord,
    goodput: GoodputLimits | None = None,
    expected: Expectation | None = None,
    **overrides: object,
) -> RunReport:
    """Return the run report of a point with these records."""
    return fold_run(a_measured_point(*records, **overrides), goodput, expected)


def a_report(*runs: RunReport, **overrides: object) -> BenchmarkReport:
    """Return the report of a benchmark with these runs."""
    given: dict[str, object] = {
        "job_id": JOB_ID,
        "request": BenchmarkRequest.model_validate(REQUEST),
        "ended_by": "all_measured",
        "model": ModelFacts(),
        "server": ServerFacts(),
        "prompts": ["Why?"],
        "ignores_eos": False,
        "context_tokens": None,
        "started_at": NOW,
        "finished_at": NOW + timedelta(seconds=60),
    }
    return make_report(runs=runs, **{**given, **overrides})  # type: ignore[arg-type]  # as named there
