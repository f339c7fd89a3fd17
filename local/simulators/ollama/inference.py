"""`/api/generate`, `/api/chat` and `/api/embed`."""

import math
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass

from local.simulators.ollama.answers import Turn, compose_embedding, tokenize
from local.simulators.ollama.bodies import AskBody, ChatBody, EmbedBody, GenerateBody
from local.simulators.ollama.durations import format_instant, to_nanoseconds
from local.simulators.ollama.errors import OllamaError
from local.simulators.ollama.exchange import Call, Plain, Stream
from local.simulators.ollama.generation import Ending, Piece, Question, answer
from local.simulators.ollama.models import Json, JsonValue
from local.simulators.ollama.options import read_options
from local.simulators.ollama.state import SimulatedOllama
from local.simulators.ollama.store import StoredModel

EMBED_OVERFLOW_TEXT = "the input length exceeds the context length"
SIGNIN_URL = "https://ollama.com/connect?name=simulated&key=none"


@dataclass(frozen=True, slots=True)
class _Form:
    """How one of the two routes writes its objects.

    Attributes
    ----------
    write_piece
        Gives the fields of a piece, also of an empty one.
    has_context
        Whether the last object lists the tokens.
    """

    write_piece: Callable[[Piece], dict[str, JsonValue]]
    has_context: bool


def _omit_zeros(fields: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Return the fields that Go's `omitempty` lets through."""
    return {name: value for name, value in fields.items() if value not in (0, "", None, [], ())}


def _write_generate_piece(piece: Piece) -> dict[str, JsonValue]:
    return {"response": piece.content} | _omit_zeros({"thinking": piece.thinking})


def _write_chat_piece(piece: Piece) -> dict[str, JsonValue]:
    optional = _omit_zeros({"thinking": piece.thinking, "tool_calls": list(piece.tool_calls)})
    return {"message": {"role": "assistant", "content": piece.content} | optional}


_GENERATE = _Form(_write_generate_piece, has_context=True)
_CHAT = _Form(_write_chat_piece, has_context=False)


async def generate(state: SimulatedOllama, call: Call) -> Plain | Stream:
    """Answer `/api/generate`; an empty prompt loads the model, or unloads it.

    Raises
    ------
    OllamaError
        400, 401 or 404: the request cannot be answered by this model.
    """
    body = GenerateBody.read(call.raw)
    turns = [Turn("user", body.prompt)]
    if body.system and not body.raw:
        turns.insert(0, Turn("system", body.system))
    model = _find_model(state, body)
    if body.raw and (body.template or body.system):
        raise OllamaError(400, "raw mode does not support template, system, or context")
    needs_insert = ("insert",) if body.suffix else ()
    question = _ask(state, call, body, model, turns=turns if body.prompt else (), needs=needs_insert)
    return await _reply(state, body, question, _GENERATE)


async def chat(state: SimulatedOllama, call: Call) -> Plain | Stream:
    """Answer `/api/chat`; no messages load the model, or unload it.

    Raises
    ------
    OllamaError
        400, 401 or 404: the request cannot be answered by this model.
    """
    return await chat_with(state, call, ChatBody.read(call.raw))


async def chat_with(state: SimulatedOllama, call: Call, body: ChatBody) -> Plain | Stream:
    """Answer a chat whose body is read already; errors as for `chat`.

    Raises
    ------
    OllamaError
        400, 401 or 404: the request cannot be answered by this model.
    """
    if not body.model:
        raise OllamaError(400, "model is required")
    turns = [Turn(message.role, message.text) for message in body.messages]
    needs = ("tools",) if body.tools else ()
    question = _ask(state, call, body, _find_model(state, body), turns=turns, needs=needs)
    return await _reply(state, body, question, _CHAT)


def _find_model(state: SimulatedOllama, body: AskBody | EmbedBody) -> StoredModel:
    if body.model and state.store.parse(body.model).is_cloud:
        raise OllamaError(401, "unauthorized", signin_url=SIGNIN_URL)
    return state.store.find(body.model)


def _ask(
    state: SimulatedOllama,
    call: Call,
    body: AskBody,
    model: StoredModel,
    *,
    turns: Sequence[Turn],
    needs: Sequence[str],
) -> Question:
    capabilities = model.card.capabilities
    is_unload = not turns and body.keep_alive == 0
    can_think = "thinking" in capabilities
    if not is_unload:
        verb = "generate" if isinstance(body, GenerateBody) else "chat"
        if "completion" not in capabilities:
            raise OllamaError(400, f'"{body.model}" does not support {verb}')
        if body.think and not can_think:
            raise OllamaError(400, f'"{body.model}" does not support thinking')
        for capability in needs:
            if capability not in capabilities:
                raise OllamaError(400, f"{model.name.full} does not support {capability}")
    return Question(
        model=model,
        turns=turns,
        options=read_options(body.options, model.card, state.settings),
        keep_alive_seconds=None if body.keep_alive is None else float(body.keep_alive),
        started_seconds=call.started_seconds,
        raw=isinstance(body, GenerateBody) and body.raw,
        # A model that can think does so unless told not to.
        thinks=can_think and body.think is not False,
        truncate=body.truncate,
        shift=body.shift,
        answer_format=body.format,
        tools=body.tools if isinstance(body, ChatBody) else (),
        slow_factor=call.slow_factor,
    )


async def _reply(state: SimulatedOllama, body: AskBody, question: Question, form: _Form) -> Plain | Stream:
    if question.turns:
        lines = _write_lines(state, body.model, question, form)
        return Stream(lines, fold=None if body.stream else _fold)
    if question.keep_alive_seconds == 0:
        state.runners.expire(question.model.card)
        return Plain(_write_bare(state, body.model, form, "unload"))
    async with state.runners.use(
        question.model.name.shortest,
        question.model.card,
        question.options.load,
        keep_alive_seconds=question.keep_alive_seconds,
        slow_factor=question.slow_factor,
    ):
        return Plain(_write_bare(state, body.model, form, "load"))


def _write_bare(state: SimulatedOllama, shown_name: str, form: _Form, reason: str) -> Json:
    return {
        "model": shown_name,
        "created_at": format_instant(state.timeline.now()),
        **form.write_piece(Piece()),
        "done": True,
        "done_reason": reason,
    }


async def _write_lines(
    state: SimulatedOllama, shown_name: str, question: Question, form: _Form
) -> AsyncGenerator[Json]:
    held: tuple[dict[str, JsonValue], ...] = ()
    async for part in answer(state, question):
        line: dict[str, JsonValue] = {
            "model": shown_name,
            "created_at": format_instant(state.timeline.now()),
        }
        if isinstance(part, Piece) and part.tool_calls and state.settings.calls_on_last_line:
            held = part.tool_calls
        elif isinstance(part, Piece):
            yield line | form.write_piece(part) | {"done": False}
        else:
            last = Piece(tool_calls=held)
            yield line | form.write_piece(last) | {"done": True} | _write_ending(part, form)


def _write_ending(ending: Ending, form: _Form) -> dict[str, JsonValue]:
    context: list[JsonValue] = list(ending.context) if form.has_context else []
    return _omit_zeros(
        {
            "done_reason": ending.reason,
            "context": context,
            "total_duration": to_nanoseconds(ending.total_seconds),
            "load_duration": to_nanoseconds(ending.load_seconds),
            "prompt_eval_count": ending.prompt_eval_count,
            "prompt_eval_duration": to_nanoseconds(ending.prompt_eval_seconds),
            "eval_count": ending.eval_count,
            "eval_duration": to_nanoseconds(ending.eval_seconds),
        }
    )


def _fold(lines: Sequence[Json]) -> Json:
    """Return the last line with the texts and calls of all; a truncated answer stays `done: false`."""
    if not lines:
        return {}
    last = dict(lines[-1])
    if "message" not in last:
        thinking = "".join(str(line.get("thinking", "")) for line in lines)
        response = "".join(str(line["response"]) for line in lines)
        return last | {"response": response} | _omit_zeros({"thinking": thinking})
    messages = [message for line in lines if isinstance(message := line["message"], dict)]
    calls: list[JsonValue] = []
    for message in messages:
        made = message.get("tool_calls")
        calls += made if isinstance(made, list) else []
    folded: dict[str, JsonValue] = {
        "role": "assistant",
        "content": "".join(str(message["content"]) for message in messages),
    }
    thinking = "".join(str(message.get("thinking", "")) for message in messages)
    return last | {"message": folded | _omit_zeros({"thinking": thinking, "tool_calls": calls})}


async def embed(state: SimulatedOllama, call: Call) -> Plain | Stream:
    """Answer `/api/embed`; no input loads the model.

    Raises
    ------
    OllamaError
        400, 401 or 404: wrong input, too long with `truncate: false`, no such model. 503: too many wait.
    """
    body = EmbedBody.read(call.raw)
    texts = _read_inputs(body.input)
    model = _find_model(state, body)
    options = read_options(body.options, model.card, state.settings)
    timeline = state.timeline
    keep_alive_seconds = None if body.keep_alive is None else float(body.keep_alive)
    async with state.runners.use(
        model.name.shortest,
        model.card,
        options.load,
        keep_alive_seconds=keep_alive_seconds,
        slow_factor=call.slow_factor,
    ) as runner:
        load_seconds = timeline.monotonic_seconds() - call.started_seconds
        if not texts:
            return Plain({"model": body.model, "embeddings": []})
        inputs = [tokenize(text) for text in texts]
        context_tokens = options.load.context_tokens
        if not body.truncate and any(len(tokens) > context_tokens for tokens in inputs):
            raise OllamaError(400, EMBED_OVERFLOW_TEXT)
        kept = [tokens[:context_tokens] for tokens in inputs]
        token_count = sum(len(tokens) for tokens in kept)
        async with state.runners.slot(runner):
            await timeline.sleep(token_count / state.settings.prompt_tokens_per_second * call.slow_factor)
    embeddings = [_embed(model, "".join(tokens), body.dimensions) for tokens in kept]
    measures: dict[str, JsonValue] = {
        "total_duration": to_nanoseconds(timeline.monotonic_seconds() - call.started_seconds),
        "load_duration": to_nanoseconds(load_seconds),
        "prompt_eval_count": token_count,
    }
    return Plain({"model": body.model, "embeddings": embeddings} | _omit_zeros(measures))


def _read_inputs(value: object) -> list[str]:
    if value is None or value == "":
        return []
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise OllamaError(400, "invalid input type")
    return texts


def _embed(model: StoredModel, text: str, dimension_count: int) -> list[float]:
    """Return the text's vector, or its first dimensions made of length one again; 0 keeps all."""
    vector = compose_embedding(model.name.key, text, dimension_count=model.card.embedding_length)
    kept = vector[:dimension_count] if dimension_count > 0 else vector
    length = math.hypot(*kept)
    return [value / length for value in kept]
