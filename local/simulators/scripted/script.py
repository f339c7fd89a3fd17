"""The script of an answer, and the record of what was sent."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

type Ending = Literal[
    "complete",  # finish reason, usage, end marker
    "error",  # an error inside the stream; OpenAI's is followed by [DONE], as vLLM's and TGI's is
    "no_marker",  # the stream ends in good order, but without finish reason and end marker
    "cut",  # the connection breaks
    "hang",  # silence until the client leaves
]

type SendKind = Literal["role", "empty", "reasoning", "text", "end"]


@dataclass(frozen=True, slots=True)
class Script:
    """One answer. Times are in milliseconds after the request got a slot.

    Attributes
    ----------
    status
        Anything but 200 is an error, sent at once.
    role_ms, empty_ms
        Times of a chunk that only names the role (OpenAI alone) and of one with an empty text; None for no such
        chunk.
    ttft_ms, gap_ms
        Time of the first chunk with content, and the gap before each next one; a sequence of gaps is repeated.
    output_tokens, tokens_per_chunk
        Tokens in all, and per chunk: ten tokens make four chunks at 2.5, twenty at 0.5.
    reasoning_chunks
        The first so many chunks are reasoning.
    thinking_chunks
        The first so many chunks are text between `<think>` and `</think>`.
    hidden_tokens
        Counted with the others, and never sent.
    chunks_per_segment
        Chunks that are written together, when the last of them is due.
    ending, chunks_before_ending
        How the answer ends, and after how many chunks with content; None for all.
    is_buffered
        Whether everything is written at once, at the end.
    has_usage
        Whether the server reports token counts.
    cached_tokens
        Reported with them; OpenAI alone.
    """

    status: int = 200
    role_ms: float | None = None
    empty_ms: float | None = None
    ttft_ms: float = 20.0
    gap_ms: float | Sequence[float] = 4.0
    output_tokens: int = 10
    tokens_per_chunk: float = 1.0
    reasoning_chunks: int = 0
    thinking_chunks: int = 0
    hidden_tokens: int = 0
    chunks_per_segment: int = 1
    ending: Ending = "complete"
    chunks_before_ending: int | None = None
    is_buffered: bool = False
    has_usage: bool = True
    cached_tokens: int | None = None

    @property
    def chunk_count(self) -> int:
        """Chunks with content."""
        count = max(1, round(self.output_tokens / self.tokens_per_chunk))
        return count if self.chunks_before_ending is None else min(count, self.chunks_before_ending)

    def chunk_times_ms(self) -> Iterator[float]:
        """Yield the time of each chunk with content."""
        gaps = self.gap_ms if isinstance(self.gap_ms, Sequence) else (self.gap_ms,)
        due_ms = self.ttft_ms
        for index in range(self.chunk_count):
            yield due_ms
            due_ms += gaps[index % len(gaps)]


@dataclass(slots=True)
class Exchange:
    """One request and its answer, in nanoseconds of `time.monotonic_ns`, which all processes of a machine share.

    Attributes
    ----------
    connected_ns, received_ns, slot_ns
        When its connection was made, when the whole request had come, and when it got a slot; None for no slot.
    sends
        What was written, and when it was handed to the kernel.
    prompt_tokens
        As reported; at most the server's `context_tokens`.
    cached_tokens
        Of the prompt, as reported; None for a server that does not tell.
    ended_ns
        When the answer was complete, or the client had left.
    """

    prompt: str
    connected_ns: int
    received_ns: int
    slot_ns: int | None = None
    headers_ns: int | None = None
    sends: list[tuple[SendKind, int]] = field(default_factory=list)
    prompt_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int | None = None
    ended_ns: int | None = None
    is_aborted: bool = False

    def times_ns(self, *kinds: SendKind) -> list[int]:
        """Return when chunks of the given kinds were sent."""
        return [sent_ns for kind, sent_ns in self.sends if kind in kinds]
