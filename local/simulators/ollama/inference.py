"""`/api/chat`, and `/api/generate` as far as it loads and unloads models."""

from collections.abc import AsyncGenerator, Sequence

from local.simulators.errors import ServiceError
from local.simulators.investigators import Message
from local.simulators.ollama.answers import Turn
from local.simulators.ollama.bodies import AskBody, ChatBody, GenerateBody
from local.simulators.ollama.durations import format_instant, to_nanoseconds
from local.simulators.ollama.errors import SignInError
from local.simulators.ollama.generation import AnswerChunk, AnswerStats, Question, answer
from local.simulators.ollama.models import Json, JsonValue
from local.simulators.ollama.options import read_options
from local.simulators.ollama.route import OllamaCall, streamed, whole
from local.simulators.ollama.state import SimulatedOllama
from local.simulators.ollama.store import StoredModel
from local.simulators.route import Reply, Stream, Whole


def _omit_zeros(fields: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Return the fields that Go's `omitempty` lets through."""
    return {name: value for name, value in fields.items() if value not in (0, "", None, [], ())}


async def generate(state: SimulatedOllama, call: OllamaCall) -> Whole:
    """Answer `/api/generate`: load the model, or with `keep_alive` 0 unload it.

    Raises
    ------
    ServiceError
        400: a prompt, which is not simulated here. 400, 401 or 404: the model cannot be loaded.
    """
    body = GenerateBody.read(call.raw)
    model = _find_model(state, body)
    if body.prompt:
        raise ServiceError(400, "the simulator answers prompts at /api/chat alone")
    return await _load_or_unload(state, body, _ask(state, call, body, model), {"response": ""})


async def chat(state: SimulatedOllama, call: OllamaCall) -> Reply:
    """Answer `/api/chat`; without messages the model is loaded or unloaded.

    Raises
    ------
    ServiceError
        400, 401 or 404: the request cannot be answered by this model.
    """
    body = ChatBody.read(call.raw)
    if body.messages:
        return chat_stream(state, call, body)
    if not body.model:
        raise ServiceError(400, "model is required")
    question = _ask(state, call, body, _find_model(state, body))
    return await _load_or_unload(state, body, question, _write_chunk(AnswerChunk()))


def chat_stream(state: SimulatedOllama, call: OllamaCall, body: ChatBody) -> Stream[Json]:
    """Return the answer to a chat with messages.

    Raises
    ------
    ServiceError
        400, 401 or 404: the request cannot be answered by this model.
    """
    if not body.model:
        raise ServiceError(400, "model is required")
    turns = [Turn(message.role, message.text) for message in body.messages]
    messages = [message.as_message() for message in body.messages]
    question = _ask(state, call, body, _find_model(state, body), turns=turns, messages=messages)
    return streamed(_write_lines(state, body.model, question), None if body.stream else _fold)


def _find_model(state: SimulatedOllama, body: AskBody) -> StoredModel:
    if body.model and state.store.parse(body.model).is_cloud:
        raise SignInError
    return state.store.find(body.model)


def _ask(
    state: SimulatedOllama,
    call: OllamaCall,
    body: AskBody,
    model: StoredModel,
    *,
    turns: Sequence[Turn] = (),
    messages: Sequence[Message] = (),
) -> Question:
    capabilities = model.card.capabilities
    can_think = "thinking" in capabilities
    tools = body.tools if isinstance(body, ChatBody) else []
    if turns or body.keep_alive != 0:
        verb = "chat" if isinstance(body, ChatBody) else "generate"
        if "completion" not in capabilities:
            raise ServiceError(400, f'"{body.model}" does not support {verb}')
        if body.think and not can_think:
            raise ServiceError(400, f'"{body.model}" does not support thinking')
        if tools and "tools" not in capabilities:
            raise ServiceError(400, f"{model.name.full} does not support tools")
    return Question(
        model=model,
        turns=turns,
        options=read_options(body.options, model.card, state.settings),
        keep_alive_seconds=None if body.keep_alive is None else float(body.keep_alive),
        started_seconds=call.started_seconds,
        # A model that can think does so unless told not to.
        thinks=can_think and body.think is not False,
        truncate=body.truncate,
        shift=body.shift,
        answer_format=body.format,
        tools=tools,
        messages=messages,
        slow_factor=call.slow_factor,
    )


async def _load_or_unload(
    state: SimulatedOllama, body: AskBody, question: Question, empty: dict[str, JsonValue]
) -> Whole:
    reason = "load"
    if question.keep_alive_seconds == 0:
        state.runners.expire(question.model.card)
        reason = "unload"
    else:
        async with state.runners.use(
            question.model.name.shortest,
            question.model.card,
            question.options.load,
            keep_alive_seconds=question.keep_alive_seconds,
            slow_factor=question.slow_factor,
        ):
            pass
    return whole(_begin_line(state, body.model) | empty | {"done": True, "done_reason": reason})


def _begin_line(state: SimulatedOllama, shown_name: str) -> dict[str, JsonValue]:
    return {"model": shown_name, "created_at": format_instant(state.timeline.now())}


def _write_chunk(chunk: AnswerChunk) -> dict[str, JsonValue]:
    optional = _omit_zeros({"thinking": chunk.thinking, "tool_calls": list(chunk.tool_calls)})
    return {"message": {"role": "assistant", "content": chunk.content} | optional}


async def _write_lines(state: SimulatedOllama, shown_name: str, question: Question) -> AsyncGenerator[Json]:
    held: tuple[dict[str, JsonValue], ...] = ()
    async for part in answer(state, question):
        line = _begin_line(state, shown_name)
        if isinstance(part, AnswerStats):
            last = _write_chunk(AnswerChunk(tool_calls=held))
            yield line | last | {"done": True} | _write_stats(part)
        elif part.tool_calls and state.settings.calls_on_last_line:
            held = part.tool_calls
        else:
            yield line | _write_chunk(part) | {"done": False}


def _write_stats(stats: AnswerStats) -> dict[str, JsonValue]:
    return _omit_zeros(
        {
            "done_reason": stats.reason,
            "total_duration": to_nanoseconds(stats.total_seconds),
            "load_duration": to_nanoseconds(stats.load_seconds),
            "prompt_eval_count": stats.prompt_eval_count,
            "prompt_eval_duration": to_nanoseconds(stats.prompt_eval_seconds),
            "eval_count": stats.eval_count,
            "eval_duration": to_nanoseconds(stats.eval_seconds),
        }
    )


def _fold(lines: Sequence[Json]) -> Json:
    """Return the last line with the texts and calls of all; a truncated answer stays `done: false`."""
    if not lines:
        return {}
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
    return dict(lines[-1]) | {"message": folded | _omit_zeros({"thinking": thinking, "tool_calls": calls})}
