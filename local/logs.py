"""The functions' logs, read from the emulator's CloudWatch Logs."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

# The emulator writes the lines of an invocation at its end, with that time; lines may arrive late.
OVERLAP_MILLISECONDS = 5_000
_PERIOD_SECONDS = 1.0
_PLATFORM_LINES = ("START RequestId:", "END RequestId:")


class LogsClient(Protocol):
    """The part of boto3's `logs` client that is used here."""

    def filter_log_events(self, **request: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's own shape
        """Return one page of a group's events."""
        ...


class LogReader:
    """Reads new lines of several groups, each line once.

    Parameters
    ----------
    client
        The emulator's log service.
    groups
        Names of log groups, by the short name that is printed.
    since_milliseconds
        Unix time; older lines are not read.
    """

    def __init__(self, client: LogsClient, groups: Mapping[str, str], *, since_milliseconds: int) -> None:
        self._client = client
        self._groups = groups
        self._since = dict.fromkeys(groups, since_milliseconds)
        self._seen: dict[str, dict[str, int]] = {name: {} for name in groups}

    def read(self) -> list[tuple[str, str]]:
        """Return short name and line of each new line, oldest first within a group."""
        return [(name, line) for name in self._groups for line in self._read_group(name)]

    def _read_group(self, name: str) -> Iterator[str]:
        start = self._since[name] - OVERLAP_MILLISECONDS
        # The emulator has no event ids, but each invocation has its own stream, written at once.
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
    """Write each line after its function's name until `stop` is set."""
    while not stop.is_set():
        for name, line in reader.read():
            write(f"{name:<16} | {line}")
        stop.wait(_PERIOD_SECONDS)


def now_milliseconds() -> int:
    """Return the Unix time in CloudWatch Logs' unit."""
    return int(time.time() * 1000)
