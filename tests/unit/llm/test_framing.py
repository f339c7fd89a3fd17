import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rune.errors import BadResponseError, StreamTruncatedError
from rune.llm.framing import AnswerReader, Frame, FrameReader, NdjsonReader, SseReader
from rune.net.bodies import ReceivedBytes


def read(reader: FrameReader, data: bytes, cuts: list[int] | None = None) -> list[Frame]:
    """Feed the data in the parts that the cuts make, all stamped 0."""
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts or []), len(data)]
    frames = [
        frame for begin, end in pairwise(edges) for frame in reader.feed(ReceivedBytes(data[begin:end], 0))
    ]
    return frames + reader.finish()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"data: a\n\n", [b"a"]),
        (b"data:a\n\n", [b"a"]),
        (b"data:  a\n\n", [b" a"]),
        (b"data: a\r\n\r\n", [b"a"]),
        (b"data: a\r\r", [b"a"]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b"data\n\n", []),
        (b"data:\n\ndata: \n\ndata: a\n\n", [b"a"]),
        (b"event: ping\ndata: 1\n\ndata: a\n\n", [b"a"]),
        (b"event: Heartbeat\ndata: {}\n\nevent: message\ndata: a\n\n", [b"a"]),
        (b": ping\n\n: ping\n\ndata: a\n\n", [b"a"]),
        (b"data: a\n: ping\ndata: b\n\n", [b"a\nb"]),
        (b"id: 1\nretry: 5\nevent: message\ndata: a\n\n", [b"a"]),
        (b"event: end\n\ndata: a\n\n", [b"a"]),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b"\n\n\ndata: a\n\n\n\ndata: b\n\n", [b"a", b"b"]),
        (b"data: a\n", [b"a"]),
        (b"", []),
        (b"{}\n", []),
    ],
)
def test_sse_reader_gives_data_when_the_stream_is_written_in_any_way(
    data: bytes, expected: list[bytes]
) -> None:
    assert read(SseReader(), data) == [Frame(part, 0) for part in expected]


def test_sse_reader_marks_frame_when_the_stream_ends_within_it() -> None:
    assert read(SseReader(), b'data: {"a') == [Frame(b'{"a', 0, terminated=False)]


@pytest.mark.parametrize("data", [b"event: error\ndata: x\n\ndata: y\n\n", b"error: x\n\ndata: y\n\n"])
def test_sse_reader_marks_frame_when_it_is_called_an_error(data: bytes) -> None:
    assert read(SseReader(), data) == [Frame(b"x", 0, is_error=True), Frame(b"y", 0)]


def test_sse_reader_refuses_frame_when_its_lines_together_pass_the_limit() -> None:
    with pytest.raises(BadResponseError):
        read(SseReader(max_line_bytes=10), b"data: a\n" * 6)


def test_readers_stamp_frame_with_the_arrival_of_its_line() -> None:
    sse, ndjson = SseReader(), NdjsonReader()

    assert sse.feed(ReceivedBytes(b"data: a\n", 1)) == []
    assert sse.feed(ReceivedBytes(b"\n", 2)) == [Frame(b"a", 1)]
    assert ndjson.feed(ReceivedBytes(b"{", 1)) == []
    assert ndjson.feed(ReceivedBytes(b"}\n", 2)) == [Frame(b"{}", 2)]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"{}\n[]\n", [Frame(b"{}", 0), Frame(b"[]", 0)]),
        (b"{}\r\n", [Frame(b"{}", 0)]),
        (b"\n \n{}\n", [Frame(b"{}", 0)]),
        (b"{}", [Frame(b"{}", 0, terminated=False)]),
    ],
)
def test_ndjson_reader_gives_lines_also_without_the_last_newline(data: bytes, expected: list[Frame]) -> None:
    assert read(NdjsonReader(), data) == expected


PRETTY = b'{\n  "a": [1,\n  2]\n}\n'


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
        (b": ping\n\ndata: {}\n\n", [b"{}"]),
        (b"\n \n: ping\n\ndata: {}\n\n", [b"{}"]),
        (b"event: x\ndata: {}\n\n", [b"{}"]),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b'{"a": 1}\n{"a": 2}\n', [b'{"a": 1}', b'{"a": 2}']),
        (b'\r\n {"a": 1}', [b' {"a": 1}']),
        (b'[{"a": 1}]', [b'[{"a": 1}]']),
        (PRETTY, [PRETTY]),
        (b"", []),
        (b" \n", []),
    ],
)
def test_answer_reader_finds_the_framing_by_what_comes(data: bytes, expected: list[bytes]) -> None:
    frames = [frame.data for frame in read(AnswerReader(), data)]

    assert frames == expected
    assert [frame.data for frame in read(AnswerReader(), data, list(range(len(data) + 1)))] == expected


def test_answer_reader_refuses_a_page() -> None:
    with pytest.raises(BadResponseError, match="page"):
        read(AnswerReader(), b"\n<!doctype html>")


def test_answer_reader_gives_lines_of_json_as_they_come() -> None:
    reader = AnswerReader()

    assert [frame.data for frame in reader.feed(ReceivedBytes(b'{"a": 1}\n{"a"', 1))] == [b'{"a": 1}']
    assert [frame.data for frame in reader.feed(ReceivedBytes(b": 2}\n", 2))] == [b'{"a": 2}']


def test_answer_reader_bounds_a_document() -> None:
    with pytest.raises(BadResponseError):
        read(AnswerReader(max_line_bytes=100), b"{\n" + b"1" * 60 + b"\n" + b"1" * 60)


json_objects = st.dictionaries(st.text(max_size=3), st.text(max_size=5), max_size=2)
sse_lines = st.one_of(
    json_objects.map(
        lambda value: b"data: " + json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    ),
    st.sampled_from([b"", b": ping", b"data:x", b"data", b"event: error", b"error: e", b"id: 1", b"{}"]),
)
line_ends = st.sampled_from([b"\n", b"\r\n", b"\r"])
streams = st.lists(st.tuples(sse_lines, line_ends), max_size=12).map(
    lambda parts: b"".join(line + end for line, end in parts)
)


@given(streams, st.binary(max_size=5), st.lists(st.integers(0, 500), max_size=20))
def test_readers_give_the_same_frames_however_the_stream_is_cut(
    stream: bytes, rest: bytes, cuts: list[int]
) -> None:
    data = stream + rest
    byte_by_byte = list(range(len(data) + 1))

    assert read(SseReader(), data, cuts) == read(SseReader(), data) == read(SseReader(), data, byte_by_byte)
    assert read(NdjsonReader(), data, cuts) == read(NdjsonReader(), data)


@pytest.mark.parametrize(
    ("frame", "error_type"),
    [
        (Frame(b"{", 0), BadResponseError),
        (Frame(b"{", 0, terminated=False), StreamTruncatedError),
        (Frame(b"[]", 0), BadResponseError),
        (Frame(b"null", 0, terminated=False), BadResponseError),
        (Frame(b"[" * 100_000, 0), BadResponseError),
    ],
)
def test_frame_raises_when_it_is_no_object(frame: Frame, error_type: type[Exception]) -> None:
    with pytest.raises(error_type):
        frame.parse()


def test_frame_is_parsed_when_nothing_terminates_it_and_it_is_whole() -> None:
    assert Frame(b'{"a": 1}', 0, terminated=False).parse() == {"a": 1}
