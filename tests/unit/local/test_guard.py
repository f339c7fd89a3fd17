"""The guard, with real processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from local.guard import GuardedProcess, NotStartedError, start_guarded
from local.settings import ROOT

# A process that starts another one, which is deaf to SIGTERM, and tells its id.
PARENT_OF_A_DEAF_CHILD = (
    "import subprocess, sys, time\n"
    "deaf = 'import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    " print(1, flush=True); time.sleep(60)'\n"
    "child = subprocess.Popen([sys.executable, '-c', deaf], stdout=subprocess.PIPE)\n"
    "child.stdout.readline(); print(child.pid, flush=True); time.sleep(60)\n"
)


def start(code: str, folder: Path) -> GuardedProcess:
    return start_guarded(
        "test",
        [sys.executable, "-u", "-c", code],
        environment=os.environ,
        folder=ROOT,
        log_path=folder / "test.log",
    )


def wait_until_gone(pid: int, *, limit_seconds: float = 15.0) -> bool:
    deadline = time.monotonic() + limit_seconds
    while time.monotonic() < deadline:
        state = subprocess.run(  # noqa: S603 - our own command
            ["ps", "-o", "stat=", "-p", str(pid)],  # noqa: S607 - where ps lives differs
            capture_output=True,
            text=True,
            check=False,
        ).stdout.strip()
        if not state or state.startswith("Z"):
            return True
        time.sleep(0.05)
    return False


def read_pid(path: Path) -> int:
    deadline = time.monotonic() + 15.0
    while time.monotonic() < deadline:
        if path.exists() and path.read_text().endswith("\n"):
            return int(path.read_text())
        time.sleep(0.02)
    raise AssertionError("the process did not tell its id")


def test_stop_ends_the_process_and_what_it_started(tmp_path: Path) -> None:
    process = start(PARENT_OF_A_DEAF_CHILD, tmp_path)
    grandchild = read_pid(process.log_path)
    assert process.is_running()
    process.stop()
    assert not process.is_running()
    assert wait_until_gone(process.pid)
    assert wait_until_gone(grandchild)


def test_process_ends_when_its_starter_is_killed(tmp_path: Path) -> None:
    starter_code = (
        "import os, sys, time; from pathlib import Path; from local.guard import start_guarded\n"
        "process = start_guarded('test', [sys.executable, '-c', 'import time; time.sleep(60)'],"
        " environment=os.environ, folder=Path('.'), log_path=Path(sys.argv[1]))\n"
        "print(process.pid, flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-c", starter_code, str(tmp_path / "test.log")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        starter.send_signal(signal.SIGKILL)
    assert wait_until_gone(pid)


def test_end_of_the_process_is_seen(tmp_path: Path) -> None:
    process = start("print('done')", tmp_path)
    assert wait_until_gone(process.pid)
    process.stop()
    assert not process.is_running()
    assert process.read_log() == "done\n"


def test_start_says_where_to_look_when_the_command_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotStartedError, match=r"see .*test\.log"):
        start_guarded(
            "test",
            ["/not/there"],
            environment=os.environ,
            folder=ROOT,
            log_path=tmp_path / "test.log",
        )
