import math
from collections import Counter
from random import Random

import pytest

from rune.bench.comparison import compare
from rune.bench.costs import add_cost
from rune.bench.metrics import METRICS, Estimate
from rune.bench.records import Point
from rune.bench.runs import quality_of
from rune.bench.statistics import Sample, WelchTest
from rune.bench.verdicts import Pair, judge, requests_for, sureness_of
from rune.contracts import (
    BenchmarkReport,
    BenchmarkRequest,
    ComparedJob,
    ComparedMetric,
    ComparedValue,
    Comparison,
    Expectation,
    HardwareReport,
    RunReport,
)
from rune.llm.protocol import ModelFacts, ServerFacts
from tests.builders import REQUEST
from tests.measured_builders import a_completed, a_failed, a_report, a_run
from tests.simulated_runs import a_simulated_report
from tests.simulation.comparisons import Setting, try_often

TRIAL_COUNT = 20


def ttfts(*values_ms: float, point: Point = Point(0, 1)) -> RunReport:  # noqa: B008  # it is frozen
    """Return a run of answers with these times to first token."""
    records = [a_completed(n, sent_ms=400 * n, ttft_ms=value) for n, value in enumerate(values_ms)]
    return a_run(*records, point=point)


def metric_of(comparison: Comparison, name: str) -> ComparedMetric:
    return next(metric for metric in comparison.points[0].metrics if metric.name == name)


def verdict_of(comparison: Comparison, name: str) -> str | None:
    return metric_of(comparison, name).values[1].verdict


def trials(slowness: float, slot_count: int) -> list[dict[str, str | None]]:
    """Return the verdict on each number in comparisons with a server that may be slower."""
    pairs = [
        [
            ("a", a_simulated_report(seed, slot_count=slot_count)),
            ("b", a_simulated_report(seed + TRIAL_COUNT, slowness=slowness, slot_count=slot_count)),
        ]
        for seed in range(TRIAL_COUNT)
    ]
    return [
        {metric.name: metric.values[1].verdict for metric in compare(pair).points[0].metrics}
        for pair in pairs
    ]


@pytest.mark.parametrize("slot_count", [1, 4])
def test_equal_servers_are_no_different(slot_count: int) -> None:
    """In one comparison of twenty anything may be told apart; also when requests wait in a queue."""
    found = trials(1.0, slot_count)

    told_apart = [trial for trial in found if {"better", "worse"} & {*trial.values()}]
    assert len(told_apart) <= 1 + TRIAL_COUNT // 20
    assert {trial["request_throughput_per_s"] for trial in found} == {"not comparable"}
    assert {trial["ttft_ms.p99"] for trial in found} == {"undecided"}


@pytest.mark.parametrize("slot_count", [1, 4])
def test_a_server_slower_by_a_fifth_is_flagged(slot_count: int) -> None:
    found = trials(1.2, slot_count)

    counts = {name: Counter(trial[name] for trial in found) for name in found[0]}
    assert [number for number, trial in enumerate(found) if "worse" not in trial.values()] == []
    assert [name for name, count in counts.items() if count["better"]] == []
    assert min(counts[name]["worse"] for name in ("tpot_ms", "itl_ms")) >= TRIAL_COUNT - 1
    assert counts["steady_output_throughput_tokens_per_s"]["worse"] >= 0.6 * TRIAL_COUNT


def test_a_slower_server_is_found_although_answers_are_of_unequal_length() -> None:
    """Forty requests, eight at a time. Ramp and drain made this "no difference" in 36 of 40 comparisons."""
    found = try_often(Setting(40, 8, slowness=1.3), trial_count=8)

    assert found.verdicts["steady_output_throughput_tokens_per_s"]["worse"] >= 7
    assert found.verdicts["e2el_ms"]["no difference"] == 0
    assert min(found.needed["e2el_ms"]) > 40


def test_a_longer_tail_is_seen_or_undecided() -> None:
    """One first token in ten takes four times as long: with few requests nobody knows, with many it is worse."""
    few, many = (try_often(Setting(count, 4, tail_slowness=4.0), trial_count=4) for count in (40, 300))

    assert few.verdicts["ttft_ms.p99"] == {"undecided": 4}
    assert min(few.needed["ttft_ms.p99"]) >= 200
    assert many.verdicts["ttft_ms.p99"]["worse"] >= 3
    assert many.verdicts["ttft_ms.p99"]["no difference"] == 0


def test_p99_of_a_hundred_requests_is_undecided_until_there_are_two_hundred() -> None:
    compared = metric_of(
        compare([("a", of_ttfts(Random(1), 100)), ("b", of_ttfts(Random(2), 100))]), "ttft_ms.p99"
    )

    value = compared.values[1]
    assert value.verdict == "undecided"
    assert value.requests_to_decide is not None
    assert value.requests_to_decide >= 200


def of_ttfts(chance: Random, count: int) -> BenchmarkReport:
    return a_report(ttfts(*(chance.lognormvariate(5, 0.3) for _ in range(count))))


def test_one_odd_number_among_many_is_not_sure() -> None:
    """Of twenty numbers one is at 1 % by chance more often than in one comparison of six."""
    almost_sure = [pair_of(distance=2.9), *(pair_of(distance=0.1 * n) for n in range(19))]
    sure = [pair_of(distance=2.9)]

    assert judge(sure[0], 0.05, sureness_of(sure))[0] == "worse"
    assert judge(almost_sure[0], 0.05, sureness_of(almost_sure)) == ("undecided", 112)


def pair_of(distance: float) -> Pair:
    """Return a pair whose difference is so many standard errors, of 100 values each."""
    metric = next(each for each in METRICS if each.name == "ttft_ms")
    std = 10.0
    first = Estimate(20.0, Sample(20.0, std, 100), std, 100, 100)
    mean = 20.0 + distance * std * math.sqrt(2 / 100)
    return Pair(metric, first, Estimate(mean, Sample(mean, std, 100), std, 100, 100))


@pytest.mark.parametrize(("second_mean", "ratio"), [(110.0, 0.4), (103.0, 0.4), (100.0, 1.4)])
def test_as_many_requests_as_it_says_would_decide(second_mean: float, ratio: float) -> None:
    def pair(count: int) -> Pair:
        return Pair(
            metric,
            Estimate(100.0, Sample(100.0, 100 * ratio, count), None, count, count),
            Estimate(second_mean, Sample(second_mean, 50 * ratio, count), None, count, count),
        )

    metric = next(each for each in METRICS if each.name == "ttft_ms")
    verdict, needed = judge(pair(30), 0.05, sureness_of([pair(30)]))

    assert verdict == "undecided"
    assert needed is not None
    assert judge(pair(needed), 0.05, sureness_of([pair(needed)]))[0] != "undecided"
    assert judge(pair(round(0.8 * needed)), 0.05, sureness_of([pair(round(0.8 * needed))]))[0] == "undecided"


def test_difference_and_interval_are_those_worked_by_hand() -> None:
    first = a_report(ttfts(90, 100, 110, 90, 110))
    second = a_report(ttfts(190, 200, 210, 190, 210))

    compared = metric_of(compare([("a", first), ("b", second)]), "ttft_ms")

    # s = 10 on both sides, so df = 8, t(0.995, 8) = 3.3554, and the margin 3.3554 * sqrt(2 * 100 / 5) = 21.2214.
    assert compared == ComparedMetric(
        name="ttft_ms",
        unit="ms",
        better="lower",
        values=[
            ComparedValue(
                job_id="a",
                value=100.0,
                std=10.0,
                count=5,
                difference=None,
                difference_ratio=None,
                interval_low=None,
                interval_high=None,
                verdict=None,
                standard_error=4.472136,
            ),
            ComparedValue(
                job_id="b",
                value=200.0,
                std=10.0,
                count=5,
                difference=100.0,
                difference_ratio=1.0,
                interval_low=78.778667,
                interval_high=121.221333,
                verdict="worse",
                standard_error=4.472136,
            ),
        ],
    )


@pytest.mark.parametrize(
    ("second_ms", "threshold_ratio", "verdict"),
    [
        ((100, 100, 100, 100, 100), 0.05, "no difference"),
        ((110, 110, 110, 110, 110), 0.05, "worse"),
        ((90, 90, 90, 90, 90), 0.05, "better"),
        ((105, 105, 105, 105, 105), 0.05, "worse"),
        ((104, 104, 104, 104, 104), 0.05, "no difference"),
        ((104, 104, 104, 104, 104), 0.03, "worse"),
        ((50, 150, 50, 150, 200), 0.05, "undecided"),
        ((200, 200, 200, 200), 0.05, "undecided"),
        ((100, 100, 100, 100, 100), 0.0, "no difference"),
    ],
)
def test_a_difference_must_be_sure_and_matter(
    second_ms: tuple[float, ...], threshold_ratio: float, verdict: str
) -> None:
    pair = [("a", a_report(ttfts(100, 100, 100, 100, 100))), ("b", a_report(ttfts(*second_ms)))]

    assert verdict_of(compare(pair, threshold_ratio=threshold_ratio), "ttft_ms") == verdict


def test_more_is_better_where_more_is_better() -> None:
    slow = a_report(a_run(*[a_completed(n, sent_ms=1000 * n, gaps_ms=[40] * 19) for n in range(10)]))
    fast = a_report(a_run(*[a_completed(n, sent_ms=300 * n) for n in range(10)]))

    assert verdict_of(compare([("slow", slow), ("fast", fast)]), "output_tokens_per_s_per_user") == "better"
    assert verdict_of(compare([("fast", fast), ("slow", slow)]), "output_throughput_tokens_per_s") == "worse"


def test_many_gaps_and_windows_of_few_requests_are_few_values() -> None:
    def four(pace_ms: float) -> BenchmarkReport:
        return a_report(a_run(*[a_completed(n, sent_ms=3000 * n, gaps_ms=[pace_ms] * 19) for n in range(4)]))

    comparison = compare([("a", four(10)), ("b", four(100))])

    assert verdict_of(comparison, "itl_ms") == "undecided"
    assert verdict_of(comparison, "output_throughput_tokens_per_s") == "undecided"
    assert metric_of(comparison, "itl_ms").values[1].requests_to_decide == 5


def test_windows_that_fall_on_answers_are_no_surer_than_the_answers() -> None:
    """Ten answers of equal length, one at a time: each window has one, and their rates do not vary at all."""

    def ten(base_ms: float) -> BenchmarkReport:
        times_ms = [base_ms + offset_ms for offset_ms in (-9, 5, -5, 5, -5, 5, -5, 5, -5, 9)]
        sent_ms = [sum(times_ms[:n]) + 19 * n for n in range(10)]
        records = [
            a_completed(n, sent_ms=sent_ms[n], ttft_ms=times_ms[n], gaps_ms=[1] * 19) for n in range(10)
        ]
        return a_report(a_run(*records))

    first, second = ten(100), ten(103)
    windows = first.runs[0].output_throughput_windows_tokens_per_s
    assert windows
    assert windows.std == 0

    comparison = compare([("a", first), ("b", second)], threshold_ratio=0.01)

    value = metric_of(comparison, "output_throughput_tokens_per_s").values[1]
    assert value.verdict == "undecided"
    # 6.34 ms around 122 ms.
    assert value.std == pytest.approx(0.052 * (value.value or 0), rel=0.01)
    assert verdict_of(comparison, "steady_output_throughput_tokens_per_s") == "undecided"


def judged(*scores: float, failed_count: int = 0) -> BenchmarkReport:
    expected = Expectation(regex="x")
    run = a_run(*[a_completed(n, sent_ms=300 * n) for n in range(len(scores))])
    quality = quality_of(expected, scores, failed_count=failed_count)
    return a_report(run.model_copy(update={"quality": quality}))


@pytest.mark.parametrize(
    ("scores", "verdict"),
    [
        ([1.0] * 10, "undecided"),
        ([1.0] * 9 + [0.0], "undecided"),
        ([1.0] * 2 + [0.0] * 8, "worse"),
        ([0.0] * 10, "worse"),
        ([0.0] * 4, "undecided"),
    ],
)
def test_answers_that_are_wrong_more_often_are_flagged(scores: list[float], verdict: str) -> None:
    comparison = compare([("a", judged(*[1.0] * 10)), ("b", judged(*scores))])

    assert verdict_of(comparison, "quality_score") == verdict
    assert verdict_of(comparison, "reliability_ratio") == verdict


def test_failures_are_flagged_although_the_others_are_as_fast() -> None:
    answers = [a_completed(n, sent_ms=300 * n) for n in range(20)]
    failures = [a_failed(20 + n, sent_ms=300 * n, ended_ms=300 * n + 1) for n in range(20)]

    comparison = compare([("a", a_report(a_run(*answers))), ("b", a_report(a_run(*answers, *failures)))])

    assert verdict_of(comparison, "failed_ratio") == "worse"
    assert verdict_of(comparison, "ttft_ms") == "no difference"


def test_price_of_tokens_has_the_spread_of_throughput() -> None:
    run = a_run(*[a_completed(n, sent_ms=300 * n + 30 * (n * n % 7)) for n in range(20)])
    cheap, dear = (
        add_cost(
            a_report(run), price_usd_per_hour=price, billed_usd=1.0, billed_seconds=1.0, busy_seconds=1.0
        )
        for price in (0.36, 0.72)
    )

    metric = metric_of(compare([("a", cheap), ("b", dear)]), "usd_per_million_output_tokens")

    # 0.36 USD an hour are 100 USD in a million seconds.
    throughput, windows = run.output_throughput_tokens_per_s, run.output_throughput_windows_tokens_per_s
    assert throughput
    assert windows
    assert windows.std
    first, second = metric.values
    assert (first.value, second.value) == pytest.approx((100 / throughput, 200 / throughput), rel=1e-5)
    assert second.std == pytest.approx(200 / throughput * windows.std / throughput, rel=1e-4)
    assert (second.count, second.verdict) == (windows.independent_count, "worse")


def test_points_are_matched_by_their_load() -> None:
    def at(concurrency: int, rate: float | None = None) -> RunReport:
        return ttfts(100, 100, point=Point(0, concurrency, rate))

    first, second = a_report(at(1), at(2), at(8, 2.0), at(4)), a_report(at(2), at(8, 2.0), at(8, 4.0), at(1))

    comparison = compare([("a", first), ("b", second)])

    assert [(p.load, p.max_concurrency, p.request_rate_per_s) for p in comparison.points] == [
        ("closed", 1, None),
        ("closed", 2, None),
        ("open", 8, 2.0),
    ]
    assert comparison.notes == ["Left out: 2 points that not both the first and another benchmark have."]


def test_a_point_that_one_has_not_measured_is_empty_there() -> None:
    one, two = ttfts(100, 100), ttfts(100, 100, point=Point(1, 2))

    comparison = compare([("a", a_report(one, two)), ("b", a_report(one, two)), ("c", a_report(two))])

    missing = comparison.points[0].metrics[0].values[2]
    assert (missing.value, missing.count, missing.verdict) == (None, 0, "not comparable")
    assert comparison.notes == ["c has not measured 1 of the points."]


def test_benchmarks_without_a_point_in_common_are_told_so() -> None:
    comparison = compare([("a", a_report(ttfts(1))), ("b", a_report(ttfts(1, point=Point(0, 2))))])

    assert comparison.points == []
    assert comparison.notes == [
        "The benchmarks have no point in common with the first one: there is nothing to compare."
    ]


def test_jobs_are_described_with_their_doubts() -> None:
    hardware = HardwareReport(
        provider="vastai",
        machine_id=1,
        gpu_name="RTX 4090",
        gpu_count=2,
        vram_mb=48_000,
        disk_gb=80,
        place="DE",
    )
    report = a_report(
        ttfts(100), ttfts(100), server=ServerFacts("ollama", "0.33"), warnings=["context_differs"]
    )

    assert compare([("a", report.model_copy(update={"hardware": hardware}))]).jobs == [
        ComparedJob(
            job_id="a",
            model="llama3.1:8b",
            backend="ollama",
            server="ollama 0.33",
            gpu="2 x RTX 4090",
            warnings=["context_differs", "few_samples"],
            finished_at=report.finished_at,
        )
    ]


def asking(**workload: object) -> BenchmarkRequest:
    return BenchmarkRequest.model_validate({**REQUEST, "workload": workload})


SAME = a_report(ttfts(100))


@pytest.mark.parametrize(
    ("other", "note"),
    [
        (a_report(ttfts(100), prompts=["How?"]), "Other prompts than in the first benchmark: b."),
        (
            a_report(ttfts(100), request=asking(prefix_cache="busted", output_tokens=9), ignores_eos=True),
            "Other lengths asked for than in the first benchmark: b.",
        ),
        (
            a_report(ttfts(100), request=asking(temperature=0.5, prefix_cache="shared")),
            "Other sampling (temperature, end of text) than in the first benchmark: b.",
        ),
        (a_report(ttfts(100), context_tokens=4096), "Other context than in the first benchmark: b."),
        (
            a_report(ttfts(100), client_region="us-east-1"),
            "Other region from which RUNE asked than in the first benchmark: b.",
        ),
        (
            SAME.model_copy(update={"tool_version": "0"}),
            "Other version of RUNE than in the first benchmark: b.",
        ),
        (
            a_report(ttfts(100), model=ModelFacts(family="qwen2")),
            (
                "b ran another model, whose tokens may be longer or shorter: numbers per token are comparable only "
                "within a family of models."
            ),
        ),
        (
            a_report(a_run(a_completed(output_tokens=23))),
            (
                "Answers of b have 23 tokens on average, the first benchmark's 20: end-to-end latency and requests "
                "per second follow from that."
            ),
        ),
    ],
)
def test_what_else_differs_is_noted(other: BenchmarkReport, note: str) -> None:
    assert note in compare([("a", SAME), ("b", other)]).notes


def test_alike_benchmarks_have_no_notes() -> None:
    assert compare([("a", SAME), ("b", SAME)]).notes == []


def test_several_that_differ_are_named_in_one_note() -> None:
    other = a_report(ttfts(100), prompts=["How?"])

    assert compare([("a", SAME), ("b", other), ("c", other), ("d", other)]).notes == [
        "Other prompts than in the first benchmark: b, c and d."
    ]


@pytest.mark.parametrize("margin", [1e-320, 1e-254, 1e-9])
def test_margin_of_almost_nothing_would_take_more_requests_than_anybody_sends(margin: float) -> None:
    test = WelchTest(difference=0.1, first_variance=0.01, second_variance=0.02, degrees=50.0)

    assert requests_for(test, (40, 40), margin, test.margin(0.99)) is None
