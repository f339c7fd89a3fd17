from typing import Any

from local.logs import LogReader


class FakeLogs:
    """Events of the emulator: one stream per invocation, two events per page."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def write(self, stream: str, timestamp: int, *messages: str) -> None:
        self.events += [
            {"logStreamName": stream, "timestamp": timestamp, "message": message} for message in messages
        ]

    def filter_log_events(self, **request: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's own shape
        found = [event for event in self.events if event["timestamp"] >= request["startTime"]]
        first = int(request.get("nextToken", 0))
        page = {"events": found[first : first + 2]}
        return page | ({"nextToken": str(first + 2)} if first + 2 < len(found) else {})


def test_reader_gives_each_line_once_without_the_platforms_frame() -> None:
    logs = FakeLogs()
    reader = LogReader(logs, {"api": "/aws/lambda/api"}, since_milliseconds=100_000)
    logs.write("a", 100_000, "START RequestId: 1", "one", "two\n", "END RequestId: 1", "REPORT RequestId: 1")
    assert reader.read() == [("api", "one"), ("api", "two"), ("api", "REPORT RequestId: 1")]
    assert reader.read() == []


def test_reader_finds_lines_that_arrive_behind_newer_ones() -> None:
    logs = FakeLogs()
    reader = LogReader(logs, {"api": "group"}, since_milliseconds=100_000)
    logs.write("a", 104_000, "newer")
    assert reader.read() == [("api", "newer")]
    logs.write("b", 103_000, "late")
    assert reader.read() == [("api", "late")]


def test_reader_leaves_out_what_was_before_it_began() -> None:
    logs = FakeLogs()
    logs.write("a", 1_000, "long ago")
    assert LogReader(logs, {"api": "group"}, since_milliseconds=100_000).read() == []
