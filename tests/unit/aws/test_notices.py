import json

import pytest

from rune.aws.notices import decode, encode
from rune.errors import UnreadableRowError
from rune.events.notices import EndpointNotice, Notice, SubjectNotice
from rune.events.record import Subject, SubjectKind

JOB = SubjectNotice(Subject(SubjectKind.JOB, "a"))


@pytest.mark.parametrize(
    ("notice", "plain"),
    [
        (JOB, {"subject": "job:a"}),
        (SubjectNotice(Subject(SubjectKind.RENTAL, "a.1:b")), {"subject": "rental:a.1:b"}),
        (EndpointNotice("acme/hook-1"), {"endpoint": "acme/hook-1"}),
    ],
)
def test_notice_survives_encoding_and_decoding(notice: Notice, plain: dict[str, str]) -> None:
    assert json.loads(encode(notice)) == plain
    assert decode(encode(notice)) == notice


@pytest.mark.parametrize(
    "body",
    [
        "",
        "null",
        "[]",
        "{}",
        "[" * 100_000,
        '{"subject": 1}',
        '{"subject": "job"}',
        '{"subject": "job:"}',
        '{"subject": ":a"}',
        '{"subject": "job:' + "a" * 600 + '"}',
        '{"endpoint": "acme"}',
        '{"endpoint": "acme/"}',
        '{"endpoint": null}',
    ],
    ids=lambda body: body[:30],
)
def test_decode_returns_none_when_the_body_is_not_a_notice(body: str) -> None:
    assert decode(body) is None


def test_decode_ignores_members_that_a_later_version_added() -> None:
    assert decode('{"subject": "job:a", "since": 4}') == JOB


@pytest.mark.parametrize("body", ['{"subject": "planet:a"}', '{"subject": "job:a", "format": 2}'])
def test_decode_raises_when_only_a_later_version_understands_the_notice(body: str) -> None:
    with pytest.raises(UnreadableRowError):
        decode(body)
