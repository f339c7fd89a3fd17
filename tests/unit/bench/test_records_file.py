import json
from dataclasses import replace

from rune.bench.records_file import KEYS, MAX_ANSWER_CHARS, record_lines
from rune.llm.protocol import ServerTimings
from tests.measured_builders import a_completed, a_cut_off, a_failed, a_run, an_empty_generation


def test_a_completed_request_is_a_line_with_all_its_evidence() -> None:
    record = a_completed(
        3,
        due_ms=10,
        sent_ms=12.3456789,
        ttft_ms=100.1234,
        gaps_ms=[10, 20.0006],
        output_tokens=4,
        text="An answer.",
        cached_tokens=5,
        timings=ServerTimings(load_ms=1.23456, prompt_eval_ms=20, eval_ms=30),
    )

    lines = record_lines(2, [replace(record, score=0.5, is_buffered=True)], 1)

    assert json.loads(lines) == {
        "run": 2,
        "number": 3,
        "block": 1,
        "prompt_index": 0,
        "conversation": None,
        "turn": 0,
        "prompt_chars": 200,
        "status": "completed",
        "error_code": None,
        "due_ms": 10.0,
        "sent_ms": 12.345679,
        "ended_ms": 142.469679,
        "score": 0.5,
        "is_buffered": True,
        "is_truncated": False,
        "ttfb_ms": 1.0,
        "first_chunk_ms": 1.0,
        "ttft_ms": 100.1234,
        "ttfo_ms": 100.1234,
        "tpot_ms": 11.250225,
        "e2el_ms": 130.124,
        "itl_ms": [10.0, 20.0006],
        "input_tokens": 50,
        "output_tokens": 4,
        "cached_tokens": 5,
        "reasoning_tokens": None,
        "token_count_source": "usage",
        "finish_reason": "length",
        "server_load_ms": 1.23456,
        "server_prompt_eval_ms": 20,
        "server_eval_ms": 30,
        "reasoning_chars": 0,
        "answer": "An answer.",
        "answer_chars": 10,
    }


def test_a_line_has_the_very_numbers_of_the_report() -> None:
    record = a_completed(ttft_ms=100.123457, gaps_ms=[10.000001, 20.7], output_tokens=7)
    run, line = a_run(record), json.loads(record_lines(0, [record]))

    reported = [run.ttft_ms, run.ttfo_ms, run.tpot_ms, run.e2el_ms]
    assert [line[name] for name in ("ttft_ms", "ttfo_ms", "tpot_ms", "e2el_ms")] == [
        each.mean for each in reported if each is not None
    ]
    assert run.itl_ms
    assert (min(line["itl_ms"]), max(line["itl_ms"])) == (run.itl_ms.min, run.itl_ms.max)


def test_every_line_has_the_documented_keys_in_their_order() -> None:
    empty = replace(a_completed(0), generation=an_empty_generation())

    lines = record_lines(0, [empty, a_failed(1, sent_ms=None), a_cut_off(2)]).splitlines()

    assert [list(json.loads(line)) for line in lines] == [list(KEYS)] * 3


def test_a_failure_says_why_and_has_no_answer() -> None:
    line = json.loads(record_lines(0, [a_failed(1, sent_ms=2, ended_ms=5, code="server_timeout")]))

    assert {name: value for name, value in line.items() if value is not None} == {
        "run": 0,
        "number": 1,
        "block": 0,
        "prompt_index": 0,
        "turn": 0,
        "prompt_chars": 200,
        "status": "failed",
        "error_code": "server_timeout",
        "due_ms": 0.0,
        "sent_ms": 2.0,
        "ended_ms": 5.0,
        "is_buffered": False,
        "is_truncated": False,
    }


def test_a_long_answer_is_cut_and_any_text_stays_one_line() -> None:
    text = "\u2028\n\ud800" + "x" * MAX_ANSWER_CHARS

    lines = record_lines(0, [a_completed(text=text)])

    assert lines.isascii()
    assert lines.splitlines(keepends=True) == [lines]
    line = json.loads(lines)
    assert (line["answer"], line["answer_chars"]) == (text[:MAX_ANSWER_CHARS], MAX_ANSWER_CHARS + 3)


def test_no_records_are_no_lines() -> None:
    assert record_lines(0, []) == ""
