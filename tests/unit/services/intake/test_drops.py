from __future__ import annotations

import json

import pytest

from rune.contracts.problems import Problem
from rune.errors import InvalidRequestError, NotJsonError
from rune.jobs.record import Kind
from rune.services.intake.drops import (
    LARGEST_BYTES,
    MOST_LINES,
    Answer,
    Drop,
    Place,
    Progress,
    lines_of,
    order_of,
    place_of,
    read_drop,
    read_progress,
)


def a_drop(
    key: str = "inbox/acme/benchmark/a.json", size_bytes: int = 1, version_id: str | None = None
) -> Drop:
    return Drop(key, size_bytes, version_id, "etag", "0062E99A88DC407460")


@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("inbox/acme/benchmark/a.json", Place("acme", Kind.BENCHMARK)),
        ("inbox/acme/agentic-agent/2026/11/x+y é (1).jsonl", Place("acme", Kind.AGENTIC_AGENT)),
        ("inbox/a.b-c_1/llm-instance/.json", Place("a.b-c_1", Kind.LLM_INSTANCE)),
    ],
)
def test_key_says_whose_job_it_is_and_of_which_kind(key: str, place: Place) -> None:
    assert place_of(a_drop(key)) == place


@pytest.mark.parametrize(
    "key",
    [
        "inbox/a.json",
        "inbox/acme/a.json",
        "inbox/acme/benchmark",
        "inbox/acme/benchmark/a.txt",
        "inbox/acme/benchmark/a.json.gz",
        "inbox/acme/chat/a.json",
        "inbox//acme/benchmark/a.json",
        "inbox//benchmark/a.json",
        "inbox/../benchmark/a.json",
        "inbox/a b/benchmark/a.json",
        "inbox/acme/ollama-instance/a.json",
    ],
)
def test_other_keys_are_refused(key: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        place_of(a_drop(key))

    assert refused.value.specific_code == "invalid_key"


def test_object_that_is_too_large_is_refused_before_it_is_read() -> None:
    place_of(a_drop(size_bytes=LARGEST_BYTES))
    with pytest.raises(InvalidRequestError) as refused:
        place_of(a_drop(size_bytes=LARGEST_BYTES + 1))

    assert refused.value.specific_code == "body_too_large"


@pytest.mark.parametrize(
    "key", ["outbox/acme/benchmark/a.json", "requests/1.json", "/inbox/acme/benchmark/a.json", "inbox"]
)
def test_object_outside_of_the_inbox_is_refused(key: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        read_drop({"object": {"key": key, "size": 1}})

    assert refused.value.specific_code == "not_in_the_inbox"


@pytest.mark.parametrize(
    "detail",
    [{}, {"object": "a"}, {"object": {}}, {"object": {"key": 1}}, {"object": {"key": "a", "size": "1"}}],
)
def test_event_without_an_object_is_refused(detail: dict[str, object]) -> None:
    with pytest.raises(InvalidRequestError):
        read_drop(detail)


@pytest.mark.parametrize(
    "told",
    [
        {"etag": "e"},
        {"etag": "e", "sequencer": "1"},
        {"etag": "e", "sequencer": "2"},
        {"etag": "f", "sequencer": "1"},
        {"etag": "e", "sequencer": "1", "version-id": "v"},
        {"etag": "e", "sequencer": "1", "version-id": "w"},
    ],
)
def test_identity_is_made_of_all_that_is_told(told: dict[str, str]) -> None:
    of_object = {"key": "inbox/acme/benchmark/a.json", "size": 1}
    first = read_drop({"object": {**of_object, **told}})
    again = read_drop({"object": {**of_object, **told}, "request-id": "another"})
    changed = [
        read_drop({"object": {**of_object, **told, name: value + "x"}}) for name, value in told.items()
    ]

    assert again.identity == first.identity
    assert first.identity not in [each.identity for each in changed]


@pytest.mark.parametrize(
    ("key", "size", "is_marker"),
    [("inbox/acme/", 0, True), ("inbox/acme/", 1, False), ("inbox/a.json", 0, False)],
)
def test_folder_marker_is_known(key: str, size: int, *, is_marker: bool) -> None:
    assert a_drop(key, size).is_folder_marker is is_marker


def test_answer_stands_under_the_same_name_in_the_outbox() -> None:
    assert a_drop("inbox/acme/inbox/é.json").answer_key == "outbox/acme/inbox/é.json"


@pytest.mark.parametrize(("length", "has_answer"), [(1023, True), (1024, False)])
def test_key_that_has_no_room_for_the_answer_has_none(length: int, *, has_answer: bool) -> None:
    key = "inbox/" + "é" * ((length - 6) // 2) + "a" * ((length - 6) % 2)

    assert len(key.encode()) == length
    assert (a_drop(key).answer_key is not None) is has_answer


# ---------------------------------------------------------------- lines


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-32-be", "latin-1"])
def test_request_that_is_not_in_utf_8_is_refused_as_by_the_api(encoding: str) -> None:
    with pytest.raises(NotJsonError):
        order_of(Kind.BENCHMARK, '{"question": "Warum so träge?"}'.encode(encoding), ("a",))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_request_in_utf_8_is_read(encoding: str) -> None:
    request = {"question": "Warum so träge?"}
    text = json.dumps(request, ensure_ascii=False).encode(encoding)

    assert order_of(Kind.BENCHMARK, text, ("a",)).request == request


def test_lines_keep_their_numbers_and_empty_ones_are_left_out() -> None:
    assert [*lines_of(b"{}\n\n  \r\n{1}\r\n{2}")] == [(1, b"{}"), (4, b"{1}\r"), (5, b"{2}")]


@pytest.mark.parametrize("text", [b"", b"\n", b" \r\n\n"])
def test_object_without_lines_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        lines_of(text)

    assert refused.value.specific_code == "no_lines"


def test_object_with_too_many_lines_is_refused_whole() -> None:
    assert len([*lines_of(b"{}\n" * MOST_LINES)]) == MOST_LINES
    with pytest.raises(InvalidRequestError, match=r"1,001 requests; 1,000"):
        lines_of(b"{}\n" * (MOST_LINES + 1))


# ---------------------------------------------------------------- answers


PROBLEM = Problem(422, "invalid_request", "/model: wrong")


@pytest.mark.parametrize(
    ("answer", "document"),
    [
        (Answer(0, "j"), {"job_id": "j", "status": "accepted"}),
        (Answer(7, "j"), {"line": 7, "job_id": "j", "status": "accepted"}),
        (Answer(0, problem=PROBLEM), PROBLEM.as_document()),
        (Answer(7, problem=PROBLEM), {"line": 7, **PROBLEM.as_document()}),
    ],
)
def test_answer_is_the_apis_document(answer: Answer, document: dict[str, object]) -> None:
    assert json.loads(answer.as_json()) == document


ACCEPTED = Answer(1, "j").as_json()
REFUSED = Answer(3, problem=PROBLEM).as_json()


@pytest.mark.parametrize(
    ("answers", "progress"),
    [
        ([], Progress()),
        ([ACCEPTED], Progress({1: ACCEPTED})),
        ([ACCEPTED, REFUSED], Progress({1: ACCEPTED, 3: REFUSED}, frozenset({3}))),
        *[
            (
                [ACCEPTED, Answer(3, problem=Problem(status, "code", "")).as_json()],
                Progress({1: ACCEPTED}),
            )
            for status in (429, 503, 500, 403)
        ],
        ([Answer(0, problem=PROBLEM).as_json()], Progress()),
    ],
)
def test_progress_is_what_was_answered_for_good(answers: list[str], progress: Progress) -> None:
    assert read_progress("".join(answer + "\n" for answer in answers)) == progress
