"""The file that describes the running stack, and the lock that shows whether it runs."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO


class StackRunsError(Exception):
    """Raised when a running stack uses the same file; stop it, or use another file."""


@dataclass(frozen=True)
class StackState:
    """A running stack, as in `.local/stack.json`.

    Parameters
    ----------
    base_url
        Address of the API.
    tenant, token
        Credentials of a caller; the token is None when the stack got only hashes.
    archive_bucket
        Where a line is kept of each job that has ended.
    emulator_url
        AWS endpoint; access key and secret are `test`, the region is us-east-1.
    event_bus
        Name of the bus with RUNE's events.
    inbox_bucket, intake_queue_url, intake_topic_arn, workflow_queue_url
        Where other services put what is to become jobs: in the bucket for the tenant that the key names, elsewhere
        for the tenant here.
    intake_queue_urls, failure_queue_urls
        What has arrived, and what was refused, by way: drop, bus, queue, topic, workflow, and of what was refused
        invoke.
    tenants_path
        Path of the tenants' documents in the emulator's SSM.
    functions, log_groups
        Names, by role: api, worker-money, worker-inference, worker-load, janitor, notifier, trigger, invoke.
    simulators
        Addresses, by name: ollama, bedrock, vastai.
    vastai_key
        Of the account with the simulated Vast.ai; None where there is none.
    pids
        Process ids, by name: stack (also the proxy), emulator, and each simulator.
    """

    base_url: str
    tenant: str
    token: str | None
    emulator_url: str
    api_id: str
    table: str
    bucket: str
    archive_bucket: str
    money_queue_url: str
    inference_queue_url: str
    notice_queue_url: str
    dead_letter_queue_url: str
    event_bus: str
    inbox_bucket: str
    intake_queue_url: str
    intake_topic_arn: str
    workflow_queue_url: str
    tenants_path: str
    functions: dict[str, str]
    log_groups: dict[str, str]
    intake_queue_urls: dict[str, str] = field(default_factory=dict)
    failure_queue_urls: dict[str, str] = field(default_factory=dict)
    simulators: dict[str, str] = field(default_factory=dict)
    vastai_key: str | None = None
    pids: dict[str, int] = field(default_factory=dict)


@contextlib.contextmanager
def holding(path: Path) -> Iterator[None]:
    """Hold the file for one stack: others are refused, and a dead stack's file is removed.

    Raises
    ------
    StackRunsError
        Another stack holds the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _lock_path(path).open("a") as lock:
        if not _try_lock(lock):
            raise StackRunsError(
                f"a stack runs already ({path} tells where): stop it, or name another file with STACK_FILE=…"
            )
        path.unlink(missing_ok=True)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def write_state(path: Path, state: StackState) -> None:
    """Replace the file atomically, readable by its owner alone because it holds a token."""
    draft = path.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(asdict(state), file, indent=2)
        file.write("\n")
    draft.replace(path)


def read_state(path: Path) -> StackState | None:
    """Return the running stack; None without one, also when a dead stack left its file."""
    if not path.exists() or not _is_held(path):
        return None
    return StackState(**json.loads(path.read_text()))


def _lock_path(path: Path) -> Path:
    return path.with_suffix(".lock")


def _is_held(path: Path) -> bool:
    if not _lock_path(path).exists():
        return False
    with _lock_path(path).open("a") as lock:
        return not _try_lock(lock)


def _try_lock(lock: IO[str]) -> bool:
    # The system releases the lock at any death of its process; a process id could belong to another process.
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
