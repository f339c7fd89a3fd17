from dataclasses import fields, replace

import pytest

from rune.bench.block_files import read_block, write_block
from rune.bench.records import MeasuredPoint, Point
from rune.errors import ServerFailedError, UnreadableRowError
from rune.llm.protocol import ServerTimings, ToolCall
from tests.measured_builders import a_completed, a_cut_off, a_failed, a_measured_point


def a_block() -> MeasuredPoint:
    answer = a_completed(7, cached_tokens=3, chunk_chars=[4] * 20, timings=ServerTimings(load_ms=1 / 3))
    assert answer.generation is not None
    call = ToolCall("1", "look", {"where": ["é", None]}, '{"where": ["é", null]}')
    answer = replace(
        answer,
        score=0.1 + 0.2,
        is_buffered=True,
        generation=replace(answer.generation, tool_calls=(call,), text='a"\\\x00\u2028😀', reasoning="b"),
    )
    return a_measured_point(
        answer,
        a_failed(8, sent_ms=None),
        a_cut_off(9, arrivals_ms=[1, 2.5]),
        point=Point(2, 4, 0.1),
        unsent_count=5,
        rtt_ms=1 / 7,
    )


def test_block_is_read_as_it_was_written() -> None:
    block = a_block()

    assert read_block(write_block(block)) == block


def test_block_keeps_every_field_but_the_errors_themselves() -> None:
    failed = replace(a_block(), first_errors={"server_failed": ServerFailedError("No.")})

    read = read_block(write_block(failed))

    assert {
        field.name
        for field in fields(MeasuredPoint)
        if getattr(read, field.name) != getattr(failed, field.name)
    } == {"first_errors"}


def test_block_of_a_version_without_a_later_field_is_read() -> None:
    text = write_block(a_block())

    assert read_block(text.replace('"unsent_count":5', '"unknown":5')) == replace(a_block(), unsent_count=0)


def test_block_of_a_version_with_more_members_is_read_without_them() -> None:
    text = write_block(a_block())
    assert text.count('"output_count"') == 1

    assert read_block(text.replace('"output_count"', '"later":{},"output_count"')) == a_block()


@pytest.mark.parametrize("text", ["", "{}", '{"point": 1}', write_block(a_block())[:-9]])
def test_file_that_is_no_block_is_not_read(text: str) -> None:
    with pytest.raises(UnreadableRowError):
        read_block(text)
