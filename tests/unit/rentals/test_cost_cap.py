from dataclasses import replace
from datetime import timedelta

import pytest

from rune.rentals.bills import cost_micro_usd, cost_of_holder_micro_usd
from rune.rentals.cost_cap import (
    STOP_MARGIN,
    most_cost_micro_usd,
    most_cost_of_borrower_micro_usd,
    stop_at,
)
from rune.rentals.record import Prices, Rental
from tests.builders import NOW, after
from tests.rental_builders import (
    OTHER_JOB_ID,
    a_created_rental,
    a_released_rental,
    a_rental,
    a_running_rental,
)

PRICES = Prices(
    gpu_micro_usd_per_hour=350_000, disk_micro_usd_per_hour=10_000, download_micro_usd_per_gb=3_000
)
WEIGHTS = 5_000_000_000


def test_job_stops_when_its_money_is_used_up_but_for_its_end() -> None:
    assert stop_at(PRICES, 360_000, NOW) == after(3600) - STOP_MARGIN


def test_job_should_have_stopped_when_it_has_cost_more_than_it_may() -> None:
    assert stop_at(PRICES, -36_000, NOW) == after(-360) - STOP_MARGIN


def test_machine_without_a_price_stops_in_a_year() -> None:
    assert stop_at(Prices(0, 0, 0), 1, NOW) == NOW + timedelta(days=365) - STOP_MARGIN


@pytest.mark.parametrize(
    ("rental", "download_micro_usd"),
    [
        (a_created_rental(model_bytes=WEIGHTS), 15_000),
        # Of an earlier version: it does not say.
        (a_created_rental(), 0),
        # It is in the bill by now.
        (a_running_rental(model_bytes=WEIGHTS, downloaded_bytes=WEIGHTS), 0),
        (a_running_rental(model_bytes=WEIGHTS, downloaded_bytes=0, pulling_bytes=WEIGHTS), 0),
    ],
)
def test_most_that_a_machine_costs_has_the_download_to_come(rental: Rental, download_micro_usd: int) -> None:
    assert most_cost_micro_usd(rental, after(60)) == cost_micro_usd(rental, after(60)) + download_micro_usd


def test_most_that_a_machine_costs_has_all_of_a_download_under_way() -> None:
    under_way = a_running_rental(
        model_bytes=WEIGHTS,
        downloaded_bytes=0,
        pulling_bytes=WEIGHTS,
        pulled_at=after(60),
        mbit_per_second=800,
    )
    whole = replace(under_way, pulled_bytes=WEIGHTS)

    assert most_cost_micro_usd(under_way, after(60)) == cost_micro_usd(whole, after(60))


def test_most_that_a_machine_costs_has_the_rest_of_a_download_that_was_broken_off() -> None:
    broken_off = a_running_rental(
        model_bytes=WEIGHTS, downloaded_bytes=0, pulling_bytes=10**9, pulled_bytes=10**9
    )

    rest = 4 * 3_000
    assert most_cost_micro_usd(broken_off, after(60)) == cost_micro_usd(broken_off, after(60)) + rest


@pytest.mark.parametrize(
    ("has", "traffic_micro_usd"),
    [
        ({"model_bytes": WEIGHTS}, 15_000),
        ({"model_bytes": 0}, 0),
        ({"model_bytes": WEIGHTS, "pulling_bytes": WEIGHTS}, 15_000),
        ({"model_bytes": WEIGHTS, "downloaded_bytes": 8 * 10**9}, 3_000),
    ],
)
def test_most_that_a_borrower_costs_has_its_own_download(
    has: dict[str, object], traffic_micro_usd: int
) -> None:
    usual: dict[str, object] = {"held_since": after(0), "downloaded_bytes": 7 * 10**9}
    borrowed = a_running_rental(holder=OTHER_JOB_ID, borrowed_from_bytes=7 * 10**9, **{**usual, **has})
    time_alone = cost_of_holder_micro_usd(replace(borrowed, borrowed_from_bytes=None), after(3600))

    assert most_cost_of_borrower_micro_usd(borrowed, after(3600)) == time_alone + traffic_micro_usd


def test_order_without_an_answer_counts_as_a_machine() -> None:
    unanswered = a_rental()
    there = a_created_rental(last_seen_stopped_at=None, first_seen_running_at=None)

    assert cost_micro_usd(unanswered, after(60)) == 0
    assert most_cost_micro_usd(unanswered, after(60)) == most_cost_micro_usd(there, after(60)) > 0


def test_ended_rental_costs_what_its_bill_says() -> None:
    assert most_cost_micro_usd(a_released_rental(cost_micro_usd=123), after(9000)) == 123
