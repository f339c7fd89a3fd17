"""One answer while it is streamed: its chunks, their arrivals, and how it ended.

A chunk is what one frame of the stream holds of the answer. It has content if it holds text, reasoning or a part of
a tool call.
"""

from rune.errors import StreamTruncatedError
from rune.llm.fields import mend_text
from rune.llm.protocol import (
    FinishReason,
    Generation,
    OnChunk,
    ServerTimings,
    Stamps,
    TokenCounts,
    TokenCountSource,
    ToolCall,
)
from rune.llm.thinking import visible_from

_FINISH_REASONS = {
    "stop": FinishReason.STOP,
    "eos": FinishReason.STOP,
    "eos_token": FinishReason.STOP,
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.CONTENT_FILTER,
}

# Reasons of an answer that the server gave up: abort and error are vLLM's; load and unload are Ollama's, and mean
# that nothing was generated.
_GIVEN_UP = frozenset({"abort", "error", "load", "unload"})


class AnswerInProgress:
    """Collects one answer, independently of the server's protocol.

    Parameters
    ----------
    sent_ns, headers_ns
        Of the request, on the clock of all arrivals.
    """

    def __init__(self, *, sent_ns: int, headers_ns: int, on_chunk: OnChunk) -> None:
        self._sent_ns = sent_ns
        self._headers_ns = headers_ns
        self._on_chunk = on_chunk
        self._texts: list[str] = []
        self._reasonings: list[str] = []
        self._arrivals_ns: list[int] = []
        self._text_chars: list[int] = []
        self._reasoning_chars: list[int] = []
        self._has_hidden_reasoning = False
        self._first_chunk_ns: int | None = None
        self._first_visible_ns: int | None = None
        self._has_tool_call = False
        self._finish_word: str | None = None

    @property
    def has_begun(self) -> bool:
        """Whether any chunk has come."""
        return self._first_chunk_ns is not None

    def add_chunk(self, arrived_ns: int) -> None:
        """Note that a chunk has come, with or without content."""
        if self._first_chunk_ns is None:
            self._first_chunk_ns = arrived_ns

    def add_content(self, arrived_ns: int, *, text: str, reasoning: str, has_tool_call: bool) -> None:
        """Note what a chunk holds; one without content takes no part in any timing."""
        if not (text or reasoning or has_tool_call):
            return
        if text:
            self._texts.append(text)
            self._first_visible_ns = self._first_visible_ns or arrived_ns
        if reasoning:
            self._reasonings.append(reasoning)
        self._has_tool_call |= has_tool_call
        self._arrivals_ns.append(arrived_ns)
        self._text_chars.append(len(text))
        self._reasoning_chars.append(len(reasoning))
        self._on_chunk(len(self._arrivals_ns))

    def hide_reasoning(self) -> None:
        """Note that the server keeps a part of the reasoning to itself."""
        self._has_hidden_reasoning = True

    def finish(self, word: str) -> None:
        """Note the finish reason as the server calls it."""
        self._finish_word = word

    def count_tokens(
        self,
        *,
        prompt_count: int | None,
        cached_count: int | None = None,
        reasoning_count: int | None = None,
        usage_count: int | None,
        server_count: int | None = None,
    ) -> TokenCounts:
        """Return the counts; the output's is the first plausible one of usage, timings and chunks.

        A count of 0 beside chunks with content comes from a server that does not count, and is passed over.
        """
        chunk_count = len(self._arrivals_ns)
        output_count, source = chunk_count, TokenCountSource.CHUNKS
        for count, counted_by in (
            (usage_count, TokenCountSource.USAGE),
            (server_count, TokenCountSource.SERVER),
        ):
            if count or (count == 0 and not chunk_count):
                output_count, source = count, counted_by
                break
        return TokenCounts(prompt_count, output_count, cached_count, reasoning_count, source)

    def complete(
        self,
        ended_ns: int,
        tokens: TokenCounts,
        timings: ServerTimings,
        tool_calls: tuple[ToolCall, ...] = (),
    ) -> Generation:
        """Return the finished answer.

        Raises
        ------
        StreamTruncatedError
            No finish reason came, or one which means that the server gave up.
        """
        if self._finish_word is None or self._first_chunk_ns is None:
            raise StreamTruncatedError("The server ended its answer without saying why.")
        arrivals_ns, text = self._arrivals_ns, "".join(self._texts)
        visible_at = visible_from(text)
        return Generation(
            text=mend_text(text[visible_at:]),
            reasoning=mend_text("".join(self._reasonings) + text[:visible_at]),
            finish_reason=self._finish_reason(self._finish_word),
            tokens=tokens,
            stamps=Stamps(
                sent_ns=self._sent_ns,
                headers_ns=self._headers_ns,
                first_chunk_ns=self._first_chunk_ns,
                first_content_ns=arrivals_ns[0] if arrivals_ns else None,
                first_visible_ns=self._first_visible_at(visible_at) if visible_at else self._first_visible_ns,
                last_content_ns=arrivals_ns[-1] if arrivals_ns else None,
                ended_ns=ended_ns,
            ),
            chunk_arrivals_ns=tuple(arrivals_ns),
            server_timings=timings,
            tool_calls=tool_calls,
            chunk_chars=tuple(map(sum, zip(self._text_chars, self._reasoning_chars, strict=True))),
            has_hidden_reasoning=self._has_hidden_reasoning,
        )

    def _first_visible_at(self, visible_at: int) -> int | None:
        """Return when the character of the text came with which the visible answer begins."""
        until = 0
        for chars, arrived_ns in zip(self._text_chars, self._arrivals_ns, strict=True):
            until += chars
            if until > visible_at:
                return arrived_ns
        return None

    def _finish_reason(self, word: str) -> FinishReason:
        if word in _GIVEN_UP:
            raise StreamTruncatedError("The model server gave the answer up before it was complete.")
        reason = _FINISH_REASONS.get(word, FinishReason.OTHER)
        # Ollama always, and vLLM for a named tool, say "stop" after a tool call.
        if reason is FinishReason.STOP and self._has_tool_call:
            return FinishReason.TOOL_CALLS
        return reason
