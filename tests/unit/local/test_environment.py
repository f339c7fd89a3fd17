import json
import subprocess
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from local import environment
from local.emulator import AwsSession
from local.stack import MARKET_COMMAND, Stack, introduce
from local.state import StackState, holding, write_state

STATE = StackState(
    base_url="http://localhost:8080",
    tenant="default",
    token="it's -a $token `with` everything",
    emulator_url="http://127.0.0.1:4566",
    api_id="a",
    table="t",
    bucket="b",
    archive_bucket="b",
    money_queue_url="c",
    inference_queue_url="i",
    notice_queue_url="n",
    event_bus="e",
    inbox_bucket="inbox",
    intake_queue_url="intake",
    intake_topic_arn="topic",
    workflow_queue_url="workflow",
    dead_letter_queue_url="d",
    tenants_path="/rune/local/tenants",
    functions={},
    log_groups={},
    simulators={"ollama": "http://127.0.0.1:1", "vastai": "http://127.0.0.1:2"},
)


def test_variables_are_those_that_clients_read() -> None:
    assert environment.variables_of(STATE) == {
        "RUNE_API_BASE_URL": "http://localhost:8080",
        "RUNE_API_TENANT": "default",
        "RUNE_API_TOKEN": STATE.token,
        "EMULATOR_URL": "http://127.0.0.1:4566",
        "OLLAMA_URL": "http://127.0.0.1:1",
        "VASTAI_URL": "http://127.0.0.1:2",
    }


def test_variables_lead_the_official_client_to_the_simulated_account() -> None:
    found = environment.variables_of(replace(STATE, vastai_key="a-key"))

    assert (found["VAST_URL"], found["VAST_API_KEY"]) == ("http://127.0.0.1:2", "a-key")


@pytest.mark.parametrize(("key", "is_shown"), [("a-key", True), (None, False)])
def test_stack_tells_how_to_look_at_the_simulated_market_but_not_the_key(
    key: str | None, *, is_shown: bool
) -> None:
    lines: list[str] = []

    introduce(Stack(replace(STATE, vastai_key=key), AwsSession("http://127.0.0.1:4566"), ()), lines.append)

    assert any(MARKET_COMMAND in line for line in lines) is is_shown
    assert not any("a-key" in line for line in lines)


def test_variables_hold_no_token_when_the_stack_knows_only_its_hash() -> None:
    assert "RUNE_API_TOKEN" not in environment.variables_of(replace(STATE, token=None))


def test_shell_reads_the_printed_lines_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "stack.json"
    monkeypatch.setenv("STACK_FILE", str(path))
    with holding(path):
        write_state(path, STATE)
        assert environment.main() == 0
    script = capsys.readouterr().out + 'printf %s "$RUNE_API_TOKEN"'

    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True)  # noqa: S603

    assert done.stdout == STATE.token


def test_main_fails_when_no_stack_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "stack.json"
    path.write_text(json.dumps(asdict(STATE)))
    monkeypatch.setenv("STACK_FILE", str(path))

    assert environment.main() == 1
