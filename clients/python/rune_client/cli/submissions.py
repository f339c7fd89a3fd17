"""Which submits of this machine may be under way: one small file for each, so that a job is not paid for twice.

A file is written, and synchronised to the disk, before its job is submitted. It has the idempotency key. If the
program is killed afterwards, the same command finds the key again and submits under it, and the API answers with
the one job. The process that uses a file holds a lock on it. A file without a lock is left from a process that
ended before its job did.

| the program ended | then the same command, within two hours |
|---|---|
| after the file, before the submit | submits under the same key: the first and only job |
| after the submit, before its answer | submits under the same key: the API answers with the job that it has |
| after the answer | follows the job that the file names |
| after the job's end was seen, or after a definite refusal | the file is gone: another job |

The file has no question, no token and no address: the command is known by a hash.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

RESUMED_WITHIN_SECONDS = 7200.0
"""The longest that a submit may be resumed: an hour that a job may run by default, and an hour of waiting. Older
ones are left alone, so that the same command of the next night is another job."""

FORGOTTEN_AFTER_SECONDS = 7 * 86_400.0
"""When a file that nobody came back to is removed."""


def default_folder() -> Path:
    """Return `$XDG_STATE_HOME/rune/submissions`, by default under `~/.local/state`."""
    given = os.environ.get("XDG_STATE_HOME", "")
    home = Path(given) if given.startswith("/") else Path.home() / ".local" / "state"
    return home / "rune" / "submissions"


def fingerprint_of(*, base_url: str, tenant: str | None, kind: str, body: Mapping[str, Any]) -> str:
    """Return what names a command: a hash of where it goes, for whom, and of what it asks for."""
    told = json.dumps([base_url, tenant, kind, body], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(told.encode()).hexdigest()[:32]


class Submission:
    """One submit, from before it is sent until its job has ended."""

    def __init__(self, path: Path, lock: int, kept: dict[str, Any], *, is_resumed: bool) -> None:
        self._path, self._lock, self._kept = path, lock, kept
        self.is_resumed = is_resumed

    @property
    def key(self) -> str:
        """The idempotency key."""
        return str(self._kept["key"])

    @property
    def job_id(self) -> str | None:
        """The job, once an answer named it."""
        job_id = self._kept.get("job_id")
        return None if job_id is None else str(job_id)

    @property
    def added(self) -> Mapping[str, Any]:
        """What was added to the body before it was sent; the same is added when it is sent again."""
        added = self._kept.get("added")
        return added if isinstance(added, dict) else {}

    @property
    def may_have_been_sent(self) -> bool:
        """Whether a submit under this key may have left this machine, by this or by an earlier call."""
        return "added" in self._kept

    @property
    def age_seconds(self) -> float:
        """How long ago it was begun."""
        return max(0.0, time.time() - float(self._kept["begun_at"]))

    @property
    def spends(self) -> bool:
        """Whether what may have been sent may cost something."""
        return bool(self._kept.get("spends", True))

    def about_to_send(self, added: Mapping[str, Any], *, spends: bool) -> None:
        """Note what is sent beside the command's own body. It is on the disk when this returns."""
        self._kept |= {"added": dict(added), "spends": spends}
        self._write()

    def accepted(self, job_id: str) -> None:
        """Note the job."""
        self._kept["job_id"] = job_id
        self._write()

    def forget(self) -> None:
        """Remove the file: nothing is left to resume."""
        self._path.unlink(missing_ok=True)
        self.leave()

    def leave(self) -> None:
        """Give the lock back and leave the file, so that the same command resumes."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _write(self) -> None:
        # In place, since the lock is the file's: another file under its name would be free for anybody.
        data = json.dumps(self._kept).encode()
        os.pwrite(self._lock, data.ljust(_RECORD_BYTES), 0)
        os.fsync(self._lock)

    @classmethod
    def begin(cls, folder: Path, fingerprint: str, *, is_new: bool = False) -> Self:
        """Return the submit of this command that was left behind, or else a new one, on the disk.

        Raises
        ------
        OSError
            The folder cannot be written. Then nothing should be sent that could spend.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_old(folder)
        if not is_new:
            found = _take_left_behind(folder, fingerprint)
            if found is not None:
                return cls(*found, is_resumed=True)
        key = f"rune-cli-{uuid.uuid4().hex}"
        path = folder / f"{fingerprint}-{key[-12:]}.json"
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = {"key": key, "begun_at": time.time()}
        made = cls(path, lock, kept, is_resumed=False)
        made._write()
        _sync_folder(folder)
        return made


_RECORD_BYTES = 1024
"""One write of a fixed length leaves no rest of a longer one."""


def _take_left_behind(folder: Path, fingerprint: str) -> tuple[Path, int, dict[str, Any]] | None:
    """Lock and return this command's newest file that no process has, or None."""
    for path in sorted(folder.glob(f"{fingerprint}-*.json"), key=_changed_at, reverse=True):
        try:
            lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever had it may have removed it before the lock was ours.
            kept = json.loads(os.pread(lock, 2 * _RECORD_BYTES, 0)) if path.exists() else {}
        except (BlockingIOError, ValueError):
            kept = {}
        # The clock may have been set back: a file from the future is not resumed either.
        if isinstance(kept, dict) and "key" in kept and 0 <= _age(kept) <= RESUMED_WITHIN_SECONDS:
            return path, lock, kept
        os.close(lock)
    return None


def _age(kept: Mapping[str, Any]) -> float:
    begun_at = kept.get("begun_at")
    return time.time() - begun_at if isinstance(begun_at, int | float) else -1.0


def _remove_old(folder: Path) -> None:
    for path in folder.glob("*.json"):
        if time.time() - _changed_at(path) > FORGOTTEN_AFTER_SECONDS:
            path.unlink(missing_ok=True)


def _changed_at(path: Path) -> float:
    with suppress(OSError):
        return path.stat().st_mtime
    return 0.0


def _sync_folder(folder: Path) -> None:
    """Write the folder itself to the disk: the name of a new file is in it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
