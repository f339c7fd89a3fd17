"""The outbox in DynamoDB and its double in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rune.aws.dynamodb_table import DynamoTable
from rune.aws.outbox import DynamoOutbox, log_writes
from rune.errors import UnreadableRowError
from rune.events.outbox import Outbox, OutboxState, advance, fall_due, send_again, set_aside
from rune.events.record import JsonValue, PublicEvent, Subject, SubjectKind
from tests.builders import JOB_ID, NOW, TENANT, after
from tests.memory_outbox import MemoryOutbox

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from tests.cloud import Cloud

JOB = Subject(SubjectKind.JOB, JOB_ID)
SCHEDULE = Subject(SubjectKind.SCHEDULE, "nightly")
EXPIRES_AT = after(30 * 86_400)


class WritingOutbox(DynamoOutbox):
    """Writes events as the stores of other rooms do."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud.dynamodb, "rune-test")
        self._own_table = DynamoTable(cloud.dynamodb, "rune-test")

    def write_log(self, events: Sequence[PublicEvent], expires_at: datetime) -> None:
        self._own_table.transact(log_writes(self._own_table, events, expires_at))


@pytest.fixture(params=["dynamodb", "memory"])
def outbox(request: pytest.FixtureRequest) -> WritingOutbox | MemoryOutbox:
    if request.param == "memory":
        return MemoryOutbox()
    return WritingOutbox(request.getfixturevalue("cloud"))


def an_event(sequence: int = 1, subject: Subject = SCHEDULE, seconds: float = 0) -> PublicEvent:
    data: dict[str, JsonValue] = {"schedule_id": "nightly", "job_ids": ["a", "b"], "late": None, "ratio": 0.5}
    return PublicEvent("rune.schedule.fired", TENANT, subject, sequence, after(seconds), data)


def test_outbox_without_a_row_is_new(outbox: Outbox) -> None:
    assert outbox.read(JOB) == OutboxState()
    assert outbox.read_log(SCHEDULE, after=0, limit=100) == ()


def test_log_gives_back_events_above_a_sequence_in_order(outbox: WritingOutbox | MemoryOutbox) -> None:
    events = [an_event(1), an_event(4, seconds=5), an_event(20, seconds=9)]
    outbox.write_log(events[:2], EXPIRES_AT)
    outbox.write_log(events[2:], EXPIRES_AT)

    assert outbox.read_log(SCHEDULE, after=0, limit=100) == (*events,)
    assert outbox.read_log(SCHEDULE, after=0, limit=2) == (*events[:2],)
    assert outbox.read_log(SCHEDULE, after=4, limit=100) == (events[2],)
    assert outbox.read_log(Subject(SubjectKind.RENTAL, "nightly"), after=0, limit=100) == ()


def test_log_that_was_written_is_due_after_its_grace(outbox: WritingOutbox | MemoryOutbox) -> None:
    outbox.write_log([an_event(seconds=5)], EXPIRES_AT)

    assert outbox.read(SCHEDULE) == OutboxState(
        version=1, updated_at=after(5), due_at=after(65), expires_at=EXPIRES_AT
    )
    assert outbox.find_due(after(64), 10) == ()
    assert outbox.find_due(after(65), 10) == (SCHEDULE,)


def test_due_subjects_are_found_longest_overdue_first(outbox: Outbox) -> None:
    for number in range(12):
        subject = Subject(SubjectKind.JOB if number % 2 else SubjectKind.RENTAL, f"s{number}")
        outbox.update(subject, fall_due(after(100 - number), EXPIRES_AT))

    found = outbox.find_due(after(500), 5)

    assert [subject.subject_id for subject in found] == ["s11", "s10", "s9", "s8", "s7"]
    assert found[0].kind is SubjectKind.JOB


def test_publisher_whose_row_is_as_it_read_it_ends_what_is_due(outbox: Outbox) -> None:
    outbox.update(JOB, fall_due(NOW, EXPIRES_AT))
    state = outbox.read(JOB)

    assert outbox.update(JOB, advance(state, {"bus": 7}, after(3), has_failed=False, expires_at=EXPIRES_AT))

    assert outbox.read(JOB) == OutboxState({"bus": 7}, version=2, updated_at=after(3), expires_at=EXPIRES_AT)
    assert outbox.find_due(after(500), 10) == ()


@pytest.mark.parametrize("is_new", [True, False])
def test_publisher_is_refused_when_others_wrote_since_it_read(is_new: bool, outbox: Outbox) -> None:
    if not is_new:
        outbox.update(JOB, fall_due(NOW, EXPIRES_AT))
    state = outbox.read(JOB)
    outbox.update(JOB, fall_due(after(1), EXPIRES_AT))

    assert not outbox.update(
        JOB, advance(state, {"bus": 7}, after(3), has_failed=False, expires_at=EXPIRES_AT)
    )
    assert outbox.find_due(after(500), 10) == (JOB,)


def test_pointers_of_sinks_that_a_publisher_does_not_know_stay(outbox: Outbox) -> None:
    outbox.update(JOB, advance(OutboxState(), {"later": 3}, NOW, has_failed=False, expires_at=EXPIRES_AT))
    outbox.update(JOB, advance(outbox.read(JOB), {"bus": 7}, NOW, has_failed=False, expires_at=EXPIRES_AT))

    assert outbox.read(JOB).pointers == {"later": 3, "bus": 7}


def test_only_one_of_two_janitors_sends_a_due_notice_again(outbox: Outbox) -> None:
    outbox.update(JOB, fall_due(NOW, EXPIRES_AT))
    state = outbox.read(JOB)

    assert outbox.update(JOB, send_again(state, after(60)))
    assert not outbox.update(JOB, send_again(state, after(60)))
    assert outbox.read(JOB).due_at == after(120)


def test_notice_is_not_sent_again_for_what_was_published_meanwhile(outbox: Outbox) -> None:
    outbox.update(JOB, fall_due(NOW, EXPIRES_AT))
    state = outbox.read(JOB)
    outbox.update(JOB, advance(state, {"bus": 7}, NOW, has_failed=False, expires_at=EXPIRES_AT))

    assert not outbox.update(JOB, send_again(state, after(60)))


def test_event_row_of_a_later_format_is_not_read(cloud: Cloud) -> None:
    outbox = WritingOutbox(cloud)
    outbox.write_log([an_event()], EXPIRES_AT)
    cloud.dynamodb.update_item(
        TableName="rune-test",
        Key={"pk": {"S": "LOG#schedule:nightly"}, "sk": {"S": "EVENT#00000001"}},
        UpdateExpression="SET #format = :format",
        ExpressionAttributeNames={"#format": "format"},
        ExpressionAttributeValues={":format": {"N": "9"}},
    )

    with pytest.raises(UnreadableRowError):
        outbox.read_log(SCHEDULE, after=0, limit=100)


def test_due_subject_of_a_kind_that_only_a_later_version_knows_is_left_alone(cloud: Cloud) -> None:
    outbox = WritingOutbox(cloud)
    outbox.update(JOB, fall_due(NOW, EXPIRES_AT))
    key = {"pk": {"S": "LOG#planet:earth"}, "sk": {"S": "OUTBOX"}}
    due = {"due_bucket": {"S": "DUE#notice#0"}, "due_at": {"N": "1"}}
    cloud.dynamodb.put_item(TableName="rune-test", Item={**key, **due})

    assert outbox.find_due(after(500), 10) == (JOB,)


def test_rows_leave_the_table_with_the_subjects_last_event(cloud: Cloud) -> None:
    outbox = WritingOutbox(cloud)
    outbox.write_log([an_event(1)], after(100))
    outbox.write_log([an_event(2)], after(200))

    expiries = {row["sk"]["S"]: int(row["expires_at"]["N"]) for row in cloud.rows()}

    assert expiries == {
        "EVENT#00000001": int(after(100).timestamp()),
        "EVENT#00000002": int(after(200).timestamp()),
        "OUTBOX": int(after(200).timestamp()),
    }


OWN_KEY = {"pk": {"S": f"JOB#{JOB_ID}"}, "sk": {"S": "OUTBOX"}}


def test_row_with_what_a_later_version_added_is_read_and_keeps_it(cloud: Cloud) -> None:
    outbox = WritingOutbox(cloud)
    outbox.update(JOB, fall_due(NOW, EXPIRES_AT))
    row = cloud.dynamodb.get_item(TableName="rune-test", Key=OWN_KEY)["Item"]
    cloud.dynamodb.put_item(TableName="rune-test", Item={**row, "of_next_version": {"S": "kept"}})

    assert outbox.update(
        JOB, advance(outbox.read(JOB), {"bus": 7}, NOW, has_failed=False, expires_at=EXPIRES_AT)
    )

    written = cloud.dynamodb.get_item(TableName="rune-test", Key=OWN_KEY)["Item"]
    assert written["of_next_version"] == {"S": "kept"}
    assert outbox.read(JOB).pointers == {"bus": 7}


def test_row_of_a_later_format_is_not_understood_and_can_be_set_aside(cloud: Cloud) -> None:
    outbox = WritingOutbox(cloud)
    outbox.update(JOB, fall_due(NOW, EXPIRES_AT))
    row = cloud.dynamodb.get_item(TableName="rune-test", Key=OWN_KEY)["Item"]
    cloud.dynamodb.put_item(TableName="rune-test", Item={**row, "format": {"N": "9"}})

    with pytest.raises(UnreadableRowError):
        outbox.read(JOB)

    assert outbox.update(JOB, set_aside(after(61)))
    assert outbox.find_due(after(600), 10) == ()
    assert outbox.find_due(after(61 + 900), 10) == (JOB,)
