"""Answering one prompt: load the model, wait for a slot, read the prompt, write the tokens."""

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local.simulators.errors import ServiceError
from local.simulators.investigators import Conversation, Decision, Message, decide
from local.simulators.ollama.answers import (
    Turn,
    compose_answer,
    compose_reasoning,
    fit_turns,
    prompt_tokens,
    tokenize,
)
from local.simulators.ollama.models import JsonValue
from local.simulators.ollama.options import AskOptions
from local.simulators.ollama.runners import Runner
from local.simulators.ollama.settings import OllamaSettings
from local.simulators.ollama.state import SimulatedOllama
from local.simulators.ollama.store import StoredModel
from local.simulators.ollama.structured import compose_json, compose_tool_call
from local.simulators.timing import sleep_until

OVERFLOW_TEXT = "the prompt is longer than the context length currently available to the model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A prompt and how to answer it.

    Attributes
    ----------
    keep_alive_seconds
        None leaves the model's own.
    answer_format
        `json`, a JSON schema, or empty for plain text.
    started_seconds
        When the request came in, on the monotonic clock.
    messages
        The chat for a scripted investigator, with calls and results apart.
    """

    model: StoredModel
    turns: Sequence[Turn]
    options: AskOptions
    keep_alive_seconds: float | None
    started_seconds: float
    thinks: bool = False
    truncate: bool = True
    shift: bool = True
    answer_format: str | Mapping[str, Any] = ""
    tools: Sequence[Mapping[str, Any]] = ()
    messages: Sequence[Message] = ()
    slow_factor: float = 1.0

    @property
    def prompt(self) -> str:
        """The text that determines the answer."""
        return "\n".join(turn.content for turn in self.turns)


@dataclass(frozen=True, slots=True)
class AnswerChunk:
    """One chunk of an answer; each part may be empty."""

    content: str = ""
    thinking: str = ""
    tool_calls: tuple[dict[str, JsonValue], ...] = ()
    token_count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerStats:
    """Counts and times of an answer, which its last line reports.

    Attributes
    ----------
    reason
        stop or length.
    prompt_eval_seconds
        Of tokens that were not cached; the count includes cached ones.
    """

    reason: str
    total_seconds: float
    load_seconds: float
    prompt_eval_count: int
    prompt_eval_seconds: float
    eval_count: int
    eval_seconds: float


async def answer(state: SimulatedOllama, question: Question) -> AsyncGenerator[AnswerChunk | AnswerStats]:
    """Yield the answer at the model's pace, its counts and times last.

    Raises
    ------
    ServiceError
        503: too many requests wait. 400: the prompt does not fit and may not be cut.
    """
    timeline, settings = state.timeline, state.settings
    model = question.model
    async with state.runners.use(
        model.name.shortest,
        model.card,
        question.options.load,
        keep_alive_seconds=question.keep_alive_seconds,
        slow_factor=question.slow_factor,
    ) as runner:
        load_seconds = timeline.monotonic_seconds() - question.started_seconds
        prompt = _fit_prompt(question, runner)
        async with state.runners.slot(runner):
            cached_count = runner.cached_count(prompt)
            read_seconds = (
                (len(prompt) - cached_count) / settings.prompt_tokens_per_second * question.slow_factor
            )
            written_from_seconds = timeline.monotonic_seconds() + read_seconds
            await sleep_until(timeline, written_from_seconds)
            chunks, reason = _plan(
                question, settings, room_tokens=runner.options.context_tokens - len(prompt)
            )
            token_seconds = question.slow_factor / settings.output_tokens_per_second
            token_count = 0
            for chunk in chunks:
                token_count += chunk.token_count
                await sleep_until(timeline, written_from_seconds + token_count * token_seconds)
                yield chunk
            yield AnswerStats(
                reason=reason,
                total_seconds=timeline.monotonic_seconds() - question.started_seconds,
                load_seconds=load_seconds,
                prompt_eval_count=len(prompt),
                prompt_eval_seconds=read_seconds,
                eval_count=token_count,
                eval_seconds=token_count * token_seconds,
            )


def _fit_prompt(question: Question, runner: Runner) -> list[str]:
    context_tokens = runner.options.context_tokens
    if question.truncate:
        tokens = prompt_tokens(fit_turns(question.turns, context_tokens))
    else:
        tokens = prompt_tokens(question.turns)
    if len(tokens) <= context_tokens:
        return tokens
    if not (question.truncate and question.shift):
        raise ServiceError(400, OVERFLOW_TEXT)
    # One message alone is too long: its start is dropped, and the answer does not say so.
    return tokens[-context_tokens:]


def _plan(question: Question, settings: OllamaSettings, *, room_tokens: int) -> tuple[list[AnswerChunk], str]:
    """Return the whole answer in chunks, and why it ends there."""
    name, prompt = question.model.name.key, question.prompt
    thinking = (
        compose_reasoning(name, prompt, token_count=settings.thinking_tokens) if question.thinks else []
    )
    calls, written = _choose(question, settings)
    content = tokenize(written)
    limits = [question.options.output_limit_tokens] if question.options.output_limit_tokens else []
    if not question.shift:
        limits.append(room_tokens)
    called = tokenize(json.dumps(calls)) if calls else []
    needed_count = len(thinking) + len(content) + len(called)
    limit = min([needed_count, *limits])
    chunks = [
        AnswerChunk(thinking=text, token_count=count) for text, count in _cut(thinking[:limit], settings)
    ]
    content_limit = limit - len(thinking[:limit])
    chunks += [
        AnswerChunk(text, token_count=count) for text, count in _cut(content[:content_limit], settings)
    ]
    if calls and limit == needed_count:
        # Calls arrive whole.
        chunks.append(AnswerChunk(tool_calls=calls, token_count=len(called)))
    return chunks, "length" if limit < needed_count else "stop"


def _choose(question: Question, settings: OllamaSettings) -> tuple[tuple[dict[str, JsonValue], ...], str]:
    """Return the calls and the text of an answer."""
    names = [str(tool.get("function", {}).get("name", "")) for tool in question.tools]
    decided = decide(question.model.name.model, Conversation(question.messages, names))
    if decided is not None:
        return _write_decision(decided, len(question.messages))
    # After a tool's answer the model answers in text, so a loop of calls ends.
    if not (question.turns and question.turns[-1].role == "tool"):
        call = compose_tool_call(question.tools, question.prompt)
        if call is not None:
            return (call,), ""
    return (), _write(question, settings)


def _write_decision(decided: Decision, number: int) -> tuple[tuple[dict[str, JsonValue], ...], str]:
    """Return the calls and the text of a scripted answer.

    Ollama parses what a model writes, so a broken call stays text.
    """
    broken = [call.whole_text for call in decided.calls if call.broken is not None]
    whole = [call for call in decided.calls if call.broken is None]
    calls: tuple[dict[str, JsonValue], ...] = tuple(
        {
            "id": f"call_{number}_{index}",
            "function": {"index": index, "name": call.name, "arguments": json.loads(call.text)},
        }
        for index, call in enumerate(whole)
    )
    return calls, "\n".join(filter(None, [decided.text, *broken]))


def _write(question: Question, settings: OllamaSettings) -> str:
    if question.answer_format:
        written = compose_json(question.answer_format)
    else:
        name = question.model.name.key
        tokens = compose_answer(
            name, question.prompt, token_count=settings.answer_tokens, seed=question.options.seed
        )
        written = "".join(tokens)
    ends = [position for text in question.options.stop if (position := written.find(text)) >= 0]
    return written[: min(ends)] if ends else written


def _cut(tokens: Sequence[str], settings: OllamaSettings) -> list[tuple[str, int]]:
    """Return the texts of chunks with their token counts."""
    size = settings.tokens_per_chunk
    groups = [tokens[start : start + size] for start in range(0, len(tokens), size)]
    return [("".join(group), len(group)) for group in groups]
