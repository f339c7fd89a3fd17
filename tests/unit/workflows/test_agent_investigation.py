"""An investigation as an agent's job: each turn of it is a turn of the job."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from rune.jobs.outcomes import Again, Done
from rune.jobs.record import Kind, StepName
from rune.workflows import clusters
from rune.workflows.agent import AgenticAgent
from rune.workflows.model_servers import Backends
from tests.builders import NOW, FakeClock, a_claimed_job
from tests.measuring import MemoryRecords
from tests.tenant_builders import tenants_with
from tests.unit.agents.investigation.investigating import FakeModel, FakeTools, calling, finding, logs, report
from tests.unit.llm.asking import LOOPBACK
from tests.unit.workflows.turns import a_context, run


@pytest.mark.parametrize("left_seconds", [600, 20], ids=["with time", "with hardly any"])
def test_turns_of_an_investigation_are_turns_of_its_job(
    monkeypatch: pytest.MonkeyPatch, left_seconds: int
) -> None:
    tools, files = FakeTools(), MemoryRecords()
    monkeypatch.setattr(clusters, "open_toolbox", lambda *_args, **_named: tools)
    model = FakeModel(answers=[calling(logs()), calling(report(finding()))])
    steps = AgenticAgent(Backends(model.open, None), tenants_with({}), LOOPBACK, FakeClock(), files).steps
    context = a_context(Kind.AGENTIC_AGENT, agent="kubernetes", cluster="shop")

    first = run(steps, StepName.RUN_AGENT, context)
    assert isinstance(first, Again)
    context.state_json = first.state_json
    context.job = a_claimed_job(
        kind=Kind.AGENTIC_AGENT,
        step=StepName.RUN_AGENT,
        deadline_at=NOW + timedelta(seconds=left_seconds),
        progress=dict(first.progress),
    )
    last = run(steps, StepName.RUN_AGENT, context)

    assert isinstance(last, Done)
    result = json.loads(last.result_json)
    assert dict(first.progress) == {"turns": 1, "tool_calls": 1}
    # What the lease shows while the next turn is taken.
    assert context.progress.items() >= dict(first.progress).items()
    assert "bad_credentials" in result["answer"]
    assert result["metadata"].get("bound") == (None if left_seconds == 600 else "seconds")
    assert result["telemetry"]["tokens"]["total"] == 2 * 1221
    assert {each["phase"] for each in result["telemetry"]["latency"]} >= {"model", "tools"}
    assert result["artifacts"][0]["type"] == "transcript"
    assert len(files.files) == 1
    assert [len(chat.tools) for chat in model.chats] == ([2, 2] if left_seconds == 600 else [2, 1])
