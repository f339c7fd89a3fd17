"""Processes that end with the stack: each runs under a guard process that ends its whole group.

The guard reads a pipe that only the stack holds open. The end of the stack, also by SIGKILL, closes the pipe; the
guard then ends the process and all its children (the emulator starts a process per busy function).
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Time of a group between SIGTERM and SIGKILL.
GRACE_SECONDS = 4.0
_POLL_SECONDS = 0.2
# The stack waits for its guards a little longer than they wait for their groups.
_STOP_LIMIT_SECONDS = GRACE_SECONDS + 4.0


class NotStartedError(Exception):
    """Raised when a command cannot be run; a retry does not help."""


@dataclass(frozen=True)
class GuardedProcess:
    """A process under guard.

    Parameters
    ----------
    name
        Shown in messages.
    pid
        Of the process, which leads its own group; not of the guard.
    log_path
        File with its output.
    """

    name: str
    pid: int
    log_path: Path
    _guard: subprocess.Popen[bytes]

    def is_running(self) -> bool:
        """Return whether the process runs; its guard ends with it."""
        return self._guard.poll() is None

    def read_log(self) -> str:
        """Return what the process has written so far."""
        return self.log_path.read_text(errors="replace")

    def stop(self) -> None:
        """End the process and its children, and wait until they have ended."""
        if self._guard.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._guard.stdin.close()
        try:
            self._guard.wait(timeout=_STOP_LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self._guard.kill()
            self._guard.wait()


def start_guarded(
    name: str, command: Sequence[str], *, environment: Mapping[str, str], folder: Path, log_path: Path
) -> GuardedProcess:
    """Start a process in `folder` with exactly this environment; it ends with the caller.

    Raises
    ------
    NotStartedError
        The command could not be run; the log says why.
    """
    guard = subprocess.Popen(
        # -P: the guard runs as a file, and modules of its folder must not hide those of the standard library.
        [sys.executable, "-P", str(Path(__file__).resolve()), str(log_path), *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=folder,
        env=dict(environment),
        start_new_session=True,
    )
    if guard.stdin is None or guard.stdout is None:  # pragma: no cover - both are pipes, asked for above
        raise NotStartedError(name)
    with guard.stdout as answer:
        line = answer.readline()
    if not line.strip().isdigit():
        guard.stdin.close()
        guard.wait()
        raise NotStartedError(f"{name} did not start: see {log_path}")
    return GuardedProcess(name, int(line), log_path, guard)


def _end_group(group: int, leader: subprocess.Popen[bytes]) -> None:
    """End the whole group with SIGTERM, and after the grace with SIGKILL."""
    deadline = time.monotonic() + GRACE_SECONDS
    _signal_group(group, signal.SIGTERM)
    while time.monotonic() < deadline:
        leader.poll()  # a dead leader that is not reaped keeps its group alive
        if not _signal_group(group, 0):
            return
        time.sleep(_POLL_SECONDS / 4)
    _signal_group(group, signal.SIGKILL)
    leader.wait()


def _signal_group(group: int, number: int) -> bool:
    """Return whether the group still had a process."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # macOS answers the latter for a group of zombies
        return False
    return True


def _guard(log_path: Path, command: Sequence[str]) -> int:
    """Run the command until it ends or standard input ends; return its exit code."""
    with log_path.open("ab") as log:
        try:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            log.write(f"{error}\n".encode())
            return 1
    print(child.pid, flush=True)
    asked_to_end = False

    def end(_number: int, _frame: object) -> None:
        nonlocal asked_to_end
        asked_to_end = True

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while not asked_to_end and child.poll() is None:
        readable, _, _ = select.select([sys.stdin], [], [], _POLL_SECONDS)
        if readable:  # the end of the pipe: the stack is gone
            break
    _end_group(child.pid, child)
    return child.wait()


if __name__ == "__main__":
    sys.exit(_guard(Path(sys.argv[1]), sys.argv[2:]))
