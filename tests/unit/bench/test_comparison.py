from collections import Counter

import pytest

from rune.bench.comparison import compare
from rune.bench.costs import add_cost
from rune.bench.records import Point
from rune.bench.runs import quality_of
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

TRIAL_COUNT = 100


def ttfts(*values_ms: float, point: Point = Point(0, 1)) -> RunReport:  # noqa: B008  # it is frozen
    """Return a run of answers with these times to first token."""
    records = [a_completed(n, sent_ms=400 * n, ttft_ms=value) for n, value in enumerate(values_ms)]
    return a_run(*records, point=point)


def metric_of(comparison: Comparison, name: str) -> ComparedMetric:
    return next(metric for metric in comparison.points[0].metrics if metric.name == name)


def verdict_of(comparison: Comparison, name: str) -> str | None:
    return metric_of(comparison, name).values[1].verdict


def verdicts(slowness: float, slot_count: int) -> dict[str, Counter[str | None]]:
    """Return how often each verdict fell in a hundred comparisons with a server that may be slower."""
    counts: dict[str, Counter[str | None]] = {}
    for seed in range(TRIAL_COUNT):
        pair = [
            ("a", a_simulated_report(seed, slot_count=slot_count)),
            ("b", a_simulated_report(seed + TRIAL_COUNT, slowness=slowness, slot_count=slot_count)),
        ]
        for metric in compare(pair).points[0].metrics:
            counts.setdefault(metric.name, Counter())[metric.values[1].verdict] += 1
    return counts


@pytest.mark.parametrize("slot_count", [1, 4])
def test_equal_servers_are_no_different(slot_count: int) -> None:
    """Of single metrics, 1 % may err by the confidence that was chosen; also when requests wait in a queue."""
    found = verdicts(1.0, slot_count)

    judged = {name: counts for name, counts in found.items() if name != "request_throughput_per_s"}
    assert len(judged) == 7
    assert {name: counts for name, counts in judged.items() if counts["better"] + counts["worse"] > 3} == {}
    assert found["request_throughput_per_s"] == {"not comparable": TRIAL_COUNT}


@pytest.mark.parametrize("slot_count", [1, 4])
def test_a_server_slower_by_a_fifth_is_flagged(slot_count: int) -> None:
    found = verdicts(1.2, slot_count)

    assert found["tpot_ms"]["worse"] >= 99
    assert found["itl_ms"]["worse"] >= 99
    assert found["output_tokens_per_s_per_user"]["worse"] >= 98
    assert found["output_throughput_tokens_per_s"]["worse"] >= 80
    assert all(counts["better"] == 0 for counts in found.values())


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
        ((50, 150, 50, 150, 200), 0.05, "no difference"),
        ((200, 200, 200, 200), 0.05, "not comparable"),
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


def test_many_gaps_of_few_requests_are_few_values() -> None:
    def four(pace_ms: float) -> BenchmarkReport:
        return a_report(a_run(*[a_completed(n, sent_ms=3000 * n, gaps_ms=[pace_ms] * 19) for n in range(4)]))

    assert verdict_of(compare([("a", four(10)), ("b", four(100))]), "itl_ms") == "not comparable"


def judged(*scores: float, failed_count: int = 0) -> BenchmarkReport:
    expected = Expectation(regex="x")
    run = a_run(*[a_completed(n, sent_ms=300 * n) for n in range(len(scores))])
    quality = quality_of(expected, scores, failed_count=failed_count)
    return a_report(run.model_copy(update={"quality": quality}))


@pytest.mark.parametrize(
    ("scores", "verdict"),
    [
        ([1.0] * 10, "no difference"),
        ([1.0] * 9 + [0.0], "no difference"),
        ([1.0] * 2 + [0.0] * 8, "worse"),
        ([0.0] * 10, "worse"),
        ([0.0] * 4, "not comparable"),
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
    run = a_run(*[a_completed(n, sent_ms=290 * n + 10 * n * n) for n in range(20)])
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
    assert (second.count, second.verdict) == (10, "worse")


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
