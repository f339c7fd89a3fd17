"""What the model is told is short, and the same closed list for every model."""

from __future__ import annotations

import json

from rune.agents.investigation import prompt, reporting
from rune.kubernetes.causes import Cause
from rune.llm.tools import write_tools


def test_instructions_and_the_report_leave_room_for_eight_tools() -> None:
    instructions = prompt.system_prompt("0123456789abcdef", reporting.NAME)
    definition = json.dumps(write_tools([reporting.SPEC]), separators=(",", ":"))

    assert len(instructions.encode()) <= 2_500
    assert len(definition.encode()) <= 2_200


def test_report_names_every_cause() -> None:
    findings = reporting.SPEC.parameters["properties"]["findings"]  # type: ignore[index]

    assert findings["items"]["properties"]["cause"]["enum"] == [each.value for each in Cause]
