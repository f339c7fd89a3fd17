"""Converse: its body, checked as the service checks it, and the simulated answer."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from local.simulators.bedrock.catalog import FoundationModel, Json
from local.simulators.bedrock.faults import BedrockError
from local.simulators.bedrock.settings import BedrockSettings
from local.simulators.investigators import Call, Conversation, Message, decide
from local.simulators.ollama.answers import Turn, compose_answer, compose_reasoning, prompt_tokens, tokenize
from local.simulators.ollama.structured import fill_schema

MOST_CALLS = 2
"""Most tools that one turn calls."""

NEEDS_PROFILE = (
    "Invocation of model ID {model} with on-demand throughput isn’t supported."  # noqa: RUF001  # AWS's apostrophe
    " Retry your request with the ID or ARN of an inference profile that contains this model."
)


class _Body(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Message(_Body):
    role: str
    content: list[Json]


class _Limits(_Body):
    maxTokens: int | None = None  # noqa: N815  # AWS's names
    temperature: float | None = None


class _Tools(_Body):
    tools: list[Json]
    toolChoice: Json | None = None  # noqa: N815  # AWS's names


class ConverseBody(_Body):
    """The body of both Converse calls."""

    messages: list[_Message]
    system: list[Json] = []
    inferenceConfig: _Limits = _Limits()  # noqa: N815  # AWS's names
    toolConfig: _Tools | None = None  # noqa: N815  # AWS's names

    @classmethod
    def read(cls, raw: bytes) -> "ConverseBody":
        """Return the body; raises BedrockError (400) when it is invalid."""
        try:
            body = cls.model_validate_json(raw)
        except ValidationError:
            raise refused("Malformed input request, please reformat your input and try again.") from None
        body.check()
        return body

    @property
    def turns(self) -> list[Turn]:
        """All texts of the conversation, for counting."""
        return [
            *(Turn("system", str(block.get("text", ""))) for block in self.system),
            *(Turn(message.role, _text_of(message.content)) for message in self.messages),
        ]

    @property
    def conversation(self) -> Conversation:
        """The chat for a scripted investigator."""
        messages = [Message("system", str(block.get("text", ""))) for block in self.system]
        for message in self.messages:
            results = [block["toolResult"] for block in message.content if "toolResult" in block]
            messages += [Message("tool", _text_of(result.get("content", []))) for result in results]
            rest = [block for block in message.content if "toolResult" not in block]
            uses = [block["toolUse"] for block in rest if "toolUse" in block]
            text = _text_of([block for block in rest if "toolUse" not in block])
            if rest:
                calls = tuple(Call(use["name"], use.get("input") or {}) for use in uses)
                messages.append(Message(message.role, text, calls))
        tools = [] if self.toolConfig is None else self.toolConfig.tools
        return Conversation(messages, [str(tool["toolSpec"]["name"]) for tool in tools])

    @property
    def ends_with_results(self) -> bool:
        """Whether the last message brings results of tools."""
        return any("toolResult" in block for block in self.messages[-1].content)

    def check(self) -> None:
        """Raise BedrockError (400) when the conversation breaks a rule of the service."""
        if not self.messages or self.messages[0].role != "user":
            raise refused(
                "A conversation must start with a user message. Try again with a conversation that starts with a"
                " user message."
            )
        for number, message in enumerate(self.messages):
            if number and message.role == self.messages[number - 1].role:
                raise refused(
                    "A conversation must alternate between user and assistant roles. Make sure the conversation"
                    " alternates between user and assistant roles and try again."
                )
            for place, block in enumerate(message.content):
                if "text" in block and not str(block["text"]).strip():
                    raise refused(
                        f"The text field in the ContentBlock object at messages.{number}.content.{place} is blank."
                        " Add text to the text field, and try again."
                    )
        self._check_tools()

    def _check_tools(self) -> None:
        blocks = [block for message in self.messages for block in message.content]
        if self.toolConfig is None and any("toolUse" in block or "toolResult" in block for block in blocks):
            raise refused(
                "The toolConfig field must be defined when using toolUse and toolResult content blocks."
            )
        for number, message in enumerate(self.messages):
            called = {block["toolUse"]["toolUseId"] for block in message.content if "toolUse" in block}
            following = self.messages[number + 1].content if number + 1 < len(self.messages) else []
            answered = {block["toolResult"]["toolUseId"] for block in following if "toolResult" in block}
            if called != answered:
                missing = ", ".join(sorted(called ^ answered))
                raise refused(
                    f"Expected toolResult blocks at messages.{number + 1}.content for the following Ids: {missing}"
                )


@dataclass(frozen=True, slots=True)
class AnswerEvent:
    """One event of an answer: a delta, or the start of a tool's call.

    Attributes
    ----------
    block
        Number of the content block.
    token_count
        Tokens in it; events without tokens are sent at once.
    """

    block: int
    delta: Json
    start: Json | None = None
    token_count: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: its events, why it ends, and its token counts."""

    events: tuple[AnswerEvent, ...]
    stop_reason: str
    usage: Json

    @property
    def message(self) -> Json:
        """The answer as `converse` returns it, in one message."""
        blocks: dict[int, Json] = {}
        for event in self.events:
            block = blocks.setdefault(event.block, {})
            if event.start:
                block["toolUse"] = {**event.start["toolUse"], "input": ""}
            elif "toolUse" in event.delta:
                block["toolUse"]["input"] += event.delta["toolUse"]["input"]
            elif "text" in event.delta:
                block["text"] = block.get("text", "") + event.delta["text"]
            else:
                told = block.setdefault("reasoningContent", {"reasoningText": {"text": ""}})["reasoningText"]
                for name, value in event.delta["reasoningContent"].items():
                    told[name] = told.get(name, "") + value
        for block in blocks.values():
            if "toolUse" in block:
                block["toolUse"]["input"] = json.loads(block["toolUse"]["input"] or "{}")
        return {"role": "assistant", "content": [blocks[number] for number in sorted(blocks)]}


def find_model(settings: BedrockSettings, model: str) -> FoundationModel:
    """Return the model of an id or ARN; raises BedrockError (400) when it is unknown or cannot chat."""
    found = next((known for known in settings.models if known.answers_to(model, settings.region)), None)
    if found is None:
        raise refused("The provided model identifier is invalid.")
    if not found.writes:
        raise refused(
            "This action doesn't support the model that you provided."
            " Try again with a supported text or chat model."
        )
    if found.needs_profile and model in {found.id, found.arn(settings.region)}:
        raise refused(NEEDS_PROFILE.format(model=model))
    return found


def answer(settings: BedrockSettings, model: FoundationModel, body: ConverseBody) -> Answer:
    """Return the model's answer; raises BedrockError (400) when the model cannot take the question."""
    prompt = "\n".join(turn.content for turn in body.turns)
    prompt_count = len(prompt_tokens(body.turns))
    limit = body.inferenceConfig.maxTokens
    if limit is not None and limit > model.output_tokens:
        raise refused(
            f"The maximum tokens you requested exceeds the model limit of {model.output_tokens}. Try again with a"
            f" maximum tokens value that is lower than {model.output_tokens}."
        )
    if prompt_count > model.context_tokens:
        raise refused("Input is too long for requested model.")
    if body.toolConfig is not None and not model.calls_tools:
        raise refused("This model doesn't support tool use.")
    events = [*_reasoning(settings, model, prompt)]
    written, calls = _choose(settings, model, body, prompt)
    if written:
        block = 1 if events else 0
        events += _cut(settings, written, block, lambda text: {"text": text})
    for number, call in enumerate(calls, start=(events[-1].block + 1) if events else 0):
        events += _call(call, prompt, number)
    kept, is_cut = _limit(events, limit)
    # A call's name is tokens too, also where nothing follows it.
    count = max(sum(event.token_count for event in kept), len(calls))
    cached = min(settings.cached_tokens, prompt_count)
    usage: Json = {
        "inputTokens": prompt_count - cached,
        "outputTokens": count,
        "totalTokens": prompt_count + count,
    }
    if cached:
        usage |= {"cacheReadInputTokens": cached, "cacheWriteInputTokens": 0}
    reason = "max_tokens" if is_cut else "tool_use" if calls else "end_turn"
    return Answer(tuple(kept), reason, usage)


def refused(message: str) -> BedrockError:
    """Return the 400 of an invalid request."""
    return BedrockError(400, "ValidationException", message)


def _text_of(blocks: Sequence[Json]) -> str:
    parts = []
    for block in blocks:
        if "toolResult" in block:
            parts += [
                str(part.get("text", part.get("json", ""))) for part in block["toolResult"].get("content", [])
            ]
        elif "toolUse" in block:
            parts.append(json.dumps(block["toolUse"]["input"]))
        else:
            parts.append(str(block.get("text", "")))
    return " ".join(parts)


def _reasoning(settings: BedrockSettings, model: FoundationModel, prompt: str) -> Iterator[AnswerEvent]:
    if not model.reasons:
        return
    tokens = compose_reasoning(model.id, prompt, token_count=settings.reasoning_tokens)
    yield from _cut(settings, tokens, 0, lambda text: {"reasoningContent": {"text": text}})
    yield AnswerEvent(0, {"reasoningContent": {"signature": "c2ltdWxhdGVk"}})


def _cut(settings: BedrockSettings, tokens: Sequence[str], block: int, write: Any) -> list[AnswerEvent]:  # noqa: ANN401  # a lambda
    step = settings.tokens_per_chunk
    groups = [tokens[at : at + step] for at in range(0, len(tokens), step)]
    return [AnswerEvent(block, write("".join(group)), token_count=len(group)) for group in groups]


def _choose(
    settings: BedrockSettings, model: FoundationModel, body: ConverseBody, prompt: str
) -> tuple[list[str], Sequence[Call]]:
    """Return the tokens of the text, and the calls."""
    decided = decide(model.id, body.conversation)
    if decided is not None:
        return tokenize(decided.text), decided.calls
    config = body.toolConfig
    tools = [] if config is None or body.ends_with_results else config.tools[:MOST_CALLS]
    calls = [_fill(tool["toolSpec"]) for tool in tools]
    is_forced = config is not None and "any" in (config.toolChoice or {})
    if calls and is_forced:
        return [], calls
    return compose_answer(model.id, prompt, token_count=settings.answer_tokens), calls


def _fill(tool: Mapping[str, Any]) -> Call:
    schema = tool.get("inputSchema", {}).get("json", {})
    arguments: Any = fill_schema({"type": "object"} | schema)
    return Call(str(tool["name"]), arguments)


def _call(call: Call, prompt: str, block: int) -> list[AnswerEvent]:
    call_id = "tooluse_" + hashlib.sha256(f"{block} {call.name} {prompt}".encode()).hexdigest()[:22]
    # A call without arguments has no delta at all.
    tokens = tokenize(call.text) if call.broken is not None or call.arguments else []
    start = {"toolUse": {"toolUseId": call_id, "name": call.name}}
    deltas = [AnswerEvent(block, {"toolUse": {"input": token}}, token_count=1) for token in tokens]
    return [AnswerEvent(block, {}, start), *deltas]


def _limit(events: Sequence[AnswerEvent], limit: int | None) -> tuple[list[AnswerEvent], bool]:
    if limit is None:
        return list(events), False
    kept: list[AnswerEvent] = []
    count = 0
    for event in events:
        if event.token_count and count + event.token_count > limit:
            return kept, True
        count += event.token_count
        kept.append(event)
    return kept, False
