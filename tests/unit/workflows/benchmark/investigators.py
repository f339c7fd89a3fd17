"""Scripted investigators on two small cases, turn by turn."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, override

from rune.contracts import BenchmarkRequest
from rune.contracts.diagnoses import DiagnosisReport
from rune.jobs.outcomes import Outcome
from rune.jobs.suites import digest_of, to_json
from rune.kubernetes.recorded.loading import parse_case
from rune.llm.protocol import ChatRequest, FinishReason, Generation, OnChunk, ToolCall
from rune.workflows.benchmark.exercises import Exercise, open_exercise
from rune.workflows.benchmark.suite_state import planned_runs, suite_state_in
from tests.builders import TENANT, a_benchmark_request
from tests.fake_model_server import GENERATION, FakeModelServer
from tests.unit.workflows.benchmark.sweeps import Bench, report_of

_CRASH = "back-off 5m0s restarting failed container=app pod=catalog_shop({uid})"

CASES: list[dict[str, Any]] = [
    {
        "id": "crash",
        "base": "shop-3-nodes",
        "now": "2026-11-29T14:21:00Z",
        "ask": "Is something wrong in the namespace shop?",
        "changes": [
            {
                "patch": "Deployment/shop/catalog",
                "with": {
                    "pods": {
                        "waiting": {"app": ["CrashLoopBackOff", _CRASH]},
                        "lastState": {"app": {"exitCode": 1, "started": "-130s", "finished": "-126s"}},
                        "restartCount": 9,
                    }
                },
            }
        ],
        "expect": {
            "status": "unhealthy",
            "findings": [{"cause": "app_crash", "entities": ["Deployment/shop/catalog"]}],
        },
    },
    {
        "id": "well",
        "base": "shop-3-nodes",
        "now": "2026-11-29T14:21:00Z",
        "ask": "What is unhealthy?",
        "expect": {"status": "healthy"},
    },
]
CASES_JSON = to_json(CASES)
VERSION = digest_of(CASES_JSON)
EXERCISES = {case["id"]: parse_case(case) for case in CASES}


def a_suite_request(**overrides: object) -> dict[str, object]:
    """Return a request as a job keeps it."""
    kept = {
        "question": "mine",
        "suite": "mine",
        "suite_version": VERSION,
        "cases": ["crash", "well"],
        "runs": 2,
        "max_turns": 5,
        "max_tool_calls": 10,
        "max_tokens": 50_000,
    }
    return a_benchmark_request(**{**kept, **overrides})


def calling(name: str, arguments: Mapping[str, object]) -> Generation:
    text = json.dumps(arguments)
    call = ToolCall(f"c{zlib.crc32((name + text).encode())}", name, dict(arguments), text)
    return replace(GENERATION, text="", finish_reason=FinishReason.TOOL_CALLS, tool_calls=(call,))


def reporting(status: str, *findings: Mapping[str, object]) -> Generation:
    told = {"status": status, "summary": "So it is.", "findings": [dict(each) for each in findings]}
    return calling("report_findings", told)


@dataclass
class ScriptedInvestigator(FakeModelServer):
    """Reads the overview, then reports as its `way` says.

    Attributes
    ----------
    way
        `good` reports what is right, `guesser` always the same, `silent` nothing, `looper` reads on and on.
    exercise
        The run that it is at, which the test says.
    """

    way: str = "good"
    exercise: Exercise | None = None

    @override
    async def chat(self, request: ChatRequest, on_chunk: OnChunk) -> Generation:
        self.chats.append(request)
        if self.error is not None:
            raise self.error
        read = [message.content for message in request.messages if message.tool_call_id]
        if self.way == "silent":
            return replace(GENERATION, text="")
        if not read or (self.way == "looper" and len(request.tools) > 1):
            return calling("cluster_overview", {})
        if self.way == "looper":
            return reporting("undetermined")
        # A mark and the result's header come before its text.
        quote = re.findall(r"[A-Za-z0-9][A-Za-z0-9 /:-]{8,40}", read[0].split("\n", 2)[2])[0]
        evidence = [{"result": "E1", "quote": quote}]
        if self.way == "guesser":
            return reporting(
                "unhealthy",
                {
                    "cause": "oom_killed",
                    "entities": ["Deployment/shop/cart"],
                    "because": "Most often it is.",
                    "confidence": "high",
                    "evidence": evidence,
                },
            )
        assert self.exercise is not None
        expected = self.exercise.expected
        return reporting(
            expected.status.value,
            *(
                {
                    "cause": each.cause.value,
                    "entities": list(each.entities),
                    "because": "It says so.",
                    "confidence": "high",
                    "evidence": evidence,
                }
                for each in expected.findings
            ),
        )


@dataclass
class Trial(Bench):
    """A job with a suite; the investigator is told which run it is at."""

    server: ScriptedInvestigator = field(default_factory=ScriptedInvestigator)
    suites: dict[tuple[str, ...], str] = field(
        default_factory=lambda: {(TENANT, "mine", VERSION): CASES_JSON}
    )

    @override
    def turn(
        self, request: Mapping[str, object], left_seconds: float = 870.0, **overrides: object
    ) -> Outcome:
        plan = planned_runs(BenchmarkRequest.model_validate(request, context="stored"))
        state = suite_state_in(self.state_json, None)
        done = len(state.runs) if state else 0
        if done < len(plan):
            self.server.exercise = open_exercise(EXERCISES[plan[done][0]], plan[done][1])
        return super().turn(request, left_seconds, **overrides)


def diagnosis_of(outcome: Outcome) -> DiagnosisReport:
    found = report_of(outcome).diagnosis
    assert found is not None
    return found
