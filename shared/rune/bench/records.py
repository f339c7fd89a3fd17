"""One measured request: what all numbers are computed from, and a line of the records' file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from rune.bench.server_load import ServerReading
from rune.errors import RuneError
from rune.llm.protocol import Generation

type RecordStatus = Literal["completed", "failed", "cut_off"]


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One measured request.

    Attributes
    ----------
    number
        From 0, in the order in which requests of the point became due.
    prompt_index
        Which prompt of the workload was asked.
    due_ns, sent_ns, ended_ns
        Monotonic nanoseconds since the point began (`sent_ns` of a request that was never sent is None). A closed
        load's request is due when its slot is free.
    status
        `cut_off`: broken off at the end of the point's time.
    error_code
        Of a failed one, such as `server_timeout`.
    generation
        Of a completed one.
    prompt_chars
        Length of the prompt with its number.
    is_buffered, is_truncated
        See `stream_buffered_count` and `prompt_truncated_count` of `rune.contracts.RunReport`.
    score
        0 to 1, where the answer was judged.
    conversation, turn, turns_left
        Number of the first request of its conversation (None for a prompt of one turn); which of its answered turns
        it is, from 0; and how many follow.
    ready_ns
        When it had its slot and its turn, since the point began; a connection may have had to be opened after that.
        None where it never had them.
    partial_arrivals_ns
        Of one that was cut off: when its chunks with content were read, since the point began.
    """

    number: int
    prompt_index: int
    due_ns: int
    sent_ns: int | None
    ended_ns: int
    status: RecordStatus
    prompt_chars: int
    error_code: str | None = None
    generation: Generation | None = None
    is_buffered: bool = False
    is_truncated: bool = False
    score: float | None = None
    partial_arrivals_ns: tuple[int, ...] = ()
    ready_ns: int | None = None
    conversation: int | None = None
    turn: int = 0
    turns_left: int = 0


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a workload.

    Attributes
    ----------
    concurrency
        Most requests under way at a time.
    request_rate_per_s
        Of an open load; None for a closed one.
    """

    index: int
    concurrency: int
    request_rate_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class MeasuredPoint:
    """A point with all that was measured at it.

    Attributes
    ----------
    started_at_ms
        Wall clock, milliseconds since 1970-01-01 UTC, for correlation only.
    records
        By number; warm-up is not among them.
    warmup_count, warmup_output_tokens
        Requests before the point, and all output tokens that were paid for and not measured.
    rtt_ms
        Median time of a TCP handshake; None where it could not be measured.
    loop_lag_p99_ms
        How late the event loop was, of several the latest; None where it was not watched long enough.
    unsent_count
        Requests that had not become due when the point ended, and are in no record.
    first_errors
        By its code, the first error of each kind that requests failed with.
    processor_ratio
        Processor time of the process that put the load, of several the busiest one, as a ratio of the time: 1 is
        one whole processor. None for less than half a second.
    process_count
        How many processes put the load.
    server_readings
        What the server said of its load meanwhile; those of each block of the point from `before` to `after`.
    """

    point: Point
    started_at_ms: int
    records: tuple[RequestRecord, ...]
    warmup_count: int
    warmup_output_tokens: int
    rtt_ms: float | None
    loop_lag_p99_ms: float | None
    unsent_count: int = 0
    first_errors: Mapping[str, RuneError] = field(default_factory=dict)
    processor_ratio: float | None = None
    process_count: int = 1
    server_readings: tuple[ServerReading, ...] = ()
