"""One point's requests, folded into its report.

A point may be several runs, its blocks (`rune.bench.blocks`). Numbers of single requests are of all blocks
together; what has a time line is computed for each block on its own, and summed.

Every latency and throughput is of completed requests alone. A request that failed lengthens the duration and is
counted by its class; one that was cut off at the end of the point's time is in no number but those that say so.
Numbers are rounded by `rune.bench.rounding`.
"""

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from itertools import pairwise
from typing import Literal

from rune.bench import formulas, timeline
from rune.bench.blocks import Block, steady_rate_per_s, window_rates_per_s
from rune.bench.bootstrap import quantile_errors
from rune.bench.goodput import GoodputJudge, lateness_ms
from rune.bench.reasoning import is_reasoning_hidden
from rune.bench.records import MeasuredPoint, Point, RequestRecord
from rune.bench.rounding import DECIMALS, rounded
from rune.bench.server_load import server_load_of, server_warnings
from rune.bench.server_side import cached_ratio_of, server_side_of
from rune.bench.statistics import describe, independent_count, low_percentiles
from rune.contracts import (
    BlockReport,
    Distribution,
    Expectation,
    GoodputLimits,
    QualityReport,
    RunReport,
    ServerLoad,
    StandardErrors,
    TurnReport,
)
from rune.errors import ServerOverloadedError
from rune.llm.protocol import FinishReason, Generation, Stamps

_NS_PER_SECOND = 1_000_000_000
_NS_PER_MS = 1_000_000
_SCORE_SLACK = 1e-9  # shares such as 2/3 are not exact in binary

FEW_SAMPLES = 10
STALL_NS = 2_000_000_000
STALL_RATIO = 20
LOOP_LAG_LIMIT_MS = 5.0
PROCESSOR_LIMIT_RATIO = 0.9
SHORT_ANSWER_TOKENS = 16
FEW_PIECES = 4
RELOAD_MS = 1000.0
RELOAD_RATIO = 5
CACHE_HIT_RATIO = 0.1
LATE_ARRIVAL_MS = 10.0
LATE_ARRIVAL_RATIO = 0.05
MIN_STEADY_RATIO = 0.5


def fold_run(
    measured: MeasuredPoint, goodput: GoodputLimits | None, expected: Expectation | None
) -> RunReport:
    """Return the report of a measured point.

    Quality is None for answers that a judge model has yet to read (`quality_of` makes it then).
    `server_side.prompt_tokens_per_s` believes a server that does not tell of its cache: `make_report` takes the
    number out where the workload lets the cache hit.
    """
    return fold_blocks((measured,), goodput, expected)


def fold_blocks(
    blocks: Sequence[MeasuredPoint], goodput: GoodputLimits | None, expected: Expectation | None
) -> RunReport:
    """Return the report of a point that was measured in several runs, as `fold_run` does of one.

    Parameters
    ----------
    blocks
        In their order, at least one; their requests have different numbers.
    """
    return _Fold(tuple(map(Block, blocks)), goodput, expected).report()


def quality_of(
    expected: Expectation, scores: Sequence[float], *, failed_count: int, unjudged_count: int = 0
) -> QualityReport:
    """Return how right the answers with these scores were; a request that failed has not passed."""
    passed_count = sum(score >= expected.least_score - _SCORE_SLACK for score in scores)
    judged_count = len(scores) + failed_count
    return QualityReport(
        method=expected.method,
        score=_described(scores),
        pass_score=expected.least_score,
        passed_count=passed_count,
        judged_count=judged_count,
        unjudged_count=unjudged_count,
        reliability_ratio=rounded(passed_count / judged_count) if judged_count else None,
    )


@dataclass(frozen=True)
class _Fold:
    """What is computed of one point; no number is computed twice."""

    blocks: tuple[Block, ...]
    goodput: GoodputLimits | None
    expected: Expectation | None

    @property
    def point(self) -> Point:
        return self.blocks[0].measured.point

    @cached_property
    def records(self) -> list[RequestRecord]:
        return [record for block in self.blocks for record in block.measured.records]

    @cached_property
    def completed(self) -> list[RequestRecord]:
        return [record for block in self.blocks for record in block.completed]

    @cached_property
    def generations(self) -> list[Generation]:
        return [record.generation for record in self.completed if record.generation is not None]

    @cached_property
    def failed_count(self) -> int:
        return sum(record.status == "failed" for record in self.records)

    @cached_property
    def cut_off_count(self) -> int:
        return sum(record.status == "cut_off" for record in self.records)

    @cached_property
    def timed_blocks(self) -> list[Block]:
        """Those of which the duration counts: with a request that ended, or all where none has one."""
        return [block for block in self.blocks if block.has_ended] or list(self.blocks)

    @cached_property
    def duration_ns(self) -> int:
        return sum(block.duration_ns for block in self.timed_blocks)

    @cached_property
    def output_tokens(self) -> list[int]:
        return [generation.tokens.output_count for generation in self.generations]

    @cached_property
    def input_tokens(self) -> list[int]:
        counts = (generation.tokens.prompt_count for generation in self.generations)
        return [count for count in counts if count is not None]

    @cached_property
    def cached_tokens(self) -> int | None:
        counts = [generation.tokens.cached_count for generation in self.generations]
        known = [count for count in counts if count is not None]
        return sum(known) if known else None

    @cached_property
    def verdicts(self) -> list[bool | None]:
        """Whether each request was good by the limits; None for one of which that cannot be known."""
        if self.goodput is None:
            return []
        judge = GoodputJudge(self.goodput, is_open=self.is_open)
        return [judge.is_good(record) for record in self.records]

    @property
    def good_count(self) -> int | None:
        return None if self.goodput is None else self.verdicts.count(True)

    @property
    def is_open(self) -> bool:
        return self.point.request_rate_per_s is not None

    def from_due_ms(self, elapsed_ms: Callable[[Stamps], float | None]) -> Iterator[float | None]:
        """Yield times of completed requests of an open load that begin when they were due."""
        for record in self.completed if self.is_open else ():
            if record.generation is not None:
                counted_ms = elapsed_ms(record.generation.stamps)
                yield None if counted_ms is None else counted_ms + lateness_ms(record)

    @property
    def opening_records(self) -> list[RequestRecord]:
        """Requests that began a conversation, and those of one turn: what an open load is a rate of."""
        return [record for record in self.records if record.turn == 0]

    @property
    def schedule_delays_ms(self) -> list[float]:
        """How long requests of an open load were due before they had a slot and their turn."""
        records = self.opening_records if self.is_open else ()
        return [(r.ready_ns - r.due_ns) / _NS_PER_MS for r in records if r.ready_ns is not None]

    def achieved_rate_per_s(self) -> float | None:
        """Return how many requests of an open load were sent per second until the last one was."""
        sent_ns = [
            [r.sent_ns for r in block.measured.records if r.sent_ns is not None and r.turn == 0]
            for block in self.blocks
        ]
        elapsed_ns = sum(max(of_block, default=0) for of_block in sent_ns)
        if not self.is_open or elapsed_ns <= 0:
            return None
        return rounded(sum(map(len, sent_ns)) * _NS_PER_SECOND / elapsed_ns)

    @cached_property
    def queue_times_ms(self) -> list[float]:
        """How long completed requests of an open load were due and not sent."""
        if not self.is_open:
            return []
        # A later turn is due when the one before it has ended, and is sent at once.
        records = (record for record in self.completed if record.turn == 0)
        return [(r.sent_ns - r.due_ns) / _NS_PER_MS for r in records if r.sent_ns is not None]

    def per_second(self, amount: float | None) -> float | None:
        """Return the amount over the duration; None where nothing was counted in it."""
        if amount is None or not (self.completed or self.failed_count) or self.duration_ns <= 0:
            return None
        return rounded(amount * _NS_PER_SECOND / self.duration_ns)

    def report(self) -> RunReport:
        point, records = self.point, self.records
        stamps = [generation.stamps for generation in self.generations]
        all_inputs_known = len(self.input_tokens) == len(self.generations)
        total_output, total_input = sum(self.output_tokens), sum(self.input_tokens)
        windows = window_rates_per_s([(b.arrivals, *b.span_ns) for b in self.blocks if b.completed])
        measured = [block.measured for block in self.blocks]
        busiest = (timeline.busiest_second_tokens(block.arrivals, block.span_ns[0]) for block in self.blocks)
        cached_ratio, cached_source = self.cached_input()
        return RunReport(
            index=point.index,
            load="closed" if point.request_rate_per_s is None else "open",
            max_concurrency=point.concurrency,
            request_rate_per_s=point.request_rate_per_s,
            started_at=datetime.fromtimestamp(measured[0].started_at_ms / 1000, UTC),
            duration_s=round(self.duration_ns / _NS_PER_SECOND, DECIMALS),
            num_prompts=len(records),
            num_warmups=sum(each.warmup_count for each in measured),
            completed=len(self.completed),
            failed=self.failed_count,
            cut_off=self.cut_off_count,
            errors_by_class=_errors_by_class(records),
            total_input_tokens=total_input,
            total_output_tokens=total_output,
            total_cached_tokens=self.cached_tokens,
            token_count_source=_token_count_source(self.generations),
            request_throughput_per_s=self.per_second(len(self.completed)),
            output_throughput_tokens_per_s=self.per_second(total_output),
            total_throughput_tokens_per_s=self.per_second(
                total_input + total_output if all_inputs_known else None
            ),
            steady_output_throughput_tokens_per_s=steady_rate_per_s(
                self.blocks, self.mean_tokens_per_chunk() or 0.0
            ),
            output_throughput_windows_tokens_per_s=_in_order(windows),
            goodput_requests_per_s=self.per_second(self.good_count),
            good_ratio=self.good_ratio(),
            ttft_ms=_with_errors(map(formulas.time_to_first_token_ms, stamps)),
            ttfo_ms=_in_order(map(formulas.time_to_first_visible_token_ms, stamps)),
            tpot_ms=_with_errors(map(formulas.time_per_output_token_ms, self.generations)),
            itl_ms=_described(self.gaps_ms()),
            e2el_ms=_with_errors(map(formulas.end_to_end_latency_ms, stamps)),
            client_queue_time_ms=_in_order(self.queue_times_ms),
            output_tokens_per_s_per_user=_with_low_tail(
                map(formulas.output_tokens_per_s_per_user, self.generations)
            ),
            input_tokens=_described(map(float, self.input_tokens)),
            output_tokens=_described(map(float, self.output_tokens)),
            mean_tokens_per_chunk=self.mean_tokens_per_chunk(),
            max_concurrent_requests=self.max_concurrent(),
            max_output_tokens_per_s=rounded(
                max((most for most in busiest if most is not None), default=None)
            ),
            stream_buffered_count=sum(record.is_buffered for record in self.completed),
            prompt_truncated_count=sum(record.is_truncated for record in self.completed),
            server_side=server_side_of(self.generations),
            rtt_ms=rounded(_median(each.rtt_ms for each in measured)),
            loop_lag_p99_ms=rounded(self.loop_lag_p99_ms()),
            quality=self.quality(),
            warnings=list(self.warnings()),
            server=self.server_load,
            warning_evidence=dict(self.server_warnings),
            steady_output_throughput_windows_tokens_per_s=self.steady_windows(),
            resent_count=sum(generation.resent_count for generation in self.generations),
            achieved_request_rate_per_s=self.achieved_rate_per_s(),
            schedule_delay_ms=_in_order(self.schedule_delays_ms),
            good_count=self.good_count,
            bad_count=None if self.goodput is None else self.verdicts.count(False),
            client_process_count=max(each.process_count for each in measured),
            client_processor_ratio=rounded(self.processor_ratio()),
            blocks=self.block_reports(),
            ttft_from_due_ms=_with_errors(self.from_due_ms(formulas.time_to_first_token_ms)),
            e2el_from_due_ms=_with_errors(self.from_due_ms(formulas.end_to_end_latency_ms)),
            turns=self.turn_reports(),
            cached_input_ratio=cached_ratio,
            cached_input_source=cached_source,
        )

    def max_concurrent(self) -> int:
        return max(timeline.max_concurrent(block.measured.records) for block in self.blocks)

    @cached_property
    def server_load(self) -> ServerLoad | None:
        return server_load_of(
            [reading for block in self.blocks for reading in block.measured.server_readings]
        )

    @cached_property
    def server_warnings(self) -> Mapping[str, float]:
        return server_warnings(self.server_load)

    def has_cache_hits(self) -> bool:
        """Return whether a good part of the prompts came from the server's cache, as answers or metrics tell."""
        if not self.has_conversations:
            return (self.cached_input()[0] or 0.0) > CACHE_HIT_RATIO
        # Later turns are meant to find the earlier ones in the cache.
        openings = [each.generation for each in self.opening_records if each.generation is not None]
        return (cached_ratio_of(openings) or 0.0) > CACHE_HIT_RATIO

    @property
    def has_conversations(self) -> bool:
        return any(record.conversation is not None for record in self.records)

    def cached_input(self) -> tuple[float | None, Literal["usage", "metrics"] | None]:
        """Return the share of the prompts' tokens that came from the server's cache, and who told it."""
        ratio = cached_ratio_of(self.generations)
        if ratio is not None:
            return ratio, "usage"
        told_ratio = None if self.server_load is None else self.server_load.prefix_cache_hit_ratio
        return told_ratio, None if told_ratio is None else "metrics"

    def turn_reports(self) -> list[TurnReport] | None:
        """Return the numbers of each turn, where there are conversations."""
        if not self.has_conversations:
            return None
        turns = range(1 + max(record.turn for record in self.records))
        return [_turn_report(turn, [each for each in self.records if each.turn == turn]) for turn in turns]

    def is_underloaded(self) -> bool:
        """Return whether a closed load never had as many requests under way as its name says."""
        return not self.is_open and self.max_concurrent() < self.point.concurrency

    def loop_lag_p99_ms(self) -> float | None:
        """Return the largest of all blocks: percentiles cannot be added."""
        lags_ms = (block.measured.loop_lag_p99_ms for block in self.blocks)
        return max((lag_ms for lag_ms in lags_ms if lag_ms is not None), default=None)

    def processor_ratio(self) -> float | None:
        """Return the largest of all blocks."""
        ratios = (block.measured.processor_ratio for block in self.blocks)
        return max((ratio for ratio in ratios if ratio is not None), default=None)

    def is_client_overloaded(self) -> bool:
        """Return whether RUNE itself was too late, or too busy, for its stamps to be trusted."""
        lag_ms, ratio = self.loop_lag_p99_ms() or 0.0, self.processor_ratio() or 0.0
        return lag_ms > LOOP_LAG_LIMIT_MS or ratio > PROCESSOR_LIMIT_RATIO

    def is_cut_short(self) -> bool:
        """Return whether the time ended before the requests did: what a block leaves, the next one asks."""
        last = self.blocks[-1].measured
        return last.unsent_count > 0 or any(record.status == "cut_off" for record in last.records)

    def was_model_reloaded(self) -> bool:
        """Return whether the server loaded the model for a measured request, by its own word."""
        loads_ms = [
            g.server_timings.load_ms for g in self.generations if g.server_timings.load_ms is not None
        ]
        # Looking for a model that is loaded takes Ollama up to a few hundred milliseconds, each time alike.
        usual_ms = sorted(loads_ms)[(len(loads_ms) - 1) // 2] if len(loads_ms) > 1 else 0.0
        return max(loads_ms, default=0.0) > max(RELOAD_MS, RELOAD_RATIO * usual_ms)

    def has_few_pieces(self) -> bool:
        """Return whether half of the answers came in so few pieces that their time per token is rough."""
        long = [g for g in self.generations if g.tokens.output_count >= SHORT_ANSWER_TOKENS]
        few = sum(formulas.count_bursts(g.chunk_arrivals_ns) < FEW_PIECES for g in long)
        return bool(few) and 2 * few >= len(long)

    def has_few_waves(self) -> bool:
        """Return whether ramp and drain of a closed load are a large share of it."""
        concurrency = self.point.concurrency
        if self.is_open or concurrency == 1:
            return False
        if len(self.completed) < timeline.FEW_WAVES * concurrency:
            return True
        # Each block has a ramp and a drain of its own.
        steady_ns = sum(block.steady_ns for block in self.blocks)
        return len(self.blocks) > 1 and steady_ns < MIN_STEADY_RATIO * self.duration_ns

    def steady_windows(self) -> Distribution | None:
        tokens_per_chunk = self.mean_tokens_per_chunk() or 0.0
        spans = [
            (block.steady_arrivals(tokens_per_chunk), *block.steady_window_ns)
            for block in self.blocks
            if block.steady_window_ns is not None
        ]
        return _in_order(window_rates_per_s(spans))

    def block_reports(self) -> list[BlockReport] | None:
        """Return each block's own figures; None for a point that was one run."""
        if len(self.blocks) == 1:
            return None
        tokens_per_chunk = self.mean_tokens_per_chunk() or 0.0
        return [block.report(tokens_per_chunk) for block in self.blocks]

    def good_ratio(self) -> float | None:
        judged_count = len(self.verdicts) - self.verdicts.count(None)
        return rounded(self.verdicts.count(True) / judged_count) if judged_count else None

    def mean_tokens_per_chunk(self) -> float | None:
        streamed = [generation for generation in self.generations if generation.chunk_arrivals_ns]
        if not streamed:
            return None
        token_count = sum(generation.tokens.output_count for generation in streamed)
        return rounded(token_count / sum(len(generation.chunk_arrivals_ns) for generation in streamed))

    def gaps_ms(self) -> Iterator[float]:
        for generation in self.generations:
            yield from formulas.inter_chunk_latencies_ms(generation.chunk_arrivals_ns)

    def quality(self) -> QualityReport | None:
        if self.expected is None or self.expected.judge is not None:
            return None
        ends = [record for record in self.completed if not record.turns_left]
        scores = [record.score for record in ends if record.score is not None]
        return quality_of(
            self.expected,
            scores,
            failed_count=self.failed_count,
            unjudged_count=len(ends) - len(scores),
        )

    def warnings(self) -> Iterator[str]:
        """Yield the names of `rune.bench.definitions.WARNINGS` that hold."""
        sources = {g.tokens.source.value for g in self.generations}
        outputs = _described(map(float, self.output_tokens))
        delays_ms = self.schedule_delays_ms
        late_count = sum(delay_ms > LATE_ARRIVAL_MS for delay_ms in delays_ms)
        holds = {
            "few_samples": len(self.completed) < FEW_SAMPLES,
            "few_waves": self.has_few_waves(),
            "requests_stalled": any(_is_stalled(generation) for generation in self.generations),
            "errors": self.failed_count > 0,
            "cut_short": self.is_cut_short(),
            "stream_buffered": any(record.is_buffered for record in self.completed),
            "prompt_truncated": any(record.is_truncated for record in self.completed),
            "client_overloaded": self.is_client_overloaded(),
            "concurrency_not_reached": self.is_underloaded(),
            "token_counts_estimated": bool({"chunks", "characters"} & sources),
            "input_tokens_unknown": len(self.input_tokens) < len(self.generations),
            "prefix_cache_hits": self.has_cache_hits(),
            "short_answers": outputs is not None and outputs.median < SHORT_ANSWER_TOKENS,
            "few_pieces": self.has_few_pieces(),
            "reasoning_hidden": any(map(is_reasoning_hidden, self.generations)),
            "empty_answers": any(not (g.text.strip() or g.tool_calls) for g in self.generations),
            "unknown_ends": any(g.finish_reason is FinishReason.OTHER for g in self.generations),
            "arrivals_delayed": bool(late_count) and late_count >= LATE_ARRIVAL_RATIO * len(delays_ms),
            "model_reloaded": self.was_model_reloaded(),
            **dict.fromkeys(self.server_warnings, True),
            "server_throttled": ServerOverloadedError.code in _errors_by_class(self.records),
        }
        return (name for name, is_so in holds.items() if is_so)


def _turn_report(turn: int, records: Sequence[RequestRecord]) -> TurnReport:
    generations = [record.generation for record in records if record.generation is not None]
    stamps, tokens = [each.stamps for each in generations], [each.tokens for each in generations]
    return TurnReport(
        turn=turn,
        num_prompts=len(records),
        completed=len(generations),
        ttft_ms=_in_order(map(formulas.time_to_first_token_ms, stamps)),
        tpot_ms=_in_order(map(formulas.time_per_output_token_ms, generations)),
        e2el_ms=_in_order(map(formulas.end_to_end_latency_ms, stamps)),
        input_tokens=_described(each.prompt_count for each in tokens),
        output_tokens=_described(float(each.output_count) for each in tokens),
        cached_input_ratio=cached_ratio_of(generations),
    )


def _is_stalled(generation: Generation) -> bool:
    """Return whether an answer stood still: for over two seconds, and far longer than between its other chunks."""
    gaps_ns = sorted(later - earlier for earlier, later in pairwise(generation.chunk_arrivals_ns))
    return bool(gaps_ns) and gaps_ns[-1] > max(STALL_NS, STALL_RATIO * gaps_ns[len(gaps_ns) // 2])


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _errors_by_class(records: Sequence[RequestRecord]) -> dict[str, int]:
    counts = Counter(record.error_code or "unknown" for record in records if record.status == "failed")
    return dict(sorted(counts.items()))


def _token_count_source(
    generations: Sequence[Generation],
) -> Literal["usage", "server", "chunks", "characters", "mixed"] | None:
    sources = {generation.tokens.source for generation in generations}
    if len(sources) > 1:
        return "mixed"
    return next((source.value for source in sources), None)


def _described(values: Iterable[float | None]) -> Distribution | None:
    """Return the distribution of the values that are defined, rounded."""
    whole = describe([value for value in values if value is not None])
    if whole is None:
        return None
    return Distribution(
        **{name: rounded(value) if isinstance(value, float) else value for name, value in whole}  # type: ignore[arg-type]  # each as it was
    )


def _in_order(values: Iterable[float | None]) -> Distribution | None:
    """Return the same of values of requests, in their order, with how many independent ones they are worth."""
    known = [value for value in values if value is not None]
    whole = _described(known)
    return whole and whole.model_copy(update={"independent_count": independent_count(known)})


def _with_errors(values: Iterable[float | None]) -> Distribution | None:
    """Return the same of a number whose quantiles are compared."""
    known = [value for value in values if value is not None]
    whole = _in_order(known)
    if whole is None or whole.independent_count is None:
        return whole
    reported = {50: whole.median, 90: whole.p90, 95: whole.p95, 99: whole.p99}
    percents = [percent for percent, value in reported.items() if value is not None]
    errors = quantile_errors(known, percents, whole.independent_count)
    median, p90, p95, p99 = (rounded(errors.get(percent)) for percent in reported)
    return whole.model_copy(
        update={"standard_errors": StandardErrors(median=median, p90=p90, p95=p95, p99=p99)}
    )


def _with_low_tail(values: Iterable[float | None]) -> Distribution | None:
    """Return the same of a number of which the low values are the bad ones."""
    known = [value for value in values if value is not None]
    whole = _in_order(known)
    return whole and whole.model_copy(update={n: rounded(v) for n, v in low_percentiles(known).items()})
