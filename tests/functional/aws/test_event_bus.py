"""The sink that puts events on a bus."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence

import pytest
from botocore.exceptions import ClientError

from rune.aws.event_bus import EventBus
from rune.errors import StoreUnavailableError
from rune.events.record import PublicEvent, Subject, SubjectKind
from tests.builders import NOW, TENANT


class ScriptedBus:
    """Takes entries as AWS does: at most ten at once, and those whose code is not None fail."""

    def __init__(self, *codes: str | None, error: ClientError | None = None) -> None:
        self._codes = list(codes)
        self._error = error
        self.requests: list[list[Mapping[str, object]]] = []

    def put_events(self, *, Entries: Sequence[Mapping[str, object]]) -> Mapping[str, object]:  # noqa: N803  # AWS's
        assert 1 <= len(Entries) <= 10
        if self._error:
            raise self._error
        self.requests.append([*Entries])
        answers = [self._answer() for _ in Entries]
        return {"FailedEntryCount": sum("ErrorCode" in each for each in answers), "Entries": answers}

    def _answer(self) -> Mapping[str, str]:
        code = self._codes.pop(0) if self._codes else None
        return {"EventId": "an id"} if code is None else {"ErrorCode": code, "ErrorMessage": "…"}


def some_events(count: int) -> list[PublicEvent]:
    subject = Subject(SubjectKind.SCHEDULE, "nightly")
    return [
        PublicEvent("rune.schedule.fired", TENANT, subject, n, NOW, {"schedule_id": "nightly"})
        for n in range(1, count + 1)
    ]


def publish(bus: ScriptedBus, count: int) -> None:
    EventBus(lambda: bus, "rune-dev").publish(some_events(count))


def test_event_is_put_on_the_named_bus_with_its_metadata() -> None:
    bus = ScriptedBus()
    publish(bus, 1)

    ((entry,),) = bus.requests
    assert {name: entry[name] for name in ("Source", "DetailType", "EventBusName", "Time")} == {
        "Source": "rune",
        "DetailType": "rune.schedule.fired",
        "EventBusName": "rune-dev",
        "Time": NOW,
    }
    detail = json.loads(str(entry["Detail"]))
    assert detail["data"] == {"schedule_id": "nightly"}
    assert detail["metadata"]["event_id"] == "evt_schedule_nightly_1"
    assert (detail["metadata"]["tenant"], detail["metadata"]["sequence"]) == (TENANT, 1)


def test_many_events_go_in_requests_of_ten_in_their_order() -> None:
    bus = ScriptedBus()
    publish(bus, 23)

    sequences = [
        [json.loads(str(entry["Detail"]))["metadata"]["sequence"] for entry in request]
        for request in bus.requests
    ]
    assert sequences == [[*range(1, 11)], [*range(11, 21)], [*range(21, 24)]]


@pytest.mark.parametrize("code", ["InternalFailure", "ThrottlingException"])
def test_entry_that_failed_is_seen_although_the_request_succeeded(
    code: str, caplog: pytest.LogCaptureFixture
) -> None:
    bus = ScriptedBus(None, code, None)

    with pytest.raises(StoreUnavailableError):
        publish(bus, 3)

    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("code", ["AccessDeniedException", "MalformedDetail", "NotAuthorizedForSource"])
def test_entry_that_fails_each_time_is_told_to_the_operator(
    code: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(StoreUnavailableError):
        publish(ScriptedBus(None, code), 2)

    (record,) = caplog.records
    assert (record.getMessage(), record.__dict__["metric"]) == ("bus.entry_refused", "CallsRefused")
    assert record.__dict__["reason"] == code


def test_later_requests_wait_until_the_earlier_ones_are_taken() -> None:
    bus = ScriptedBus("ThrottlingException")

    with pytest.raises(StoreUnavailableError):
        publish(bus, 15)

    assert len(bus.requests) == 1


def test_bus_that_is_away_is_tried_again_later() -> None:
    error = ClientError({"Error": {"Code": "ThrottlingException", "Message": "…"}}, "PutEvents")

    with pytest.raises(StoreUnavailableError):
        publish(ScriptedBus(error=error), 1)


class SilentBus(ScriptedBus):
    """Answers nothing that can be read."""

    def put_events(self, *, Entries: Sequence[Mapping[str, object]]) -> Mapping[str, object]:  # noqa: N803  # AWS's
        return {"FailedEntryCount": 0}


def test_answer_that_names_fewer_entries_counts_as_failed() -> None:
    with pytest.raises(StoreUnavailableError):
        publish(SilentBus(), 1)
