"""One run of a point, on its own time line.

Runs of one point are minutes apart, in different processes, whose clocks have nothing in common. So their times are
never put on one line: durations and tokens are summed, and no window goes from one run into the next.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

from rune.bench import timeline
from rune.bench.records import MeasuredPoint, RequestRecord
from rune.bench.rounding import DECIMALS, rounded
from rune.contracts import BlockReport

_NS_PER_SECOND = 1_000_000_000


@dataclass(frozen=True)
class Block:
    """A run's own figures; all times are nanoseconds since it began."""

    measured: MeasuredPoint

    @cached_property
    def completed(self) -> list[RequestRecord]:
        """Its requests with an answer."""
        return [record for record in self.measured.records if record.status == "completed"]

    @cached_property
    def has_ended(self) -> bool:
        """Whether a request of it was completed or failed."""
        return any(record.status != "cut_off" for record in self.measured.records)

    @cached_property
    def span_ns(self) -> tuple[int, int]:
        """First sending to the end of the last completed request; of all that failed where none was completed.

        What ends later, as a request that stood still until its timeout, says nothing of how fast the others were.
        """
        records = [r for r in self.measured.records if r.status != "cut_off"] or list(self.measured.records)
        sent = [record.sent_ns for record in records if record.sent_ns is not None]
        if not sent:
            return 0, 0
        return min(sent), max(record.ended_ns for record in self.completed or records)

    @property
    def duration_ns(self) -> int:
        """Length of its span."""
        begin_ns, end_ns = self.span_ns
        return end_ns - begin_ns

    @cached_property
    def arrivals(self) -> list[timeline.TokenArrival]:
        """Output of its completed requests."""
        return [arrival for record in self.completed for arrival in timeline.token_arrivals(record)]

    @cached_property
    def steady_window_ns(self) -> tuple[int, int] | None:
        """When all slots of a closed load were busy; None where they never were, and of an open load."""
        point = self.measured.point
        if point.request_rate_per_s is not None or not self.completed:
            return None
        return timeline.steady_window_ns(self.measured.records, point.concurrency)

    @property
    def steady_ns(self) -> int:
        """Length of that window; 0 where there is none."""
        begin_ns, end_ns = self.steady_window_ns or (0, 0)
        return end_ns - begin_ns

    def steady_arrivals(self, tokens_per_chunk: float) -> list[timeline.TokenArrival]:
        """Return all output within that window, with what came of requests that were cut off."""
        if self.steady_window_ns is None:
            return []
        begin_ns, end_ns = self.steady_window_ns
        arrivals = list(self.arrivals)
        for record in self.measured.records:
            arrivals += timeline.partial_arrivals(record, tokens_per_chunk)
        return [(at_ns, count) for at_ns, count in arrivals if begin_ns <= at_ns <= end_ns]

    def report(self, tokens_per_chunk: float) -> BlockReport:
        """Return what is told of one of several runs of a point."""
        records, duration_ns = self.measured.records, self.duration_ns
        tokens = sum(record.generation.tokens.output_count for record in self.completed if record.generation)
        return BlockReport(
            started_at=datetime.fromtimestamp(self.measured.started_at_ms / 1000, UTC),
            duration_s=round(duration_ns / _NS_PER_SECOND, DECIMALS),
            num_prompts=len(records),
            num_warmups=self.measured.warmup_count,
            completed=len(self.completed),
            failed=sum(record.status == "failed" for record in records),
            cut_off=sum(record.status == "cut_off" for record in records),
            output_throughput_tokens_per_s=_per_second(tokens, duration_ns) if self.completed else None,
            steady_s=round(self.steady_ns / _NS_PER_SECOND, DECIMALS),
            steady_output_throughput_tokens_per_s=_per_second(
                math.fsum(count for _, count in self.steady_arrivals(tokens_per_chunk)), self.steady_ns
            ),
        )


def steady_rate_per_s(blocks: Sequence[Block], tokens_per_chunk: float) -> float | None:
    """Return tokens per second while all slots were busy: tokens of all blocks over their time; None without."""
    tokens = math.fsum(count for block in blocks for _, count in block.steady_arrivals(tokens_per_chunk))
    return _per_second(tokens, sum(block.steady_ns for block in blocks))


def window_rates_per_s(spans: Sequence[tuple[Sequence[timeline.TokenArrival], int, int]]) -> list[float]:
    """Return the tokens per second in some ten windows, nearly equal, none of which lies in two spans.

    Parameters
    ----------
    spans
        Of each run: its output, and where the part of its time that counts begins and ends, in nanoseconds.
    """
    known = [span for span in spans if span[2] > span[1]]
    whole_ns = sum(end_ns - begin_ns for _, begin_ns, end_ns in known)
    rates: list[float] = []
    for arrivals, begin_ns, end_ns in known:
        count = max(1, round(timeline.WINDOW_COUNT * (end_ns - begin_ns) / whole_ns))
        rates += timeline.window_rates_per_s(arrivals, begin_ns, end_ns, count)
    return rates


def _per_second(tokens: float, duration_ns: int) -> float | None:
    return rounded(tokens * _NS_PER_SECOND / duration_ns) if duration_ns > 0 else None
