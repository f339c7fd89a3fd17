from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from rune.contracts import BenchmarkRequest
from rune.contracts.estimates import RentalEstimate
from rune.jobs.record import Status
from rune.jobs.samples import Sample
from rune.rentals.hosts import HostRecord
from rune.rentals.market import MarketRow, Scope
from rune.rentals.offers import Offer
from rune.workflows.rental.estimate import (
    ENOUGH_SAMPLES,
    LONGEST_AGE,
    Asked,
    Evidence,
    estimate_rental,
    find_fresh,
)
from tests.builders import NOW, after
from tests.unit.rentals.scripted import an_offer
from tests.unit.workflows.rental.world import a_renting_job

SCOPE = Scope(8_800, 41, Decimal(3), 0.99, timedelta(minutes=10))
DEAR = an_offer(offer_id=2, machine_id=2, price_usd_per_hour=Decimal(2), gpu_usd_per_hour=Decimal(2))
JOB = a_renting_job(deadline_at=after(3600))
EXPECTED_MICRO_USD = 21_780


def a_row(*offers: Offer, seconds: float = 0, scope: Scope = SCOPE) -> MarketRow:
    return MarketRow(scope, after(seconds), offers, len(offers))


def asking(used_for: timedelta | None = None, cap: int = 5_000_000, **members: object) -> Asked:
    document = {"question": "Why?", "model": "llama3.1:8b", "vastai": True, **members}
    return Asked(JOB, BenchmarkRequest.model_validate(document), cap, used_for)


def estimated(
    *rows: MarketRow,
    asked: Asked | None = None,
    samples: Sequence[Sample] = (),
    hosts: dict[int, HostRecord] | None = None,
) -> RentalEstimate:
    return estimate_rental(asked or asking(), Evidence(rows, hosts or {}, samples, NOW))


def samples_of(*ratios: float, **overrides: object) -> list[Sample]:
    usual = Sample(
        kind="benchmark",
        gpu="1x RTX 4090",
        expected_micro_usd=100_000,
        phases_ms={"pull": 20_000},
        expected_ms={"pull": 10_000},
    )
    return [
        replace(usual, cost_micro_usd=round(ratio * 100_000), **overrides)  # type: ignore[arg-type]
        for ratio in ratios
    ]


def test_offer_is_the_one_that_the_ranking_takes() -> None:
    found = estimated(a_row(DEAR, an_offer(), an_offer(offer_id=3, machine_id=3, is_verified=False)))

    assert found.offer is not None
    assert (found.offer.machine_id, found.offer.gpu_name) == (27_182, "RTX 4090")
    assert found.offer.why.startswith("0.0219 USD expected")
    assert [(each.reason, each.count) for each in found.refused] == [("unverified", 1)]
    assert (found.as_of, found.basis, found.sample_count) == (NOW, "prior", 0)


def test_hosts_that_failed_lately_are_left_alone_as_when_renting() -> None:
    found = estimated(a_row(DEAR, an_offer()), hosts={27_182: HostRecord(1, NOW)})

    assert found.offer is not None
    assert found.offer.machine_id == 2


def test_figures_rise_from_low_to_high_and_are_sure_enough_for_clients() -> None:
    found = estimated(a_row(an_offer()))

    assert found.low_usd is not None
    assert found.likely_usd is not None
    assert 0 < found.low_usd < found.likely_usd < found.high_usd < 1
    assert 0.95 <= found.confidence_score < 1


def test_past_jobs_alone_count_when_there_are_enough() -> None:
    ratios = [1.0] * 10 + [2.0] * 39 + [4.0]

    found = estimated(a_row(an_offer()), samples=samples_of(*ratios))

    likely = 2 * EXPECTED_MICRO_USD / 1_000_000
    assert found.likely_usd == pytest.approx(likely, abs=2e-4)
    # 49 of 50 ended at or below twice what was expected, and a price may have risen by 6 %.
    assert found.high_usd == pytest.approx(1.06 * likely, abs=2e-4)
    assert found.confidence_score == pytest.approx(50 / 52, abs=1e-4)
    assert (found.basis, found.sample_count) == ("samples", 50)


def test_cancelled_jobs_do_not_count() -> None:
    found = estimated(a_row(an_offer()), samples=samples_of(*[0.01] * 40, status=Status.CANCELLED))

    assert (found.basis, found.sample_count) == ("prior", 0)


def test_past_jobs_on_another_gpu_count_only_while_those_on_the_same_are_few() -> None:
    others = samples_of(*[3.0] * 30, gpu="1x H100 SXM")

    few = estimated(a_row(an_offer()), samples=[*samples_of(1.0), *others])
    many = estimated(a_row(an_offer()), samples=[*samples_of(*[1.0] * ENOUGH_SAMPLES), *others])

    assert (few.sample_count, many.sample_count) == (31, ENOUGH_SAMPLES)
    assert few.likely_usd == pytest.approx(3 * EXPECTED_MICRO_USD / 1e6, abs=2e-4)
    assert many.likely_usd == pytest.approx(EXPECTED_MICRO_USD / 1e6, abs=2e-4)


def test_phases_tell_time_and_money_of_each() -> None:
    found = estimated(a_row(an_offer()), samples=samples_of(*[1.0] * 30))
    phases = {each.phase: each for each in found.phases}

    assert list(phases) == ["search", "image", "boot", "pull", "load", "work", "release", "traffic"]
    # 4.9 GB at 912 Mbit/s take 43 s, and past jobs took twice as long.
    assert phases["pull"].seconds.likely == pytest.approx(86, abs=1)
    assert phases["pull"].usd.likely == pytest.approx(86 * 0.3581 / 3600, abs=2e-4)
    assert phases["search"].usd.high == 0
    assert phases["traffic"].usd.likely == pytest.approx(6.9 * 0.002, abs=1e-3)


def test_machine_is_chosen_for_the_time_that_the_caller_names() -> None:
    # Twice the price and twenty times the bandwidth: cheaper for one answer, and dearer for an hour.
    fast = an_offer(
        offer_id=2,
        machine_id=2,
        price_usd_per_hour=Decimal(2) * an_offer().price_usd_per_hour,
        gpu_usd_per_hour=Decimal(2) * an_offer().gpu_usd_per_hour,
        download_mbit_per_second=20 * an_offer().download_mbit_per_second,
    )
    slow = an_offer()

    taken = [
        found.offer.machine_id
        for used_for in (None, timedelta(minutes=50))
        if (found := estimated(a_row(fast, slow), asked=asking(used_for))).offer is not None
    ]

    assert taken == [2, slow.machine_id]


def test_cap_at_the_projection_stops_more_jobs_than_exceed_it() -> None:
    found = estimated(a_row(an_offer()))
    hourly = estimated(a_row(DEAR))

    # Two minutes of the machine are kept for the end: 0.012 USD of a job of 0.02, and 0.067 of one of 0.10.
    for each in (found, hourly):
        assert each.cap_confidence_score is not None
        assert each.cap_confidence_score < each.confidence_score


def test_time_that_the_caller_names_is_what_the_machine_is_used_for() -> None:
    hour = estimated(a_row(an_offer()), asked=asking(timedelta(minutes=50)))
    short = estimated(a_row(an_offer()), asked=asking(timedelta(seconds=5)))
    long = estimated(a_row(an_offer()), asked=asking(timedelta(hours=8)))

    assert hour.likely_usd == pytest.approx(0.3581 * 5 / 6 + 0.0138, abs=0.01)
    assert "which is longer than estimated_duration_seconds" in short.notes[0]
    assert long.notes[0] == "The job may run for 3600 s, which is less than estimated_duration_seconds."
    assert long.high_usd < 1


def test_kept_time_of_an_own_machine_is_in_the_price() -> None:
    kept = estimated(a_row(an_offer()), asked=asking(vastai_stop_instance=False, keep_seconds=3600))

    assert kept.likely_usd == pytest.approx(0.3581 + EXPECTED_MICRO_USD / 1e6, abs=2e-3)
    assert next(each for each in kept.phases if each.phase == "work").seconds.likely == 3600


def test_cap_is_the_high_figure_when_the_job_may_cost_less() -> None:
    past = samples_of(*[1.0] * 20, *[3.0] * 20)

    found = estimated(a_row(an_offer()), asked=asking(cap=40_000), samples=past)

    assert (found.high_usd, found.confidence_score) == (0.04, 0.95)
    assert found.notes == ["About 50% of such jobs end by themselves before they have cost so much."]


@pytest.mark.parametrize(
    ("rows", "note", "confidence"),
    [
        ((), "No search has seen the market for this yet", 0.95),
        ((a_row(an_offer(), scope=replace(SCOPE, vram_mb=80_000)),), "No offer that was seen fits", 0.95),
        (
            (a_row(an_offer(), seconds=-7 * 3600),),
            "The market was last seen 7 hours ago, which is too long",
            0.95,
        ),
        (
            (a_row(an_offer(is_verified=False)),),
            "No offer that was seen fits, so the job would rent nothing.",
            0.0,
        ),
    ],
    ids=["unseen", "another class", "too old", "none fits"],
)
def test_limits_of_the_job_are_the_high_figure_when_no_offer_is_known(
    rows: tuple[MarketRow, ...], note: str, confidence: float
) -> None:
    if rows and rows[0].scope.vram_mb == 80_000:
        rows, note = (replace(rows[0], offers=()),), "No search has seen the market for this yet"

    found = estimated(*rows)

    assert (found.low_usd, found.likely_usd, found.offer, found.basis) == (None, None, None, "limits")
    assert found.notes[0].startswith(note)
    # 3 USD for an hour and five minutes, and three downloads of 11 GB at 0.02 USD.
    assert (found.high_usd, found.confidence_score) == (3.91, confidence)


def test_offer_that_costs_more_than_the_job_may_is_not_taken() -> None:
    found = estimated(a_row(an_offer()), asked=asking(cap=20_000))

    assert (found.offer, found.high_usd, found.confidence_score) == (None, 0.02, 0.0)
    assert found.notes[0].startswith("No offer that was seen fits: the job would cost 0.03")


@pytest.mark.parametrize("cap", [1, 20_050, 30_001, 40_001])
@pytest.mark.parametrize("is_seen", [True, False], ids=["seen", "unseen"])
def test_no_figure_is_above_the_cap(cap: int, is_seen: bool) -> None:
    rows = [a_row(an_offer())] if is_seen else []

    found = estimated(*rows, asked=asking(cap=cap), samples=samples_of(*[1.0] * 20, *[3.0] * 20))

    assert max(found.low_usd or 0, found.likely_usd or 0) <= found.high_usd <= cap / 1_000_000


def test_latest_row_of_a_machine_counts() -> None:
    before = a_row(an_offer(offer_id=1), an_offer(offer_id=2, machine_id=2), seconds=-60)
    now = a_row(an_offer(offer_id=9))
    stale = a_row(an_offer(offer_id=7, machine_id=7), seconds=-LONGEST_AGE.total_seconds() - 1)

    seen = find_fresh((now, stale, before), NOW)

    assert {offer.offer_id: seen.as_of[offer.offer_id] for offer in seen.offers} == {2: after(-60), 9: NOW}


def test_price_floor_is_told() -> None:
    found = estimated(a_row(DEAR, an_offer()), asked=asking(min_dph=1.0, max_dph=3.0))

    assert found.notes[-1] == "min_dph excludes 1 cheaper offers, from 0.3581 USD per hour."
