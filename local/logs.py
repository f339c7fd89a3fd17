"""The functions' logs, as they arrive in the emulator's CloudWatch Logs."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

# The emulator writes an invocation's lines when it ends, stamped with that moment; lines may still come in late.
OVERLAP_MILLISECONDS = 5_000
_PERIOD_SECONDS = 1.0
_PLATFORM_LINES = ("START RequestId:", "END RequestId:")


class LogsClient(Protocol):
    """The part of boto3's `logs` client that is used here."""

    def filter_log_events(self, **request: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's own shape
        """One page of events of a group."""
        ...


class LogReader:
    """Reads new lines of several groups, each line once.

    Parameters
    ----------
    client
        The emulator's log service.
    groups
        Log group names by the short name that is printed.
    since_milliseconds
        Older lines are not read (Unix time).
    """

    def __init__(self, client: LogsClient, groups: Mapping[str, str], *, since_milliseconds: int) -> None:
        self._client = client
        self._groups = groups
        self._since = dict.fromkeys(groups, since_milliseconds)
        self._seen: dict[str, dict[str, int]] = {name: {} for name in groups}

    def read(self) -> list[tuple[str, str]]:
        """Pairs of short name and line that came in since the last call, oldest first within each group."""
        return [(name, line) for name in self._groups for line in self._read_group(name)]

    def _read_group(self, name: str) -> Iterator[str]:
        start = self._since[name] - OVERLAP_MILLISECONDS
        # The emulator gives no event ids, but each invocation has a stream of its own, written at once.
        fresh: dict[str, int] = {}
        for event in self._events(self._groups[name], start):
            stream = event["logStreamName"]
            if stream in self._seen[name]:
                continue
            fresh[stream] = event["timestamp"]
            if not event["message"].startswith(_PLATFORM_LINES):
                yield event["message"].rstrip("\n")
        self._since[name] = max(self._since[name], *fresh.values(), 0)
        known = {**self._seen[name], **fresh}
        self._seen[name] = {stream: when for stream, when in known.items() if when >= start}

    def _events(self, group: str, start: int) -> Iterator[dict[str, Any]]:
        request: dict[str, Any] = {"logGroupName": group, "startTime": max(0, start)}
        while True:
            page = self._client.filter_log_events(**request)
            yield from page["events"]
            if not page.get("nextToken"):
                return
            request["nextToken"] = page["nextToken"]


def follow_logs(reader: LogReader, write: Callable[[str], None], stop: threading.Event) -> None:
    """Write each line behind its function's name until `stop` is set."""
    while not stop.is_set():
        for name, line in reader.read():
            write(f"{name:<16} | {line}")
        stop.wait(_PERIOD_SECONDS)


def now_milliseconds() -> int:
    """Return the time as CloudWatch Logs counts it."""
    return int(time.time() * 1000)
