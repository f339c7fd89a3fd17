import pytest

from rune.aws.sqs import decode, decode_release, encode, encode_release
from rune.errors import UnreadableRowError
from rune.jobs.record import StepMessage
from tests.builders import JOB_ID, a_sample_event, an_sqs_event


def test_message_survives_encoding_and_decoding() -> None:
    assert decode(encode(StepMessage(JOB_ID, 7))) == StepMessage(JOB_ID, 7)


def test_sample_event_holds_a_message() -> None:
    records = a_sample_event("sqs-step")["Records"]

    assert records == an_sqs_event(encode(StepMessage(JOB_ID, 1)))["Records"]


UNREADABLE = {
    "empty": "",
    "blank": " ",
    "not JSON": "job 1",
    "cut": '{"job_id": "a", "seq": 1',
    "null": "null",
    "number": "1",
    "text": '"a"',
    "list": '[{"job_id": "a", "seq": 1}]',
    "nothing in it": "{}",
    "no seq": '{"job_id": "a"}',
    "no job": '{"seq": 1}',
    "job is a number": '{"job_id": 1, "seq": 1}',
    "job is null": '{"job_id": null, "seq": 1}',
    "seq is text": '{"job_id": "a", "seq": "1"}',
    "seq is null": '{"job_id": "a", "seq": null}',
    "seq is true": '{"job_id": "a", "seq": true}',
    "seq is false": '{"job_id": "a", "seq": false}',
    "seq is a float": '{"job_id": "a", "seq": 1.0}',
    "seq is NaN": '{"job_id": "a", "seq": NaN}',
    "seq is zero": '{"job_id": "a", "seq": 0}',
    "seq is negative": '{"job_id": "a", "seq": -1}',
    # More digits than a DynamoDB number has (38), and than Python reads (4300).
    "seq is huge": '{"job_id": "a", "seq": 1' + "0" * 50 + "}",
    "seq is longer than Python reads": '{"job_id": "a", "seq": 1' + "0" * 5000 + "}",
    "nested deeper than Python reads": "[" * 100_000,
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_decode_returns_none_when_the_body_is_not_a_step_message(body: str) -> None:
    assert decode(body) is None


@pytest.mark.parametrize(
    "more", ['"lane": "money"', '"seq_of": {"seq": 2}', '"job_ids": ["b"], "since": null']
)
def test_decode_ignores_members_that_a_later_version_added(more: str) -> None:
    assert decode('{"job_id": "a", "seq": 1, ' + more + "}") == StepMessage("a", 1)


def test_decode_release_returns_what_was_encoded() -> None:
    assert decode_release(encode_release("a-1")) == "a-1"


def test_message_for_a_release_is_none_of_a_step_and_left_alone_by_earlier_versions() -> None:
    with pytest.raises(UnreadableRowError):
        decode(encode_release("a-1"))


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[" * 99_999,
        "null",
        encode(StepMessage(JOB_ID, 1)),
        '{"release": "a-1"}',
        '{"format": 3, "release": "a-1"}',
        '{"format": 2, "release": 1}',
    ],
)
def test_decode_release_returns_none_when_the_body_is_another_message(body: str) -> None:
    assert decode_release(body) is None
