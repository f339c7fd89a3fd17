import pytest

from rune.bench.costs import add_cost, add_token_cost, time_to_ready, usd_per_million_output_tokens
from rune.bench.records import Point
from rune.contracts import (
    BenchmarkReport,
    BenchmarkRequest,
    CostReport,
    GoodputLimits,
    RunCost,
    RunReport,
    TimeToReady,
)
from rune.llm.protocol import TokenCountSource
from rune.money.token_prices import TokenPrice
from tests.builders import REQUEST
from tests.measured_builders import a_completed, a_failed, a_report, a_run


def a_second_of_100_tokens(index: int = 0, *, goodput: GoodputLimits | None = None) -> RunReport:
    """Two answers at once, each of 50 tokens in 10 chunks within one second, to prompts of 150."""
    answers = [
        a_completed(n, ttft_ms=100, gaps_ms=[100] * 9, output_tokens=50, input_tokens=150) for n in range(2)
    ]
    return a_run(*answers, goodput=goodput).model_copy(update={"index": index})


def exact(value: float) -> float:
    """Return the decimal that was meant, without what binary fractions leave at the end."""
    return round(value, 12)


def priced(report: BenchmarkReport, **overrides: float) -> CostReport:
    given = {"price_usd_per_hour": 0.36, "billed_usd": 0.0321, "billed_seconds": 321.0, "busy_seconds": 60.5}
    cost = add_cost(report, **{**given, **overrides}).cost  # type: ignore[arg-type]  # as named there
    assert cost is not None
    return cost


def test_cost_is_the_one_worked_by_hand() -> None:
    run = a_second_of_100_tokens(goodput=GoodputLimits(ttft_ms=100))

    cost = priced(a_report(run), warmup_output_tokens=20)

    # 0.36 USD an hour are 0.0001 USD a second, in which 100 tokens go out and 300 in, and 2 requests end well.
    usd_per_second = 0.36 / 3600
    assert run.output_throughput_tokens_per_s == 100
    assert cost == CostReport(
        price_usd_per_hour=0.36,
        at_run=0,
        cost_usd=0.0321,
        billed_usd=0.0321,
        billed_seconds=321.0,
        busy_seconds=60.5,
        idle_seconds=321.0 - 60.5,
        usd_per_million_output_tokens=exact(usd_per_second / 100 * 1_000_000),  # 1 USD
        usd_per_million_output_tokens_all_in=exact(0.0321 / (100 + 20) * 1_000_000),  # 267.5 USD
        usd_per_million_total_tokens=exact(usd_per_second / 400 * 1_000_000),  # 0.25 USD
        output_tokens_per_usd=1_000_000 / 1.0,
        usd_per_1k_requests=exact(usd_per_second / 2 * 1000),  # 0.05 USD
        usd_per_good_request=exact(usd_per_second / 2),
    )


def test_search_has_the_price_of_a_good_request_at_the_highest_load() -> None:
    limits = GoodputLimits(ttft_ms=100)
    carried = a_second_of_100_tokens(goodput=limits)
    overload = a_run(*(a_completed(n, ttft_ms=200) for n in range(40)), goodput=limits)
    request = BenchmarkRequest.model_validate(
        {**REQUEST, "workload": {"search": {"limits": {"ttft_ms": 100}}}}
    )
    runs = [carried, overload.model_copy(update={"index": 1, "max_concurrency": 2})]

    report = add_cost(
        a_report(*runs, request=request),
        price_usd_per_hour=0.36,
        billed_usd=1,
        billed_seconds=9,
        busy_seconds=9,
    )

    assert report.capacity is not None
    assert report.cost is not None
    assert (report.capacity.highest, report.capacity.surely_beyond) == (1, 2)
    assert report.capacity.usd_per_good_request == report.cost.usd_per_good_request == exact(0.36 / 3600 / 2)


def test_steady_state_is_the_best_run_and_all_in_all_of_them() -> None:
    slow = a_run(a_completed(gaps_ms=[100] * 19))

    cost = priced(a_report(slow, a_second_of_100_tokens(index=1)))

    assert (cost.at_run, cost.usd_per_million_output_tokens) == (1, 1.0)
    assert cost.usd_per_million_output_tokens_all_in == 267.5  # 0.0321 / (20 + 100) * 1e6


def test_six_digits_are_published() -> None:
    cost = priced(a_report(a_second_of_100_tokens()), price_usd_per_hour=0.7777777, billed_usd=0.1)

    # 0.7777777 / 3600 / 100 * 1e6 = 2.16049361…; 0.1 / 100 * 1e6 = 1000
    assert cost.usd_per_million_output_tokens == 2.16049
    assert cost.output_tokens_per_usd == 462857.0
    assert cost.usd_per_million_output_tokens_all_in == 1000.0


def test_nothing_measured_costs_what_was_billed() -> None:
    cost = priced(a_report(a_run(a_failed())))

    assert cost == CostReport(
        price_usd_per_hour=0.36,
        at_run=None,
        cost_usd=0.0321,
        billed_usd=0.0321,
        billed_seconds=321.0,
        busy_seconds=60.5,
        idle_seconds=260.5,
        usd_per_million_output_tokens=None,
        usd_per_million_output_tokens_all_in=None,
        usd_per_million_total_tokens=None,
        output_tokens_per_usd=None,
        usd_per_1k_requests=None,
        usd_per_good_request=None,
    )


def test_no_good_request_has_no_price() -> None:
    assert (
        priced(a_report(a_second_of_100_tokens(goodput=GoodputLimits(ttft_ms=1)))).usd_per_good_request
        is None
    )


def test_a_free_machine_has_tokens_without_end() -> None:
    cost = priced(a_report(a_second_of_100_tokens()), price_usd_per_hour=0.0, billed_usd=0.0)

    assert (cost.usd_per_million_output_tokens, cost.output_tokens_per_usd) == (0.0, None)


def test_nobody_is_idle_for_less_than_no_time() -> None:
    assert priced(a_report(a_second_of_100_tokens()), busy_seconds=400.0).idle_seconds == 0


def test_the_rest_of_the_report_stays() -> None:
    report = a_report(a_second_of_100_tokens())

    paid = add_cost(report, price_usd_per_hour=1.0, billed_usd=1.0, billed_seconds=1.0, busy_seconds=1.0)

    unpriced = [run.model_copy(update={"cost": None}) for run in paid.runs]
    assert paid.model_copy(update={"cost": None, "runs": unpriced}) == report


def test_price_is_that_of_the_steady_state_where_there_is_one() -> None:
    """Two slots, of which one is empty for the last second: 150 tokens in 2 s, and 100 a second before."""
    long = a_completed(0, ttft_ms=100, gaps_ms=[100] * 19, output_tokens=100, input_tokens=300)
    short = a_completed(1, ttft_ms=100, gaps_ms=[100] * 9, output_tokens=50, input_tokens=150)
    run = a_run(long, short, point=Point(0, 2), goodput=GoodputLimits(ttft_ms=100))

    report = add_cost(
        a_report(run), price_usd_per_hour=0.36, billed_usd=1.0, billed_seconds=1.0, busy_seconds=1.0
    )

    assert (run.output_throughput_tokens_per_s, run.steady_output_throughput_tokens_per_s) == (75, 100)
    assert report.runs[0].cost == RunCost(
        usd_per_million_output_tokens=1.0,
        usd_per_million_total_tokens=0.25,  # three tokens in for each that goes out
        usd_per_1k_requests=0.075,  # 75 tokens each
        usd_per_good_request=0.000075,
    )
    assert report.cost
    assert report.cost.usd_per_million_output_tokens == 1.0


def test_tokens_that_were_guessed_have_no_price() -> None:
    run = a_run(a_completed(source=TokenCountSource.CHUNKS))

    cost = priced(a_report(run))

    assert (cost.usd_per_million_output_tokens, cost.output_tokens_per_usd) == (None, None)
    assert (cost.usd_per_million_total_tokens, cost.usd_per_million_output_tokens_all_in) == (None, None)
    assert cost.usd_per_1k_requests == 0.029  # 290 ms each


def test_good_requests_are_priced_where_the_limits_were_kept() -> None:
    """At twice the throughput no request was good: its price of a good one would be without end."""
    limits = GoodputLimits(e2el_ms=1000)
    kept = a_second_of_100_tokens(goodput=limits)
    failed = a_run(
        *(a_completed(n, ttft_ms=1100, gaps_ms=[1] * 399, output_tokens=400) for n in range(2)),
        goodput=limits,
    )

    cost = priced(a_report(kept, failed.model_copy(update={"index": 1})))

    assert (cost.at_run, cost.usd_per_good_request) == (0, exact(0.36 / 3600 / 2))


def test_each_run_has_its_own_price() -> None:
    assert usd_per_million_output_tokens(0.36, a_second_of_100_tokens()) == 1.0
    assert usd_per_million_output_tokens(0.36, a_run(a_failed())) is None


def test_time_to_ready_adds_the_phases_that_were_needed() -> None:
    assert time_to_ready({"search": 900, "boot": 60_000, "load": 8000, "ask": 5}, 0) == TimeToReady(
        search_ms=900,
        boot_ms=60_000,
        pull_ms=None,
        pull_bytes=0,
        load_ms=8000,
        first_token_ms=None,
        total_ms=68_900,
    )


@pytest.mark.parametrize(("border", "price"), [(None, 2.0), (11, 4.0), (12, 2.0)])
def test_tokens_that_are_billed_by_the_prompts_length_cost_what_all_of_them_do(
    border: int | None, price: float
) -> None:
    """Every prompt has twelve tokens, and every answer as many as before it."""
    run = a_run(*[a_completed(n, sent_ms=300 * n, output_tokens=12, input_tokens=12) for n in range(4)])
    assert run.input_tokens
    assert (run.input_tokens.min, run.input_tokens.max) == (12, 12)
    prices = TokenPrice(1_000_000, 1_000_000, border, 2_000_000, 2_000_000)

    report = add_token_cost(a_report(run), prices, tokens_usd=0.5, warmup_output_tokens=2)

    (cost,) = [run.cost for run in report.runs]
    assert cost
    assert cost.usd_per_million_output_tokens == price
    assert report.token_cost
    assert report.token_cost.usd_per_million_output_tokens_all_in == 10_000


def test_sums_do_not_tell_what_prompts_on_both_sides_of_a_border_cost() -> None:
    run = a_run(*[a_completed(n, sent_ms=300 * n, input_tokens=12) for n in range(4)])
    assert run.input_tokens
    longer = run.input_tokens.model_copy(update={"max": 13.0})
    report = a_report(run.model_copy(update={"input_tokens": longer}))

    (priced,) = add_token_cost(report, TokenPrice(1, 1, 12, 2, 2), tokens_usd=0.5).runs

    assert priced.cost
    assert priced.cost.usd_per_million_output_tokens is None
