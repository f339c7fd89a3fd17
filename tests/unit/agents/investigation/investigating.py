"""A model that answers as it is told, tools that return what they are told, and the loop between both."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import override

from rune.agents.investigation.limits import Limits
from rune.agents.investigation.state import State
from rune.agents.investigation.turns import Ended, Going, Turn, take_turn
from rune.agents.tools import ToolResult
from rune.errors import RuneError
from rune.kubernetes.findings import Report
from rune.llm.protocol import ChatRequest, FinishReason, Generation, OnChunk, ToolCall, ToolSpec
from tests.fake_model_server import GENERATION, FakeModelServer

AT = datetime(2026, 11, 30, 9, tzinfo=UTC)
NONCE = "5f1c9a77"
LOG_LINE = "FATAL: database db.shop refuses the password"

NO_LIMITS = Limits()

GENERATED = replace(GENERATION, tokens=replace(GENERATION.tokens, prompt_count=1200))

type Answer = Generation | RuneError


def call(name: str, arguments: Mapping[str, object] | None = None, *, call_id: str = "") -> ToolCall:
    text = "{" if arguments is None else json.dumps(dict(arguments))
    return ToolCall(call_id or f"c{zlib.crc32((name + text).encode())}", name, arguments, text)


def calling(*calls: ToolCall, text: str = "") -> Generation:
    return replace(GENERATED, text=text, finish_reason=FinishReason.TOOL_CALLS, tool_calls=calls)


def saying(text: str) -> Generation:
    return replace(GENERATED, text=text)


def finding(**changes: object) -> dict[str, object]:
    return {
        "cause": "bad_credentials",
        "entities": ["Deployment/shop/cart"],
        "because": "Its log names the password.",
        "confidence": "high",
        "evidence": [{"result": "E1", "quote": "refuses the   PASSWORD"}],
    } | changes


def report(*findings: Mapping[str, object], **changes: object) -> ToolCall:
    told: dict[str, object] = {
        "status": "unhealthy" if findings else "undetermined",
        "summary": "The cart cannot log in.",
        "findings": [dict(each) for each in findings],
    }
    return call("report_findings", told | changes)


def logs(name: str = "cart") -> ToolCall:
    return call("get_logs", {"name": name})


@dataclass
class FakeModel(FakeModelServer):
    """Gives its answers in turn, and the last one again and again."""

    answers: list[Answer] = field(default_factory=list)

    @override
    async def chat(self, request: ChatRequest, on_chunk: OnChunk) -> Generation:
        self.chats.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, RuneError):
            raise answer
        return answer


@dataclass
class FakeTools:
    """Returns a log of each workload; with `errors` it raises these first."""

    scope: Callable[[Mapping[str, object]], object] = dict
    body: Callable[[Mapping[str, object]], str] = lambda arguments: f"{arguments.get('name')}: {LOG_LINE}"
    errors: list[RuneError] = field(default_factory=list)
    ran: list[tuple[str, Mapping[str, object]]] = field(default_factory=list)
    specs: tuple[ToolSpec, ...] = (ToolSpec("get_logs", "Logs.", {"type": "object"}),)

    async def run(
        self, name: str, arguments: Mapping[str, object], *, result_id: str, max_bytes: int
    ) -> ToolResult:
        if self.errors:
            raise self.errors.pop(0)
        self.ran.append((name, arguments))
        head = json.dumps({"id": result_id, "scope": self.scope(arguments), "as_of": f"now {len(self.ran)}"})
        return ToolResult(result_id, f"{head}\n{self.body(arguments)}"[:max_bytes])

    async def aclose(self) -> None:
        return None


def begin(**changes: object) -> State:
    return State.model_validate(
        {"question": "What is wrong?", "model": "m", "nonce": NONCE, "began_at": AT} | changes
    )


@dataclass
class Investigation:
    """A whole investigation; each state goes through JSON, as between two workers."""

    model: FakeModel
    tools: FakeTools
    report: Report
    state: State
    turns: int

    @property
    def last_messages(self) -> Sequence[str]:
        return [each.content for each in self.model.chats[-1].messages]


def turn(
    state: State,
    model: FakeModel,
    tools: FakeTools,
    limits: Limits = NO_LIMITS,
    *,
    after_seconds: float = 0,
    spent_usd: Decimal | None = None,
) -> Turn:
    now = AT + timedelta(seconds=after_seconds)
    return asyncio.run(take_turn(state, model, tools, limits, now, spent_usd=spent_usd))


def investigate(
    *answers: Answer,
    tools: FakeTools | None = None,
    limits: Limits = NO_LIMITS,
    state: State | None = None,
    seconds_per_turn: float = 0,
    usd_per_turn: str = "0",
) -> Investigation:
    model, tools = FakeModel(answers=[*answers]), tools or FakeTools()
    state = state or begin()
    for number in range(100):
        done = turn(
            state,
            model,
            tools,
            limits,
            after_seconds=number * seconds_per_turn,
            spent_usd=number * Decimal(usd_per_turn),
        )
        state = State.model_validate_json(done.state.model_dump_json())
        if isinstance(done, Ended):
            return Investigation(model, tools, done.report, state, number + 1)
        assert isinstance(done, Going)
    raise AssertionError("the investigation did not end")
