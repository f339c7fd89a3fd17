"""One answer while it is streamed: its chunks, their arrivals, and how it ended.

A chunk is what one frame of the stream holds of the answer. It has content if it holds text, reasoning or a part of
a tool call.
"""

import re

from rune.errors import BadResponseError, StreamTruncatedError
from rune.llm.counts import ToldCounts, is_believable, reconcile
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

_WORDS = {
    FinishReason.STOP: (
        "stop eos eos_token end_turn end end_of_turn stop_sequence stop_token complete completed finish finished"
    ),
    FinishReason.LENGTH: (
        "length max_tokens max_output_tokens max_new_tokens max_completion_tokens max_length model_length"
        " token_limit model_context_window_exceeded context_length_exceeded context_window_exceeded"
    ),
    FinishReason.TOOL_CALLS: "tool_calls tool_call tool_use function_call function_calls",
    FinishReason.CONTENT_FILTER: (
        "content_filter content_filtered guardrail_intervened refusal safety sensitive recitation blocklist"
        " prohibited_content spii moderation"
    ),
}
_FINISH_REASONS = {word: reason for reason, words in _WORDS.items() for word in words.split()}

_NO_REASON = frozenset({"", "null", "none"})
"""Words that some servers write where no reason is known yet."""

# Of an answer that the server gave up: abort and error are vLLM's, insufficient_system_resource is DeepSeek's; load
# and unload are Ollama's, and mean that nothing was generated. Others say it in words of their own.
_GIVEN_UP = re.compile(
    r"load|unload|.*(?:abort|error|fail|cancel|insufficient|interrupt|timeout|timed_out|overload|unavailable"
    r"|exception|disconnect|preempt|killed).*"
)
_SHOWN_WORD = re.compile(r"[a-z0-9_ -]{1,40}")


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
        self._has_unread = False
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

    @property
    def text(self) -> str:
        """All text so far, with what the model thought aloud in it."""
        return "".join(self._texts)

    def miss_content(self) -> None:
        """Note that a chunk holds something in a shape that cannot be read."""
        self._has_unread = True

    def hide_reasoning(self) -> None:
        """Note that the server keeps a part of the reasoning to itself."""
        self._has_hidden_reasoning = True

    def finish(self, word: str) -> None:
        """Note the finish reason as the server calls it; a word for none is passed over."""
        if word.strip().lower() not in _NO_REASON:
            self._finish_word = word

    def end_unexplained(self) -> None:
        """Note that the server said that the answer has ended, and not why."""
        self._finish_word = self._finish_word or "unexplained"

    @property
    def has_ended(self) -> bool:
        """Whether a finish reason has come."""
        return self._finish_word is not None

    def count_tokens(
        self,
        *,
        prompt_count: int | None,
        cached_count: int | None = None,
        reasoning_count: int | None = None,
        usage_count: int | None,
        server_count: int | None = None,
    ) -> TokenCounts:
        """Return the counts as `counts_of` does, of a server that has no total."""
        told = ToldCounts(prompt_count, usage_count, cached_count, reasoning_count)
        return self.counts_of(reconcile(told), server_count)

    def counts_of(self, told: ToldCounts, server_count: int | None = None) -> TokenCounts:
        """Return the counts; the output's is the first plausible one of usage, timings and chunks.

        Passed over are a count of 0 beside chunks with content, from a server that does not count, and one for
        which there is far too much of both text and chunks.
        """
        chunk_count = len(self._arrivals_ns)
        char_count = sum(self._text_chars) + sum(self._reasoning_chars)
        output_count, source = chunk_count, TokenCountSource.CHUNKS
        for count, counted_by in (
            (told.output_count, TokenCountSource.USAGE),
            (server_count, TokenCountSource.SERVER),
        ):
            if count == 0 and not chunk_count:
                output_count, source = 0, counted_by
                break
            if count and is_believable(count, chunk_count=chunk_count, char_count=char_count):
                output_count, source = count, counted_by
                break
        return TokenCounts(told.prompt_count, output_count, told.cached_count, told.reasoning_count, source)

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
        BadResponseError
            There is nothing in it that can be read, although the server sent something or ended it for a reason
            that is not known.
        """
        if self._finish_word is None or self._first_chunk_ns is None:
            raise StreamTruncatedError("The server ended its answer without saying why.")
        finish_reason = self._finish_reason(self._finish_word)
        if not self._arrivals_ns and self._has_unread:
            raise BadResponseError("The server sent an answer in a shape that RUNE cannot read.")
        # One token may have no text: half a character, or a control token.
        if not self._arrivals_ns and finish_reason is FinishReason.OTHER and tokens.output_count != 1:
            raise BadResponseError(f"The server ended an empty answer{_shown(self._finish_word)}.")
        arrivals_ns, text = self._arrivals_ns, "".join(self._texts)
        visible_at = visible_from(text)
        return Generation(
            text=mend_text(text[visible_at:]),
            reasoning=mend_text("".join(self._reasonings) + text[:visible_at]),
            finish_reason=finish_reason,
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
        word = word.strip().lower()
        reason = _FINISH_REASONS.get(word, FinishReason.OTHER)
        if reason is FinishReason.OTHER and _GIVEN_UP.fullmatch(word):
            raise StreamTruncatedError(
                f"The model server gave the answer up before it was complete{_shown(word)}."
            )
        # Ollama always, and vLLM for a named tool, say "stop" after a tool call.
        if reason is FinishReason.STOP and self._has_tool_call:
            return FinishReason.TOOL_CALLS
        return reason


def _shown(word: str) -> str:
    word = word.strip().lower()
    return f" ({word})" if _SHOWN_WORD.fullmatch(word) else ""
