"""Answering one prompt: load, wait for a turn, read the prompt, write token by token."""

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from local.simulators.ollama.answers import (
    Turn,
    compose_answer,
    compose_reasoning,
    fit_turns,
    prompt_tokens,
    token_ids,
    tokenize,
)
from local.simulators.ollama.errors import OllamaError
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
    raw
        Whether the prompt goes to the model without a chat's markers.
    keep_alive_seconds
        None leaves the model's own.
    answer_format
        `json`, a JSON schema, or empty for plain text.
    started_seconds
        When the request came in, on the monotonic clock.
    """

    model: StoredModel
    turns: Sequence[Turn]
    options: AskOptions
    keep_alive_seconds: float | None
    started_seconds: float
    raw: bool = False
    thinks: bool = False
    truncate: bool = True
    shift: bool = True
    answer_format: str | Mapping[str, Any] = ""
    tools: Sequence[Mapping[str, Any]] = ()
    slow_factor: float = 1.0

    @property
    def prompt(self) -> str:
        """The text that decides the answer."""
        return "\n".join(turn.content for turn in self.turns)


@dataclass(frozen=True, slots=True)
class Piece:
    """One chunk of an answer; each part may be empty."""

    content: str = ""
    thinking: str = ""
    tool_calls: tuple[dict[str, JsonValue], ...] = ()
    token_count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What the last object of an answer tells.

    Attributes
    ----------
    reason
        stop or length.
    prompt_eval_seconds
        For the tokens that were not cached, while the count includes them.
    context
        Numbers of all tokens, prompt and answer.
    """

    reason: str
    total_seconds: float
    load_seconds: float
    prompt_eval_count: int
    prompt_eval_seconds: float
    eval_count: int
    eval_seconds: float
    context: tuple[int, ...] = field(repr=False)


async def answer(state: SimulatedOllama, question: Question) -> AsyncGenerator[Piece | Ending]:
    """Yield the answer at the model's pace, its ending last.

    Raises
    ------
    OllamaError
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
            cached_count = runner.cached_count(prompt) if settings.prompt_cache else 0
            read_seconds = (
                (len(prompt) - cached_count) / settings.prompt_tokens_per_second * question.slow_factor
            )
            written_from_seconds = timeline.monotonic_seconds() + read_seconds
            await sleep_until(timeline, written_from_seconds)
            pieces, reason = _plan(
                question, settings, room_tokens=runner.options.context_tokens - len(prompt)
            )
            token_seconds = question.slow_factor / settings.output_tokens_per_second
            token_count = 0
            for piece in pieces:
                token_count += piece.token_count
                await sleep_until(timeline, written_from_seconds + token_count * token_seconds)
                yield piece
            text = "".join(piece.thinking + piece.content for piece in pieces)
            yield Ending(
                reason=reason,
                total_seconds=timeline.monotonic_seconds() - question.started_seconds,
                load_seconds=load_seconds,
                prompt_eval_count=len(prompt),
                prompt_eval_seconds=read_seconds,
                eval_count=token_count,
                eval_seconds=token_count * token_seconds,
                context=tuple(token_ids([*prompt, *tokenize(text)])),
            )


def _fit_prompt(question: Question, runner: Runner) -> list[str]:
    context_tokens = runner.options.context_tokens
    if question.raw:
        tokens = tokenize(question.prompt)
    elif question.truncate:
        tokens = prompt_tokens(fit_turns(question.turns, context_tokens))
    else:
        tokens = prompt_tokens(question.turns)
    if len(tokens) <= context_tokens:
        return tokens
    if not (question.truncate and question.shift):
        raise OllamaError(400, OVERFLOW_TEXT)
    # One message alone is too long: its start is dropped, and nobody is told.
    return tokens[-context_tokens:]


def _plan(question: Question, settings: OllamaSettings, *, room_tokens: int) -> tuple[list[Piece], str]:
    """Return the whole answer in pieces, and why it ends there."""
    name, prompt = question.model.name.key, question.prompt
    thinking = (
        compose_reasoning(name, prompt, token_count=settings.thinking_tokens) if question.thinks else []
    )
    call = _choose_tool_call(question)
    written = "" if call else _write(question, settings)
    content = tokenize(written)
    limits = [question.options.output_limit_tokens] if question.options.output_limit_tokens else []
    if not question.shift:
        limits.append(room_tokens)
    called = tokenize(json.dumps(call)) if call else []
    needed_count = len(thinking) + len(content) + len(called)
    limit = min([needed_count, *limits])
    pieces = [Piece(thinking=text, token_count=count) for text, count in _cut(thinking[:limit], settings)]
    content_limit = limit - len(thinking[:limit])
    pieces += [Piece(text, token_count=count) for text, count in _cut(content[:content_limit], settings)]
    if call and limit == needed_count:
        # A call arrives whole, however many tokens it took to write.
        pieces.append(Piece(tool_calls=(call,), token_count=len(called)))
    return pieces, "length" if limit < needed_count else "stop"


def _choose_tool_call(question: Question) -> dict[str, JsonValue] | None:
    # Once a tool has answered, the model answers in words, so a loop of calls ends.
    if question.turns and question.turns[-1].role == "tool":
        return None
    return compose_tool_call(question.tools, question.prompt)


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
    """Return texts with their token counts; a piece that is to come empty leaves its text to the next."""
    size, interval = settings.tokens_per_chunk, settings.empty_chunk_interval
    groups = [tokens[start : start + size] for start in range(0, len(tokens), size)]
    pieces, held = [], ""
    for number, group in enumerate(groups, start=1):
        text = held + "".join(group)
        is_empty = bool(interval) and number % interval == 0 and number < len(groups)
        held = text if is_empty else ""
        pieces.append(("" if is_empty else text, len(group)))
    return pieces
