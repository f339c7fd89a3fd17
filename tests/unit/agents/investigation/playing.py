"""Recorded cases, investigated by scripted models."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from typing import override

from local.simulators.investigators import Call, Conversation, Message, decide
from rune.agents.investigation.limits import Limits
from rune.agents.investigation.state import State
from rune.agents.investigation.turns import Ended, take_turn
from rune.bench.diagnoses import Expected, Grade, grade
from rune.kubernetes.access import Cluster
from rune.kubernetes.findings import Report
from rune.kubernetes.recorded.case import Case
from rune.kubernetes.recorded.cluster import RecordedCluster
from rune.kubernetes.recorded.loading import load_suite
from rune.kubernetes.tools.toolbox import KubernetesToolbox
from rune.llm.protocol import ChatRequest, Generation, OnChunk, ToolCall
from tests.fake_model_server import GENERATION, FakeModelServer

BEGAN = datetime(2000, 1, 1, tzinfo=UTC)
MOST_TURNS = 60


@cache
def suite() -> Sequence[Case]:
    return load_suite("kubernetes-classics")


def case_named(case_id: str) -> Case:
    return next(case for case in suite() if case.id == case_id)


class ScriptedModel(FakeModelServer):
    """Answers as the investigator of the model's name would, without a wire between."""

    @override
    async def chat(self, request: ChatRequest, on_chunk: OnChunk) -> Generation:
        self.chats.append(request)
        messages = [
            Message(
                each.role.value,
                each.content,
                tuple(Call(call.name, call.arguments or {}) for call in each.tool_calls),
            )
            for each in request.messages
        ]
        decided = decide(request.model, Conversation(messages, [tool.name for tool in request.tools]))
        assert decided is not None
        calls = tuple(
            ToolCall(
                f"call{len(messages)}x{number}",
                call.name,
                None if call.broken else dict(call.arguments),
                call.text,
            )
            for number, call in enumerate(decided.calls)
        )
        return replace(GENERATION, text=decided.text, tool_calls=calls)


@dataclass
class Played:
    report: Report
    state: State
    grade: Grade
    model: ScriptedModel = field(repr=False)


def expected_of(cluster: RecordedCluster) -> Expected:
    stage = cluster.stage
    expected = stage.expected
    return Expected(expected.status, expected.findings, stage.red_herrings, stage.owners)


def play(
    case: Case, script: str, *, seed: int = 0, within: Cluster | None = None, repeats_turns: bool = False
) -> Played:
    """Return what an investigation came to; with `repeats_turns` each turn is lost once, and taken again."""
    recorded = RecordedCluster(case, seed)
    model = ScriptedModel()
    tools = KubernetesToolbox(within or recorded, now=lambda: recorded.stage.world.now)

    async def go() -> Played:
        state = State(question=case.ask, model=f"investigator-{script}", nonce="7f3a", began_at=BEGAN)
        for _ in range(MOST_TURNS):
            kept = state.model_dump_json()
            if repeats_turns:
                await take_turn(state, model, tools, Limits(), BEGAN)
            turn = await take_turn(State.model_validate_json(kept), model, tools, Limits(), BEGAN)
            state = turn.state
            if isinstance(turn, Ended):
                graded = grade(expected_of(recorded), turn.report)
                return Played(turn.report, state, graded, model)
        raise AssertionError("the investigation did not end")

    return asyncio.run(go())
