"""What a scripted answer does and when, and what it really did."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

type Ending = Literal[
    "complete",  # finish reason, usage, end marker
    "error",  # an error inside the stream; OpenAI's is followed by [DONE], as vLLM's and TGI's is
    "no_marker",  # the stream is closed in good order, but without finish reason and end marker
    "cut",  # the connection breaks
    "hang",  # silence until the client leaves
]

type SendKind = Literal["role", "empty", "reasoning", "text", "end"]


@dataclass(frozen=True, slots=True)
class Script:
    """One answer. All times are in milliseconds from when the request has a slot; those of pieces exclude none.

    Attributes
    ----------
    status
        Other than 200: an error with that status, at `headers_ms`.
    headers_ms
        When the head of the answer is sent; None sends it with the first event.
    role_ms, empty_ms
        When a piece that only names the role comes, and one with an empty text; None for none of it. OpenAI only
        for the role.
    ttft_ms, gap_ms
        When the first piece with content comes, and the gap to each next one; a tuple is repeated.
    output_tokens, tokens_per_chunk
        Tokens in all, and how many a piece carries: 2.5 makes four pieces of ten tokens, 0.5 twenty.
    reasoning_chunks
        So many first pieces are reasoning.
    chunks_per_segment
        Pieces held back until there are so many, then written at once.
    ending, pieces_before_ending
        How the answer ends, and after how many pieces with content; None after all.
    is_buffered
        Everything is written at the end, at once.
    has_usage
        Whether the server tells token counts.
    cached_tokens
        Told beside them; OpenAI only.
    """

    status: int = 200
    headers_ms: float | None = None
    role_ms: float | None = None
    empty_ms: float | None = None
    ttft_ms: float = 20.0
    gap_ms: float | tuple[float, ...] = 4.0
    output_tokens: int = 10
    tokens_per_chunk: float = 1.0
    reasoning_chunks: int = 0
    chunks_per_segment: int = 1
    ending: Ending = "complete"
    pieces_before_ending: int | None = None
    is_buffered: bool = False
    has_usage: bool = True
    cached_tokens: int | None = None

    @property
    def piece_count(self) -> int:
        """Pieces with content."""
        count = max(1, round(self.output_tokens / self.tokens_per_chunk))
        return count if self.pieces_before_ending is None else min(count, self.pieces_before_ending)

    def piece_times_ms(self) -> Iterator[float]:
        """Yield when each piece with content is due."""
        gaps = self.gap_ms if isinstance(self.gap_ms, tuple) else (self.gap_ms,)
        due_ms = self.ttft_ms
        for index in range(self.piece_count):
            yield due_ms
            due_ms += gaps[index % len(gaps)]


@dataclass(slots=True)
class Exchange:
    """What really happened to one request: nanoseconds of `time.monotonic_ns`, which processes of a machine share.

    Attributes
    ----------
    received_ns, slot_ns
        When the whole request had come, and when it had a slot; None where it never got one.
    sends
        What was written, and when it was handed to the kernel.
    prompt_tokens
        As told; with a `context_tokens` of the server no more than that.
    ended_ns
        When the answer was complete, or its client had gone.
    """

    prompt: str
    received_ns: int
    slot_ns: int | None = None
    headers_ns: int | None = None
    sends: list[tuple[SendKind, int]] = field(default_factory=list)
    prompt_tokens: int = 0
    output_tokens: int = 0
    ended_ns: int | None = None
    is_aborted: bool = False

    def times_ns(self, *kinds: SendKind) -> list[int]:
        """Return when pieces of the given kinds were sent."""
        return [sent_ns for kind, sent_ns in self.sends if kind in kinds]
