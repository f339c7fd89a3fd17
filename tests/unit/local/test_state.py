import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from local.settings import ROOT
from local.state import StackRunsError, StackState, holding, read_state, write_state

STATE = StackState(
    base_url="http://localhost:8080",
    tenant="default",
    token="a-token",
    emulator_url="http://127.0.0.1:4566",
    api_id="abc",
    table="table",
    bucket="bucket",
    archive_bucket="bucket",
    money_queue_url="money",
    inference_queue_url="inference",
    notice_queue_url="notice",
    event_bus="bus",
    inbox_bucket="inbox",
    intake_queue_url="intake",
    intake_topic_arn="topic",
    workflow_queue_url="workflow",
    dead_letter_queue_url="dead",
    tenants_path="/rune/local/tenants",
    functions={"api": "rune-local-api"},
    log_groups={"api": "/aws/lambda/rune-local-api"},
    simulators={"ollama": "http://127.0.0.1:11434"},
    pids={"stack": 1, "emulator": 2},
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".local" / "stack.json"


def test_state_is_read_back_while_the_stack_holds_it(path: Path) -> None:
    with holding(path):
        write_state(path, STATE)
        assert read_state(path) == STATE


def test_state_is_its_owners_alone(path: Path) -> None:
    with holding(path):
        write_state(path, STATE)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_state_is_gone_when_the_stack_stops(path: Path) -> None:
    with holding(path):
        write_state(path, STATE)
    assert not path.exists()
    assert read_state(path) is None


def test_second_stack_is_refused_while_the_first_runs(path: Path) -> None:
    with holding(path):
        write_state(path, STATE)
        with pytest.raises(StackRunsError, match="STACK_FILE"), holding(path):
            pass
        assert read_state(path) == STATE


def test_state_of_a_dead_stack_is_neither_believed_nor_in_the_way(path: Path) -> None:
    killed = (
        "import os, sys; from pathlib import Path; from local.state import holding\n"
        "path = Path(sys.argv[1])\n"
        "with holding(path):\n"
        "    path.write_text('{}'); os._exit(137)\n"
    )
    subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-c", killed, str(path)], cwd=ROOT, check=False
    )
    assert path.exists()
    assert read_state(path) is None
    with holding(path):
        assert not path.exists()


def test_two_stacks_with_files_of_their_own_do_not_meet(tmp_path: Path) -> None:
    one, other = tmp_path / "one.json", tmp_path / "other.json"
    with holding(one), holding(other):
        write_state(one, STATE)
        write_state(other, replace(STATE, api_id="other"))
        assert read_state(one) == STATE
