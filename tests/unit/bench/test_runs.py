from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rune.bench.definitions import FORMULAS, WARNINGS
from rune.bench.records import MeasuredPoint, Point, RequestRecord
from rune.bench.runs import fold_run, quality_of
from rune.bench.statistics import describe, independent_count
from rune.contracts import (
    Distribution,
    Expectation,
    GoodputLimits,
    JudgeModel,
    QualityReport,
    RunReport,
    ServerSide,
    StandardErrors,
)
from rune.llm.protocol import FinishReason, ServerTimings, TokenCountSource
from tests.measured_builders import (
    MS,
    a_completed,
    a_cut_off,
    a_failed,
    a_generation,
    a_measured_point,
    a_run,
    an_empty_generation,
)

NO_SERVER_SIDE = ServerSide(
    total_ms=None,
    load_ms=None,
    prompt_eval_ms=None,
    eval_ms=None,
    prompt_tokens_per_s=None,
    output_tokens_per_s=None,
)


def flat(value: float, count: int) -> Distribution:
    described = describe([value] * count)
    assert described is not None
    return described


def of_requests(value: float, count: int) -> Distribution:
    return flat(value, count).model_copy(update={"independent_count": count if count > 1 else None})


def of_times(value: float, count: int) -> Distribution:
    """Return what quantiles are compared of: with their errors, which are 0 where all are equal."""
    whole = of_requests(value, count)
    errors = {name: None if getattr(whole, name) is None else 0.0 for name in StandardErrors.model_fields}
    return whole.model_copy(update={"standard_errors": StandardErrors(**errors) if count > 1 else None})


def test_two_answers_one_after_the_other_are_folded_as_by_hand() -> None:
    """Sent at 0 and 500 ms; first chunk after 100 ms, then 4 gaps of 50 ms; 9 tokens in 5 chunks."""
    first = a_completed(0, sent_ms=0, ttft_ms=100, gaps_ms=[50] * 4, output_tokens=9)
    second = a_completed(1, sent_ms=500, ttft_ms=100, gaps_ms=[50] * 4, output_tokens=9)

    assert fold_run(a_measured_point(first, second), None, None) == RunReport(
        index=0,
        load="closed",
        max_concurrency=1,
        request_rate_per_s=None,
        started_at=datetime(2026, 11, 23, 12, tzinfo=UTC),
        duration_s=0.8,
        num_prompts=2,
        num_warmups=2,
        completed=2,
        failed=0,
        cut_off=0,
        errors_by_class={},
        total_input_tokens=100,
        total_output_tokens=18,
        total_cached_tokens=None,
        token_count_source="usage",
        request_throughput_per_s=2.5,
        output_throughput_tokens_per_s=22.5,
        total_throughput_tokens_per_s=147.5,
        steady_output_throughput_tokens_per_s=22.5,
        # Parts of 80 ms; chunks of 1.8 tokens at 100, 150, 200, 250, 300 and 600, 650, 700, 750, 800 ms.
        output_throughput_windows_tokens_per_s=windows_of([0, 45, 22.5, 45, 0, 0, 0, 22.5, 45, 45]),
        goodput_requests_per_s=None,
        good_ratio=None,
        ttft_ms=of_times(100, 2),
        ttfo_ms=of_requests(100, 2),
        # A chunk is 1.8 tokens, so 7.2 come in the 200 ms after the first.
        tpot_ms=of_times(27.777778, 2),
        itl_ms=flat(50, 8),
        e2el_ms=of_times(300, 2),
        client_queue_time_ms=None,
        output_tokens_per_s_per_user=of_requests(36, 2),
        input_tokens=flat(50, 2),
        output_tokens=flat(9, 2),
        mean_tokens_per_chunk=1.8,
        max_concurrent_requests=1,
        max_output_tokens_per_s=18,
        stream_buffered_count=0,
        prompt_truncated_count=0,
        server_side=NO_SERVER_SIDE,
        rtt_ms=1.5,
        loop_lag_p99_ms=0.4,
        quality=None,
        warnings=["few_samples", "short_answers"],
        resent_count=0,
        # The same, since the one slot is busy from the first request to the last.
        steady_output_throughput_windows_tokens_per_s=windows_of([0, 45, 22.5, 45, 0, 0, 0, 22.5, 45, 45]),
    )


def windows_of(rates_per_s: Sequence[float]) -> Distribution:
    count = independent_count(rates_per_s)
    return rounded(describe(rates_per_s)).model_copy(update={"independent_count": count})


def rounded(whole: Distribution | None) -> Distribution:
    assert whole is not None
    numbers = {"mean": whole.mean, "std": whole.std or 0, "median": whole.median}
    return whole.model_copy(update={name: round(number, 6) for name, number in numbers.items()})


def test_a_failure_before_the_end_lengthens_the_duration_and_is_in_no_latency() -> None:
    run = a_run(a_failed(1, ended_ms=710), a_failed(2, code="server_timeout"), a_completed(0, sent_ms=710))

    assert (run.num_prompts, run.completed, run.failed) == (3, 1, 2)
    assert run.errors_by_class == {"server_overloaded": 1, "server_timeout": 1}
    assert run.e2el_ms == of_requests(290, 1)
    assert (run.duration_s, run.output_throughput_tokens_per_s) == (1.0, 20.0)


def test_a_request_that_stood_still_until_its_timeout_ends_the_duration_of_no_other() -> None:
    """Four slots; one stands still for ten seconds, and the others answer twelve requests within one."""
    answered = [
        a_completed(3 * wave + slot, sent_ms=300 * wave, ttft_ms=100, gaps_ms=[10] * 19, output_tokens=20)
        for wave in range(4)
        for slot in range(3)
    ]
    stalled = a_failed(99, ended_ms=10_000, code="server_timeout")

    run = a_run(*answered, stalled, point=Point(0, 4))

    assert run.duration_s == 1.19
    assert run.output_throughput_tokens_per_s == pytest.approx(12 * 20 / 1.19)
    assert run.steady_output_throughput_tokens_per_s == pytest.approx(12 * 20 / 1.19, rel=0.01)


def test_an_answer_that_stood_still_is_said() -> None:
    still = a_completed(gaps_ms=[10] * 10 + [2010] + [10] * 8)

    assert "requests_stalled" in a_run(still).warnings
    assert "requests_stalled" not in a_run(a_completed(gaps_ms=[2010] * 19)).warnings
    assert "requests_stalled" not in a_run(a_completed(gaps_ms=[10] * 10 + [1990] + [10] * 8)).warnings


@pytest.mark.parametrize(
    ("completed_count", "concurrency", "is_few"), [(9, 2, True), (10, 2, False), (1, 1, False)]
)
def test_few_requests_for_each_slot_are_said(completed_count: int, concurrency: int, is_few: bool) -> None:
    run = a_run(*(a_completed(number) for number in range(completed_count)), point=Point(0, concurrency))

    assert ("few_waves" in run.warnings) == is_few


def test_a_request_that_was_cut_off_is_in_the_steady_state_alone() -> None:
    """Its ten chunks of a token each come until 10 ms before the end of the point's time."""
    whole = a_run(a_completed(0))

    cut = a_run(a_completed(0), a_cut_off(1, sent_ms=300, ended_ms=500, arrivals_ms=range(400, 500, 10)))

    steady = {
        name: getattr(cut, name)
        for name in ("steady_output_throughput_tokens_per_s", "steady_output_throughput_windows_tokens_per_s")
    }
    counted = {"num_prompts": 2, "cut_off": 1, "warnings": ["few_samples", "cut_short"]}
    assert cut == whole.model_copy(update={**counted, **steady})
    assert cut.steady_output_throughput_tokens_per_s == 60  # 30 tokens within half a second


def test_failures_alone_have_a_throughput_of_nothing() -> None:
    run = a_run(a_failed(0), a_failed(1))

    assert (run.request_throughput_per_s, run.output_throughput_tokens_per_s) == (0, 0)
    assert (run.ttft_ms, run.steady_output_throughput_tokens_per_s, run.token_count_source) == (
        None,
        None,
        None,
    )


@pytest.mark.parametrize(
    "records", [(), (a_cut_off(0),), (a_failed(0, sent_ms=None),), (a_cut_off(0, sent_ms=None),)]
)
def test_a_point_without_an_ended_request_has_no_throughput(records: tuple[RequestRecord, ...]) -> None:
    run = a_run(*records)

    assert (run.request_throughput_per_s, run.output_throughput_tokens_per_s) == (None, None)
    assert (run.output_throughput_windows_tokens_per_s, run.max_output_tokens_per_s) == (None, None)


LIMITED = GoodputLimits(ttft_ms=100, tpot_ms=10, e2el_ms=290)


@pytest.mark.parametrize(
    ("record", "is_good"),
    [
        pytest.param(a_completed(), True, id="at every limit"),
        pytest.param(a_completed(ttft_ms=101, gaps_ms=[10] * 18, output_tokens=19), False, id="late"),
        pytest.param(a_completed(ttft_ms=90, output_tokens=19), False, id="slow"),
        pytest.param(a_completed(ttft_ms=100, gaps_ms=[10] * 20, output_tokens=21), False, id="long"),
        pytest.param(a_completed(gaps_ms=[190], output_tokens=1), True, id="one token has no pace"),
        pytest.param(replace(a_completed(), generation=an_empty_generation()), False, id="empty"),
        pytest.param(a_failed(ended_ms=290), False, id="failed"),
    ],
)
def test_good_is_within_all_limits(record: RequestRecord, is_good: bool) -> None:
    run = a_run(record, goodput=LIMITED)

    assert run.good_ratio == is_good
    assert run.goodput_requests_per_s == pytest.approx(is_good / run.duration_s, abs=1e-6)


def test_open_load_tells_how_long_requests_waited_to_be_sent() -> None:
    records = [a_completed(i, due_ms=100 * i, sent_ms=100 * i + 30) for i in range(10)]

    run = a_run(*records, point=Point(3, 8, request_rate_per_s=10.0))

    assert (run.index, run.load, run.max_concurrency, run.request_rate_per_s) == (3, "open", 8, 10)
    assert run.client_queue_time_ms == of_requests(30, 10)
    assert run.ttft_ms == of_times(100, 10)
    assert run.steady_output_throughput_tokens_per_s is None
    assert run.warnings == ["arrivals_delayed"]
    assert (run.schedule_delay_ms, run.ttft_from_due_ms) == (of_requests(30, 10), of_times(130, 10))
    assert run.e2el_from_due_ms == of_times(320, 10)
    assert run.achieved_request_rate_per_s == pytest.approx(10 / 0.93)


def test_open_load_whose_idle_connections_are_opened_anew_is_on_time() -> None:
    records = [a_completed(i, due_ms=5000 * i, ready_ms=5000 * i, sent_ms=5000 * i + 30) for i in range(10)]

    run = a_run(*records, point=Point(0, 8, request_rate_per_s=0.2))

    assert run.warnings == []
    assert run.schedule_delay_ms == of_requests(0, 10)


def test_goodput_of_an_open_load_counts_from_when_requests_were_due() -> None:
    """Each waits a second for a slot, and then for 100 ms."""
    late = [a_completed(i, due_ms=0, sent_ms=1000) for i in range(4)]

    at_rate = a_run(*late, point=Point(0, 8, request_rate_per_s=10.0), goodput=GoodputLimits(ttft_ms=500))
    closed = a_run(*late, point=Point(0, 8), goodput=GoodputLimits(ttft_ms=500))

    assert (at_rate.good_ratio, closed.good_ratio) == (0, 1)


@pytest.mark.parametrize(
    ("cut_off", "limits", "good_ratio"),
    [
        pytest.param(
            a_cut_off(1, ended_ms=501), GoodputLimits(ttft_ms=500), 0.5, id="waits too long for its first"
        ),
        pytest.param(
            a_cut_off(1, ended_ms=499), GoodputLimits(ttft_ms=500), 1, id="could still have been good"
        ),
        pytest.param(
            a_cut_off(1, ended_ms=900, arrivals_ms=[400, 500]),
            GoodputLimits(ttft_ms=500),
            1,
            id="was in time",
        ),
        pytest.param(
            a_cut_off(1, ended_ms=900, arrivals_ms=[501]), GoodputLimits(ttft_ms=500), 0.5, id="was late"
        ),
        pytest.param(a_cut_off(1, ended_ms=1001), GoodputLimits(e2el_ms=1000), 0.5, id="lasts too long"),
        pytest.param(
            a_cut_off(1, sent_ms=None, ended_ms=501), GoodputLimits(ttft_ms=500), 0.5, id="never sent"
        ),
        pytest.param(
            a_cut_off(1, sent_ms=600, ended_ms=1001), GoodputLimits(ttft_ms=500), 0.5, id="sent late"
        ),
        pytest.param(
            a_cut_off(1, due_ms=600, sent_ms=600, ended_ms=1001), GoodputLimits(ttft_ms=500), 1, id="due late"
        ),
    ],
)
def test_a_request_that_was_cut_off_is_bad_once_a_limit_has_passed(
    cut_off: RequestRecord, limits: GoodputLimits, good_ratio: float
) -> None:
    run = a_run(a_completed(), cut_off, goodput=limits, point=Point(0, 8, request_rate_per_s=10.0))

    assert run.good_ratio == good_ratio


def test_steady_throughput_leaves_ramp_and_drain_out() -> None:
    """Two slots: one is busy from 0, the other from 1000 ms; each has a token every 100 ms."""
    records = [a_completed(n, sent_ms=1000 * n, ttft_ms=100, gaps_ms=[100] * 19) for n in range(2)]

    run = a_run(*records, point=Point(0, 2))

    # Both are busy from 1000 to 2000 ms: 11 tokens of the first (at 1000 too) and 10 of the second.
    assert run.steady_output_throughput_tokens_per_s == 21
    assert run.output_throughput_tokens_per_s == pytest.approx(40 / 3)


def test_servers_view_is_kept_apart_and_leaves_cached_tokens_out() -> None:
    def answer(number: int, **counts: int | None) -> RequestRecord:
        timings = ServerTimings(
            total_ms=100 + 50 * number, load_ms=2, prompt_eval_ms=20, eval_ms=100 * (number + 1)
        )
        return a_completed(number, sent_ms=300 * number, timings=timings, **counts)

    run = a_run(answer(0, input_tokens=50, cached_tokens=30), answer(1, input_tokens=40, cached_tokens=0))

    assert run.server_side == ServerSide(
        total_ms=125,
        load_ms=2,
        prompt_eval_ms=20,
        eval_ms=150,
        prompt_tokens_per_s=1500,  # (20 + 40) tokens in 40 ms
        output_tokens_per_s=133.333333,  # 40 tokens in 300 ms
    )
    assert run.total_cached_tokens == 30


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ([TokenCountSource.USAGE], "usage"),
        ([TokenCountSource.CHUNKS, TokenCountSource.CHUNKS], "chunks"),
        ([TokenCountSource.USAGE, TokenCountSource.SERVER], "mixed"),
    ],
)
def test_the_one_who_counted_is_named(sources: list[TokenCountSource], expected: str) -> None:
    run = a_run(*[a_completed(i, sent_ms=300 * i, source=source) for i, source in enumerate(sources)])

    assert run.token_count_source == expected


def test_an_unknown_prompt_length_leaves_no_total_throughput() -> None:
    run = a_run(a_completed(0, input_tokens=None), a_completed(1, input_tokens=7))

    assert (run.total_input_tokens, run.input_tokens) == (7, flat(7, 1))
    assert run.total_throughput_tokens_per_s is None


def many(**of_each: object) -> list[RequestRecord]:
    return [a_completed(n, sent_ms=300 * n, due_ms=None, **of_each) for n in range(20)]  # type: ignore[arg-type]  # as named there


def an_unexplained() -> RequestRecord:
    record = a_completed()
    assert record.generation is not None
    return replace(record, generation=replace(record.generation, finish_reason=FinishReason.OTHER))


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        (many(), []),
        (many()[:10], []),
        (many()[:9], ["few_samples"]),
        ([*many(), a_failed(code="server_failed")], ["errors"]),
        ([*many(), a_failed(code="server_overloaded")], ["errors", "server_throttled"]),
        ([*many(), a_cut_off()], ["cut_short"]),
        ([*many(), replace(a_completed(), is_buffered=True)], ["stream_buffered"]),
        ([*many(), replace(a_completed(), is_truncated=True)], ["prompt_truncated"]),
        (many(source=TokenCountSource.CHUNKS), ["token_counts_estimated"]),
        ([*many(), a_completed(input_tokens=None)], ["input_tokens_unknown"]),
        (many(cached_tokens=5), []),
        (many(cached_tokens=6), ["prefix_cache_hits"]),
        (many(output_tokens=15), ["short_answers"]),
        (many(output_tokens=16), []),
        ([*many(), replace(a_completed(), generation=an_empty_generation(10))], ["empty_answers"]),
        ([*many(), a_completed(text="\n", output_tokens=10, gaps_ms=[9] * 9)], ["empty_answers"]),
        ([*many(), an_unexplained()], ["unknown_ends"]),
        (many(gaps_ms=[60] * 2), ["few_pieces"]),
        ([*many(), *many(gaps_ms=[60] * 3)], []),
        ([*many(), *many(gaps_ms=[60] * 2)], ["few_pieces"]),
        ([*many(), a_completed(output_tokens=200, text=" tok" * 20)], ["reasoning_hidden"]),
        (many(source=TokenCountSource.CHARACTERS), ["token_counts_estimated"]),
    ],
)
def test_each_doubt_has_its_name(records: list[RequestRecord], expected: list[str]) -> None:
    assert a_run(*records).warnings == expected
    assert set(expected) <= set(WARNINGS)


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        (Point(0, 2), []),
        (Point(0, 3), ["concurrency_not_reached"]),
        (Point(0, 3, request_rate_per_s=10.0), []),
    ],
)
def test_a_closed_load_that_never_had_all_under_way_is_told(point: Point, expected: list[str]) -> None:
    """Twenty answers of 290 ms, one every 200: two are under way at a time."""
    records = [a_completed(n, sent_ms=200 * n) for n in range(20)]

    assert a_run(*records, point=point).warnings == expected


@pytest.mark.parametrize(("reasoning", "expected"), [("Let me see.", []), ("", ["reasoning_hidden"])])
def test_tokens_that_were_counted_and_never_shown_are_told(reasoning: str, expected: list[str]) -> None:
    """16 of 20 tokens are reasoning: shown, they have their chunks; hidden, they make the others look fast."""
    generation = a_generation()
    counted = replace(generation.tokens, reasoning_count=16)
    thinking = replace(a_completed(), generation=replace(generation, reasoning=reasoning, tokens=counted))

    assert a_run(*many(), thinking).warnings == expected


def test_prefill_of_short_prompts_is_not_believed_where_the_template_may_be_cached() -> None:
    """Half of each prompt is the template's, which the server counts and does not read again."""
    short = a_run(a_completed(input_tokens=50, timings=ServerTimings(prompt_eval_ms=25.0)))
    mixed = a_run(
        a_completed(input_tokens=50, timings=ServerTimings(prompt_eval_ms=25.0)),
        a_completed(1, input_tokens=3000, timings=ServerTimings(prompt_eval_ms=3000.0)),
    )

    assert short.server_side.prompt_tokens_per_s is None
    assert mixed.server_side.prompt_tokens_per_s == 1000


@pytest.mark.parametrize(
    ("loads_ms", "is_told"),
    [
        ([20.0] * 9 + [1500.0], True),
        ([20.0] * 9 + [900.0], False),
        ([1500.0] * 9, False),
        ([1500.0], True),
        ([20.0], False),
    ],
)
def test_a_model_that_was_loaded_for_a_measured_request_is_told(loads_ms: list[float], is_told: bool) -> None:
    records = [a_completed(n, timings=ServerTimings(load_ms=load_ms)) for n, load_ms in enumerate(loads_ms)]

    assert ("model_reloaded" in a_run(*records).warnings) == is_told


def test_requests_that_were_sent_anew_are_counted() -> None:
    record = a_completed()
    assert record.generation
    resent = replace(record, generation=replace(record.generation, resent_count=2))

    assert a_run(resent, a_completed(1)).resent_count == 2


def test_a_server_that_counts_more_from_its_cache_than_there_is_has_no_speed_below_zero() -> None:
    timings = ServerTimings(prompt_eval_ms=10.0)
    run = a_run(a_completed(input_tokens=50, cached_tokens=60, timings=timings))

    assert run.server_side.prompt_tokens_per_s == 0


def test_requests_for_which_no_time_was_left_are_told() -> None:
    """Of an open load there may be none under way when the time is over, and still many to come."""
    run = a_run(*many(), point=Point(0, 8, request_rate_per_s=10.0), unsent_count=1)

    assert (run.num_prompts, run.cut_off) == (20, 0)
    assert "cut_short" in run.warnings


@pytest.mark.parametrize(("lag_ms", "expected"), [(None, []), (5.0, []), (5.1, ["client_overloaded"])])
def test_a_late_event_loop_is_told(lag_ms: float | None, expected: list[str]) -> None:
    assert a_run(*many(), loop_lag_p99_ms=lag_ms).warnings == expected


@pytest.mark.parametrize(
    ("ratio", "expected"), [(None, []), (0.5, []), (0.9, []), (0.91, ["client_overloaded"])]
)
def test_client_that_uses_all_of_its_processor_is_told(ratio: float | None, expected: list[str]) -> None:
    run = a_run(*many(), processor_ratio=ratio, process_count=3)

    assert (run.warnings, run.client_processor_ratio, run.client_process_count) == (expected, ratio, 3)


def test_answers_without_content_have_no_latencies() -> None:
    run = a_run(replace(a_completed(), generation=an_empty_generation(5)))

    assert (run.completed, run.total_output_tokens) == (1, 5)
    assert (run.ttft_ms, run.tpot_ms, run.itl_ms, run.e2el_ms) == (None, None, None, None)
    assert run.mean_tokens_per_chunk is None
    assert run.max_output_tokens_per_s == 5


def test_quality_counts_failures_as_not_passed() -> None:
    scored = [replace(a_completed(n), score=score) for n, score in enumerate([1.0, 2 / 3, 0.0])]

    run = a_run(*scored, a_failed(3), expected=Expectation(contains=["a", "b", "c"], pass_score=2 / 3))

    assert run.quality == QualityReport(
        method="contains",
        score=rounded(describe([1, 0.666667, 0])),
        pass_score=2 / 3,
        passed_count=2,
        judged_count=4,
        unjudged_count=0,
        reliability_ratio=0.5,
    )


def test_quality_waits_for_a_judge() -> None:
    judged = Expectation(judge=JudgeModel(model="m", rubric="r"))

    assert a_run(a_completed(), expected=judged).quality is None
    assert quality_of(judged, [0.7, 0.6], failed_count=0, unjudged_count=3) == QualityReport(
        method="judge",
        score=rounded(describe([0.6, 0.7])),
        pass_score=0.7,
        passed_count=1,
        judged_count=2,
        unjudged_count=3,
        reliability_ratio=0.5,
    )


def test_nothing_judged_is_no_reliability() -> None:
    quality = quality_of(Expectation(regex="x"), [], failed_count=0, unjudged_count=2)

    assert (quality.score, quality.reliability_ratio) == (None, None)


@st.composite
def measured_points(draw: st.DrawFn) -> MeasuredPoint:
    moments = st.integers(0, 5000)
    records = []
    for number in range(draw(st.integers(0, 12))):
        sent_ms = draw(moments)
        kind = draw(st.sampled_from(["completed", "completed", "failed", "cut_off", "unsent"]))
        if kind == "completed":
            gaps_ms = draw(st.lists(st.integers(0, 400), max_size=8))
            output_tokens = draw(st.integers(1, 30))
            records.append(a_completed(number, sent_ms=sent_ms, gaps_ms=gaps_ms, output_tokens=output_tokens))
        elif kind == "failed":
            records.append(a_failed(number, sent_ms=sent_ms, ended_ms=sent_ms + draw(moments)))
        elif kind == "cut_off":
            records.append(a_cut_off(number, sent_ms=sent_ms, ended_ms=20_000))
        else:
            records.append(a_failed(number, sent_ms=None, ended_ms=sent_ms))
    return a_measured_point(*records, point=Point(0, draw(st.integers(1, 4))))


@given(measured_points())
@settings(max_examples=150)
def test_numbers_of_any_point_agree_with_one_another(measured: MeasuredPoint) -> None:
    run = fold_run(measured, GoodputLimits(ttft_ms=150), None)

    assert run.completed + run.failed + run.cut_off == run.num_prompts
    assert sum(run.errors_by_class.values()) == run.failed
    assert set(run.warnings) <= set(WARNINGS)
    windows, throughput = run.output_throughput_windows_tokens_per_s, run.output_throughput_tokens_per_s
    if windows is not None:
        # Ten equal parts: their mean is the whole, to the last digit that is published.
        assert windows.mean == pytest.approx(throughput, abs=2e-6)
        assert throughput is not None
        assert throughput * run.duration_s == pytest.approx(run.total_output_tokens, abs=1e-3)
    if run.max_output_tokens_per_s is not None:
        assert run.max_output_tokens_per_s <= run.total_output_tokens + 1e-6
    assert RunReport.model_validate_json(run.model_dump_json()) == run


@given(measured_points(), st.integers(0, 10**9))
@settings(max_examples=50)
def test_numbers_do_not_depend_on_when_the_point_began(measured: MeasuredPoint, later_ms: int) -> None:
    moved = tuple(
        replace(
            record,
            due_ns=record.due_ns + later_ms * MS,
            sent_ns=None if record.sent_ns is None else record.sent_ns + later_ms * MS,
            ended_ns=record.ended_ns + later_ms * MS,
        )
        for record in measured.records
    )

    assert fold_run(replace(measured, records=moved), None, None) == fold_run(measured, None, None)


def test_every_number_of_a_run_has_its_formula() -> None:
    given_as_they_are = {
        "index", "load", "max_concurrency", "request_rate_per_s", "started_at", "num_prompts", "num_warmups",
        "completed", "failed", "cut_off", "errors_by_class", "error_sentences",
        "total_input_tokens", "total_output_tokens",
        "total_cached_tokens", "token_count_source", "stream_buffered_count", "prompt_truncated_count", "rtt_ms",
        "loop_lag_p99_ms", "server_side", "quality", "warnings", "cost",
        "client_process_count", "client_processor_ratio",
        "warning_evidence", "cached_input_source",
    }  # fmt: skip

    assert set(RunReport.model_fields) - given_as_they_are <= set(FORMULAS)
