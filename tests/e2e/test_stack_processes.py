"""The stack as a program: it says in one line why it does not start, and leaves nothing behind when it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from local.settings import ROOT
from local.stack import Stack
from local.state import StackState, read_state
from tests.e2e.processes import Process, descendants_of, wait_until_gone
from tests.e2e.waiting import wait_until

COMMAND = [sys.executable, "-m", "local.stack"]


def environment(state_path: Path, **variables: str) -> dict[str, str]:
    return {**os.environ, "PORT": "0", "STACK_FILE": str(state_path), **variables}


@contextmanager
def stack_process(state_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run `python -m local.stack`; whatever the block does, it is gone afterwards."""
    with (state_path.parent / "output").open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own command
            COMMAND, cwd=ROOT, env=environment(state_path), stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=60.0)


def wait_until_up(process: subprocess.Popen[bytes], state_path: Path) -> StackState:
    def look() -> StackState | None:
        assert process.poll() is None, (state_path.parent / "output").read_text()
        return read_state(state_path)

    state = wait_until(look, "the stack is up", limit_seconds=120.0)
    assert httpx.get(f"{state.base_url}/healthz", trust_env=False, timeout=60.0).status_code == 200
    return state


def listens(url: str) -> bool:
    parts = urlsplit(url)
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", parts.port or 0)) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_the_stack_is_ended(tmp_path: Path, number: signal.Signals) -> None:
    state_path = tmp_path / "stack.json"
    with stack_process(state_path) as process:
        state = wait_until_up(process, state_path)
        started: list[Process] = descendants_of(process.pid)
        process.send_signal(number)
        exit_code = process.wait(timeout=60.0)

        wait_until_gone(started, limit_seconds=30.0)

    # Guards, emulator, simulator, and the function that answered.
    assert len(started) >= 5
    assert {state.pids["emulator"], state.pids["ollama"]} <= {process.pid for process in started}
    assert exit_code == (0 if number is signal.SIGTERM else -signal.SIGKILL)
    # Who is killed cannot remove its file; readers must see through it.
    assert read_state(state_path) is None
    assert state_path.exists() == (number is signal.SIGKILL)
    urls = [state.base_url, state.emulator_url, *state.simulators.values()]
    assert [url for url in urls if listens(url)] == []


def refusal(state_path: Path, **variables: str) -> tuple[int, str]:
    """Return exit code and error output of a stack that does not start."""
    ended = subprocess.run(  # noqa: S603 - our own command
        COMMAND,
        cwd=ROOT,
        env=environment(state_path, **variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=60.0,
    )
    return ended.returncode, ended.stderr


def test_stack_refuses_a_busy_port_in_one_line(stack: Stack, tmp_path: Path) -> None:
    port = urlsplit(stack.state.base_url).port or 0

    answer = refusal(tmp_path / "stack.json", PORT=str(port))

    line = (
        f"error: port {port} is in use: stop what listens there, or choose another one with PORT={port + 1}\n"
    )
    assert answer == (2, line)
    assert list(tmp_path.iterdir()) == []


def test_stack_refuses_the_file_of_a_running_one(stack: Stack, state_path: Path) -> None:
    code, said = refusal(state_path)

    assert (code, said.count("\n")) == (2, 1)
    assert "a stack runs already" in said
    assert read_state(state_path) == stack.state


def test_stack_refuses_tokens_that_it_cannot_read_without_showing_them(tmp_path: Path) -> None:
    code, said = refusal(tmp_path / "stack.json", RUNE_API_TOKENS="just-a-secret-without-its-tenant")

    assert (code, said.count("\n")) == (2, 1)
    assert "just-a-secret" not in said
