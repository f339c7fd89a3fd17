import asyncio
import re
from collections.abc import AsyncIterator, Callable
from itertools import pairwise

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rune.errors import BadResponseError
from rune.net.bodies import BodyReader, Line, LineSplitter, ReceivedBytes, read_body, read_body_head


def response(*parts: bytes, breaks: bool = False, encoding: str = "") -> httpx.Response:
    async def body() -> AsyncIterator[bytes]:
        for part in parts:
            yield part
        if breaks:
            raise httpx.ReadError("broken")

    headers = {"Content-Encoding": encoding} if encoding else {}
    return httpx.Response(200, headers=headers, content=body())


def ticking() -> Callable[[], int]:
    instants_ns = iter(range(10, 1000, 10))
    return lambda: next(instants_ns)


def test_body_reader_stamps_every_read_on_arrival() -> None:
    async def go() -> list[ReceivedBytes | None]:
        reader = BodyReader(response(b"a", b"b"), max_bytes=10, now_ns=ticking())
        return [await reader.read(), await reader.read(), await reader.read()]

    assert asyncio.run(go()) == [ReceivedBytes(b"a", 10), ReceivedBytes(b"b", 20), None]


def test_body_is_returned_when_it_just_fits() -> None:
    assert asyncio.run(read_body(response(b"12", b"34"), max_bytes=4)) == b"1234"


def test_body_is_refused_when_it_passes_the_limit() -> None:
    with pytest.raises(BadResponseError, match="4 bytes"):
        asyncio.run(read_body(response(b"12", b"345"), max_bytes=4))


@pytest.mark.parametrize("encoding", ["gzip", "br", "GZIP", "identity, gzip"])
def test_body_is_refused_when_it_is_compressed(encoding: str) -> None:
    with pytest.raises(BadResponseError, match="compressed"):
        asyncio.run(read_body(response(b"x", encoding=encoding)))


@pytest.mark.parametrize("encoding", ["", "identity", " Identity "])
def test_body_is_read_when_it_is_not_compressed(encoding: str) -> None:
    assert asyncio.run(read_body(response(b"x", encoding=encoding))) == b"x"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (response(b"abc", b"defg"), b"abcd"),
        (response(b"ab", breaks=True), b"ab"),
        (response(b"ab", encoding="gzip"), b""),
        (response(), b""),
    ],
)
def test_body_head_is_what_came_when_an_error_is_read(answer: httpx.Response, expected: bytes) -> None:
    assert asyncio.run(read_body_head(answer, max_bytes=4)) == expected


def split(data: bytes, cuts: list[int], *, max_line_bytes: int = 1000) -> list[Line]:
    """Feed the data in the parts that the cuts make, all stamped 0."""
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    splitter = LineSplitter(max_line_bytes=max_line_bytes)
    parts = [data[begin:end] for begin, end in pairwise(edges)]
    return [line for part in parts for line in splitter.feed(ReceivedBytes(part, 0))] + splitter.finish()


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_splitter_gives_lines_when_they_end_in_any_way(end: bytes) -> None:
    lines = split(b"a" + end + end + b"b" + end + b"c", [])

    assert lines == [Line(b"a", 0), Line(b"", 0), Line(b"b", 0), Line(b"c", 0, terminated=False)]


@given(
    st.binary(max_size=60).map(lambda data: re.sub(rb"[^\r\na:]", b"a", data)), st.lists(st.integers(0, 60))
)
def test_splitter_gives_the_same_lines_however_the_stream_is_cut(data: bytes, cuts: list[int]) -> None:
    assert split(data, cuts) == split(data, [])


def test_splitter_stamps_a_line_with_its_last_read() -> None:
    splitter = LineSplitter()
    splitter.feed(ReceivedBytes(b"a", 1))

    assert splitter.feed(ReceivedBytes(b"b\nc", 2)) == [Line(b"ab", 2)]
    assert splitter.finish() == [Line(b"c", 2, terminated=False)]


@pytest.mark.parametrize("data", [b"12345", b"12345\n", b"\n\n12345"])
@pytest.mark.parametrize("cuts", [[], [1], [1, 2, 3, 4]])
def test_splitter_refuses_line_when_it_passes_the_limit(data: bytes, cuts: list[int]) -> None:
    assert split(data[:-1], cuts, max_line_bytes=5)
    with pytest.raises(BadResponseError):
        split(data, cuts, max_line_bytes=4)
