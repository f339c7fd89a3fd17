"""A report's page says what the report says, whatever is missing in it and whoever chose its names."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from itertools import pairwise
from typing import Literal, get_args

import pytest

from rune.bench.definitions import WARNINGS
from rune.bench.records_file import record_lines
from rune.bench.server_load import ServerReading
from rune.contracts import BenchmarkReport, HardwareReport, RunReport
from rune.contracts.benchmarks import CapacityLoad, CapacityReport, EndedBy, TokenCostReport
from rune.contracts.receipts import ReceiptLine
from rune.contracts.workloads import GoodputLimits
from rune.llm.protocol import ServerMetrics
from rune.pages import doubts
from rune.pages.dots import DotSample, RequestDot, read_dots
from rune.pages.report_page import MOST_DOTS_OF_A_RUN, ReportPage, to_page, verdict
from rune.pages.style import HEADERS, STYLE
from tests import measured_builders
from tests.benchmark_builders import a_report
from tests.html_pages import ReadPage, assert_self_contained, read_page
from tests.measured_builders import a_completed, a_cut_off, a_failed, a_run

IDLE, FULL = ServerMetrics("vllm", 0, 0, 0.0, 0, 1000, 0), ServerMetrics("vllm", 8, 3, 0.97, 2, 1500, 0)
READINGS = (
    ServerReading(0, "before", IDLE),
    ServerReading(1, "during", FULL),
    ServerReading(2, "during", FULL),
    ServerReading(3, "after", ServerMetrics("vllm", 0, 0, 0.0, 2, 2000, 400)),
)

type Certainty = Literal["within", "beyond", "undecided"]

BILL = [
    ReceiptLine(attempt=1, phase="boot", kind="gpu", micro_usd=20_000),
    ReceiptLine(attempt=1, phase="work", kind="gpu", micro_usd=12_000),
    ReceiptLine(attempt=1, phase="work", kind="disk", micro_usd=300),
]


def a_sample(count: int, status: str = "completed") -> DotSample:
    is_completed = status == "completed"
    return DotSample(
        tuple(
            RequestDot(
                status,
                number / 10,
                900,
                50 + number % 7 if is_completed else None,
                900 if is_completed else None,
            )
            for number in range(count)
        ),
        is_whole=True,
    )


def written(
    report: BenchmarkReport | None = None,
    dots: dict[int, DotSample] | None = None,
    *,
    has_records: bool = True,
    bill: list[ReceiptLine] | None = None,
) -> str:
    page = to_page(ReportPage(report or a_report(), dots or {}, has_records, bill))
    assert_self_contained(page)
    return page


def read(
    report: BenchmarkReport | None = None,
    dots: dict[int, DotSample] | None = None,
    *,
    has_records: bool = True,
    bill: list[ReceiptLine] | None = None,
) -> ReadPage:
    return read_page(written(report, dots, has_records=has_records, bill=bill))


def titles(page: ReadPage) -> list[str]:
    captions = page.all_of("figcaption")
    return [node.text for node in page.all_of("strong") if "class" not in node.attributes] if captions else []


def a_measured_report(*runs: RunReport, **overrides: object) -> BenchmarkReport:
    return measured_builders.a_report(*runs, **overrides)


def cells(page: ReadPage) -> list[str]:
    return [node.text for node in page.all_of("td")]


# ---------------------------------------------------------------- what is said


def test_verdict_tells_speed_wait_price_and_doubts_of_the_best_point() -> None:
    assert verdict(a_report()) == (
        "617.5 output tokens per second with 8 requests at a time, the first token after 97.45 ms (median), "
        "$0.167 per million output tokens, 97.9% of the requests within the limits. Read with care: "
        "eos_not_ignored."
    )


def test_title_is_the_name_of_the_job_beside_its_model() -> None:
    page = read(a_report(name="nightly"), bill=BILL)

    assert page.all_of("title")[0].text == "nightly: benchmark report"
    assert [node.text for node in page.all_of("bdi")][:3] == ["nightly", "llama3.1:8b", "8.0B, Q4_K_M"]


def test_page_has_each_figure_of_a_rented_machine() -> None:
    dots = {index: a_sample(20) for index in range(3)}

    page = read(dots=dots, bill=BILL)

    assert titles(page) == [
        "Price against time to first token",
        "Throughput over load",
        "Time to first token over load",
        "Time per output token over load",
        "Whole answer over load",
        "1 at a time",
        "4 at a time",
        "8 at a time",
        "Time to ready",
        "The bill",
        "Price of 1 M output tokens",
    ]


def test_bill_adds_up_what_was_paid_for_each_phase() -> None:
    page = read(bill=BILL)

    assert "Measuring" in page.text
    assert "$0.0123" in page.text


def test_server_that_was_not_rented_has_no_price_and_the_page_says_why() -> None:
    report = a_report(cost=None, hardware=None, time_to_ready=None)
    report = report.model_copy(
        update={"runs": [run.model_copy(update={"cost": None}) for run in report.runs]}
    )

    page = read(report)

    assert titles(page)[0] == "Throughput against time to first token"
    assert "RUNE did not rent this server" in page.text
    assert "$" not in page.text


def test_tokens_that_are_billed_one_by_one_have_their_bill_on_the_page() -> None:
    bill = TokenCostReport(tokens_usd=0.0123, usd_per_million_output_tokens_all_in=2.0)

    page = read(a_report(cost=None, hardware=None, time_to_ready=None, token_cost=bill))

    assert "The tokens of this job cost $0.0123" in page.text
    assert "did not rent" not in page.text


def test_tokens_that_nobody_counted_have_no_price() -> None:
    report = a_report()
    runs = [
        run.model_copy(
            update={"cost": run.cost and run.cost.model_copy(update={"usd_per_million_output_tokens": None})}
        )
        for run in report.runs
    ]

    page = read(report.model_copy(update={"runs": runs}))

    assert "the server did not count them" in page.text
    assert cells(page).count("") >= 3
    assert page.text.count("not measured") >= 3


# ---------------------------------------------------------------- what is missing


def test_failures_alone_have_no_times_and_no_zeros() -> None:
    run = a_run(*(a_failed(number) for number in range(4)))
    report = a_measured_report(run)

    page = read(report, {0: a_sample(4, "failed")})

    assert verdict(report).startswith("No request was answered: 4 failed.")
    assert "0 of 4" in page.text
    assert "4 server_overloaded" in page.text
    assert titles(page) == ["1 at a time"]
    assert page.text.count("not measured") >= 4
    assert not re.search(r"\b0(\.0+)? (ms|s|tokens)\b", page.text)


def test_answers_from_which_no_speed_follows_are_answers() -> None:
    report = a_measured_report(a_run(*(a_completed(number) for number in range(3))))
    (run,) = report.runs
    report = report.model_copy(update={"best_run": None, "runs": [run]})

    assert verdict(report) == "3 requests were answered, but no speed and no price follows from the answers."


def test_requests_that_were_all_cut_off_are_no_answers() -> None:
    report = a_measured_report(a_run(a_cut_off(0), a_cut_off(1)))

    assert verdict(report).startswith("No request was answered: none came to its end.")
    assert "2 cut off" in read(report, {0: a_sample(2, "cut_off")}).text


def test_report_without_runs_says_that_nothing_was_measured() -> None:
    report = a_report(runs=[], best_run=None, ended_by="time_over")

    assert "Nothing was measured." in read(report).text


def test_one_request_makes_a_page() -> None:
    report = a_measured_report(a_run(a_completed()))

    page = read(report, has_records=False)

    assert "no file of single requests" in page.text
    assert "⚠ few_samples" in page.text


def test_forty_points_make_a_page_whose_axes_can_be_read() -> None:
    one = a_report().runs[0]
    runs = [one.model_copy(update={"index": index, "max_concurrency": index + 1}) for index in range(40)]

    page = written(a_report(runs=runs, best_run=39), {index: a_sample(500) for index in range(40)})

    assert len(page) < 1_000_000
    numbers = [float(x) for x in re.findall(r'<text x="([\d.]+)" y="193" text-anchor="middle"', page)]
    gaps = [after - before for before, after in pairwise(numbers) if after > before]
    assert min(gaps) > 12


def test_open_and_closed_loads_have_figures_of_their_own() -> None:
    one = a_report().runs[0]
    runs = [
        one,
        one.model_copy(update={"index": 1, "load": "open", "request_rate_per_s": 2.5, "max_concurrency": 32}),
    ]

    page = read(a_report(runs=runs))

    assert titles(page).count("Throughput over load") == 2
    assert "2.5/s" in page.text


def test_number_that_one_point_lacks_is_named_and_not_drawn() -> None:
    first, *others = a_report().runs
    report = a_report(runs=[first.model_copy(update={"tpot_ms": None}), *others])

    page = read(report)

    assert "Not measured at 1." in page.text


@pytest.mark.parametrize("ended_by", get_args(EndedBy.__value__))
def test_end_is_told_in_words(ended_by: str) -> None:
    for word in get_args(ended_by) or (ended_by,):
        assert word not in read(a_report(ended_by=word)).text


def test_search_is_shown_by_rising_load() -> None:
    first, second, third = a_report().runs
    runs = [
        first.model_copy(update={"max_concurrency": 8}),
        second.model_copy(update={"max_concurrency": 2}),
        third.model_copy(update={"max_concurrency": 4}),
    ]
    tried: tuple[tuple[float, float | None, float | None, float | None, Certainty], ...] = (
        (2, 1.0, 0.95, 1.0, "within"),
        (4, 0.92, 0.82, 0.97, "undecided"),
        (8, None, None, None, "undecided"),
    )
    loads = [
        CapacityLoad(
            load=load, runs=[0], good_ratio=good, good_ratio_low=low, good_ratio_high=high, verdict=verdict_
        )
        for load, good, low, high, verdict_ in tried
    ]
    capacity = CapacityReport(
        load="concurrency",
        limits=GoodputLimits(ttft_ms=500),
        good_ratio=0.9,
        highest=4,
        surely_within=2,
        surely_beyond=None,
        at_run=2,
        goodput_requests_per_s=3.0,
        loads=loads,
    )

    report = a_report(runs=runs, capacity=capacity, ended_by="search_undecided")
    page = read(report)

    assert [node.text.strip() for node in page.all_of("th") if node.attributes == {"scope": "row"}][:3] == [
        "2",
        "4",
        "8",
    ]
    assert "Requests within the limits" in titles(page)
    assert "4 requests at a time are within the limits (2 surely is)." in verdict(report)


# ---------------------------------------------------------------- warnings


@pytest.mark.parametrize("warning", WARNINGS)
def test_each_warning_stands_beside_a_number_and_is_explained(warning: str) -> None:
    report = a_report(warnings=[])
    runs = [run.model_copy(update={"warnings": [warning]}) for run in report.runs]
    of_run, of_whole = (
        read(report.model_copy(update={"runs": runs})),
        read(report.model_copy(update={"warnings": [warning]})),
    )

    marked = [
        [node for node in page.all_of("a") if node.attributes["href"] == f"#w-{warning}"]
        for page in (of_run, of_whole)
    ]
    assert any(marked)
    assert WARNINGS[warning] in of_run.text


def test_what_is_touched_is_a_warning() -> None:
    assert set(doubts._TOUCHED) <= set(WARNINGS)


def test_warning_that_is_not_known_is_shown_all_the_same() -> None:
    report = a_report(warnings=['a later "one"'])

    page = read(report)

    assert page.text.count('⚠ a later "one"') == 2


def test_warning_has_the_number_that_it_comes_from_beside_it() -> None:
    page = read(a_measured_report(a_run(a_completed(), server_readings=READINGS)))

    marks = [node.text for node in page.all_of("a") if node.attributes["href"] == "#w-server_queued"]
    assert marks == ["⚠\N{NO-BREAK SPACE}server_queued (3)"] * 2


# ---------------------------------------------------------------- servers and turns


def rows_under(page: ReadPage, title: str) -> list[list[str]]:
    """Return the texts of the cells of the table under a title, by row."""
    at = next(index for index, node in enumerate(page.nodes) if (node.tag, node.text) == ("h2", title))
    rows: list[list[str]] = []
    for node in page.nodes[at + 1 :]:
        if node.tag == "h2":
            break
        if node.tag == "tr":
            rows.append([])
        elif node.tag == "td":
            rows[-1].append(node.text)
        elif rows and rows[-1] and node.tag in {"span", "small"}:
            rows[-1][-1] += f" {node.text}" if rows[-1][-1] else node.text
    return [row for row in rows if row]


def test_server_has_a_row_for_each_run_that_it_told_of() -> None:
    told = a_run(a_completed(), server_readings=READINGS)

    page = read(a_measured_report(told, a_run(a_completed())))

    assert rows_under(page, "What the server says of its load") == [
        ["2 vllm", "8 mean 8", "3 mean 3", "97.0%", "2", "400 40.0%", "not measured", "0"]
    ]


def test_turns_have_a_row_each_where_there_are_conversations() -> None:
    first = replace(a_completed(0, cached_tokens=0), conversation=0, turns_left=1)
    second = replace(a_completed(1, sent_ms=400, cached_tokens=40), conversation=0, turn=1)

    page = read(a_measured_report(a_run(first, second)))

    assert rows_under(page, "Turns") == [
        ["0", "1 of 1", "100 ms max 100 ms", "10 ms max 10 ms", "50", "20", "0.0%"],
        ["1", "1 of 1", "100 ms max 100 ms", "10 ms max 10 ms", "50", "20", "80.0%"],
    ]


def test_tables_without_a_row_are_left_out() -> None:
    headings = [node.text for node in read().all_of("h2")]

    assert "What the server says of its load" not in headings
    assert "Turns" not in headings


# ---------------------------------------------------------------- single requests


def test_dots_are_those_of_the_records_file() -> None:
    records = [
        a_completed(0, sent_ms=10),
        a_failed(1, sent_ms=20, ended_ms=50),
        a_cut_off(2, sent_ms=30, ended_ms=90),
        a_failed(3, sent_ms=None),
    ]
    lines = record_lines(0, records).splitlines()

    sample = read_dots([lines[0][:40], *lines, "{", "[]", "null", '{"sent_ms": "x"}'], is_whole=True)

    assert sample.dots == (
        RequestDot("completed", 0.01, 290, 100, 290),
        RequestDot("failed", 0.02, 30, None, None),
        RequestDot("cut_off", 0.03, 60, None, None),
    )
    assert sample.unsent_count == 1


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-1", "1e400", "true", '"1"', "[1]", "1" * 400])
def test_dot_without_a_time_is_none(value: str) -> None:
    line = f'{{"status": "completed", "sent_ms": {value}, "ended_ms": 5}}'

    assert read_dots([line], is_whole=True).dots == ()


def test_many_dots_are_thinned_and_the_page_says_so() -> None:
    page = read(dots={0: a_sample(4 * MOST_DOTS_OF_A_RUN)})

    assert "Drawn is every 4th answered request." in page.text
    assert f"{4 * MOST_DOTS_OF_A_RUN:,}" in cells(page)
    assert f"{MOST_DOTS_OF_A_RUN:,}" in cells(page)


def test_page_says_what_was_not_read() -> None:
    parts = DotSample(a_sample(3).dots, is_whole=False)

    page = read(dots={0: parts, 1: DotSample((), is_whole=True)})

    assert "parts of it, spread over the time, are shown" in page.text
    assert "none can be shown, at: 4 at a time." in page.text
    assert "could not be read of: 8 at a time." in page.text


# ---------------------------------------------------------------- hostile names

HOSTILE = {
    "an element": "<script>alert(1)</script>",
    "the style's end": "</style></title></svg></textarea><img src=x onerror=alert(1)>",
    "an attribute's end": '"><svg onload=alert(1)>',
    "a comment": "<!--><!-- --!> ]]> <![CDATA[",
    "an entity": "&lt;b&gt; &amp; &#0;",
    "bidi controls": "a\u202egnp.exe\u2066\u2067\u2069\u200f\u061c",
    "NUL and controls": "a\0b\x1b[31m\r\n\x85",
    "half a character": "\ud800x\udfff",
    "no character": "\ufffe\uffff\ufeff",
    "a long word": "W" * 5000,
    "a template": "{{7*7}} ${7*7} %s {0}",
    "an address": "javascript:alert(1) http://example.com/?x=1",
}


def a_hostile_report(text: str) -> BenchmarkReport:
    report = a_report()
    hardware = report.hardware
    assert isinstance(hardware, HardwareReport)
    run = report.runs[0].model_copy(update={"errors_by_class": {text: 3}, "warnings": [text]})
    told = a_run(a_completed(), server_readings=READINGS).server
    assert told is not None
    run = run.model_copy(
        update={"server": told.model_copy(update={"source": text}), "warning_evidence": {text: 1.5}}
    )
    return report.model_copy(
        update={
            "model": report.model.model_copy(
                update={"id": text, "quantization": text, "parameter_size": text}
            ),
            "server": report.server.model_copy(update={"name": text, "version": text}),
            "hardware": hardware.model_copy(update={"gpu_name": text, "place": text}),
            "dataset": report.dataset.model_copy(update={"name": text}),
            "client_region": text,
            "benchmark_id": text,
            "name": text,
            "tool_version": text,
            "warnings": [text],
            "runs": [run, *report.runs[1:]],
        }
    )


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_no_name_becomes_a_part_of_the_page(text: str) -> None:
    harmless, hostile = read(a_hostile_report("x"), bill=BILL), written(a_hostile_report(text), bill=BILL)

    assert read_page(hostile).structure == harmless.structure
    assert not re.search(
        r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]", hostile
    )
    assert hostile.encode()


def test_page_of_a_long_name_stays_short() -> None:
    assert len(written(a_hostile_report("W" * 100_000))) < 100_000


# ---------------------------------------------------------------- what browsers may do


def test_style_is_the_one_that_browsers_are_told_of() -> None:
    page = read_page(written())

    style = page.all_of("style")
    digest = base64.b64encode(hashlib.sha256(style[0].text.encode()).digest()).decode()
    assert [node.text for node in style] == [STYLE]
    assert f"style-src 'sha256-{digest}';" in HEADERS["Content-Security-Policy"]
    assert HEADERS["Content-Security-Policy"].startswith("default-src 'none';")
    assert "unsafe" not in HEADERS["Content-Security-Policy"]
    assert not re.search(r"@import|url\(|expression", STYLE)


def test_page_has_no_prompts_and_no_answers() -> None:
    line = json.loads(record_lines(0, [a_completed(text="the secret answer")]))
    dots = {0: read_dots([json.dumps(line)], is_whole=True)}

    assert "secret" not in written(dots=dots)
