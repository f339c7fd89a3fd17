from dataclasses import replace
from datetime import timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rune.rentals.bills import (
    come_bytes,
    cost_micro_usd,
    cost_of_holder_micro_usd,
    cost_so_far_micro_usd,
    cost_to_job_micro_usd,
)
from rune.rentals.lifecycle import give_back, keep, take_kept
from rune.rentals.record import Prices, Rental, RentalState
from rune.storage.change import apply
from tests.builders import JOB_ID, NOW, after
from tests.rental_builders import (
    OTHER_JOB_ID,
    a_created_rental,
    a_released_rental,
    a_rental,
    a_running_rental,
)

HOUR_MS = 3_600_000
TRAFFIC_OF_IMAGE = 6_000
"""2 GB at 3,000 millionths per GB."""


def test_rental_costs_nothing_when_no_contract_was_made() -> None:
    assert cost_micro_usd(a_rental(), after(3600)) == 0


@pytest.mark.parametrize(
    ("rental", "until_seconds", "micro_usd"),
    [
        # Disk for an hour, GPU for the 59 minutes since it was last seen dark, 4.9 GB and the image.
        (a_running_rental(), 3600, 12_000 + 354_000 + 14_700 + TRAFFIC_OF_IMAGE),
        # Never seen dark: the GPU may have run from the first moment.
        (a_running_rental(last_seen_stopped_at=None), 3600, 12_000 + 360_000 + 14_700 + TRAFFIC_OF_IMAGE),
        (a_created_rental(), 100, 334 + 10_000 + TRAFFIC_OF_IMAGE),
        (a_created_rental(last_seen_stopped_at=after(100)), 100, 334 + TRAFFIC_OF_IMAGE),
        # Seen dark by a listing that began after the moment of the bill.
        (a_created_rental(last_seen_stopped_at=after(150)), 100, 334 + TRAFFIC_OF_IMAGE),
        # 1 ms: 12,000 / 3,600,000 and 360,000 / 3,600,000, each rounded up.
        (a_created_rental(), 0.001, 1 + 1 + TRAFFIC_OF_IMAGE),
        (a_created_rental(), -5, TRAFFIC_OF_IMAGE),
        (a_running_rental(downloaded_bytes=1), 60, 200 + 6_001),
    ],
)
def test_rental_costs_disk_gpu_and_traffic(rental: Rental, until_seconds: float, micro_usd: int) -> None:
    assert cost_micro_usd(rental, after(until_seconds)) == micro_usd


def test_holder_pays_all_when_it_rented_the_machine() -> None:
    rental = a_running_rental()

    assert cost_of_holder_micro_usd(rental, after(3600)) == cost_micro_usd(rental, after(3600))


def test_holder_pays_its_time_when_it_found_the_machine_kept() -> None:
    borrowed = a_running_rental(holder=OTHER_JOB_ID, held_since=after(1800))

    assert cost_of_holder_micro_usd(borrowed, after(3600)) == 6_000 + 180_000


def test_borrower_pays_for_what_it_has_downloaded() -> None:
    borrowed = a_running_rental(
        holder=OTHER_JOB_ID, held_since=after(1800), downloaded_bytes=9 * 10**9, borrowed_from_bytes=8 * 10**9
    )

    assert cost_of_holder_micro_usd(borrowed, after(3600)) == 6_000 + 180_000 + 3_000


KEPT = apply(keep(a_running_rental(), after(7200), after(1800)), a_running_rental())


def test_job_pays_for_its_kept_machine_what_it_had_cost_when_it_was_kept() -> None:
    borrowed = apply(take_kept(KEPT, OTHER_JOB_ID, after(1900)), KEPT)
    returned = apply(give_back(borrowed, after(2000)), borrowed)

    for rental in (KEPT, borrowed, returned, replace(returned, cost_micro_usd=9_000_000)):
        assert cost_to_job_micro_usd(rental, after(3600)) == cost_micro_usd(KEPT, after(1800))


UNFINISHED = a_running_rental(
    downloaded_bytes=0,
    mbit_per_second=800,
    pulling_bytes=9 * 10**9,
    pulled_bytes=10**9,
    pulled_at=after(3600),
)


@pytest.mark.parametrize(
    ("seconds", "rental", "come"),
    [
        # 100 MB in a second, and a machine may be twice as fast.
        (3610, UNFINISHED, 3 * 10**9),
        (3600, UNFINISHED, 10**9),
        (3599, UNFINISHED, 10**9),
        (9999, UNFINISHED, 9 * 10**9),
        (3601, replace(UNFINISHED, pulling_bytes=10**9), 10**9),
        # Of an earlier version: all may have come.
        (3601, replace(UNFINISHED, mbit_per_second=None), 9 * 10**9),
        (3601, replace(UNFINISHED, pulled_at=None), 9 * 10**9),
    ],
)
def test_unfinished_download_counts_with_what_may_have_come(seconds: int, rental: Rental, come: int) -> None:
    without = replace(rental, pulling_bytes=0, pulled_bytes=0)

    assert come_bytes(rental, after(seconds)) == come
    bill = cost_micro_usd(rental, after(seconds))
    assert bill - cost_micro_usd(without, after(seconds)) == come * 3_000 // 10**9


def test_holder_pays_all_when_nobody_holds_the_machine() -> None:
    kept = a_running_rental(holder=None, held_since=None)

    assert cost_of_holder_micro_usd(kept, after(3600)) == cost_micro_usd(kept, after(3600))


prices = st.builds(Prices, st.integers(0, 5_000_000), st.integers(0, 90_000), st.integers(0, 20_000))
milliseconds = st.integers(0, 40 * HOUR_MS)


@st.composite
def rentals(draw: st.DrawFn) -> Rental:
    """Draw a rental with a contract, seen dark until some moment or never."""
    dark_ms = draw(st.none() | st.integers(0, HOUR_MS))
    held_ms = draw(st.integers(0, HOUR_MS))
    return a_created_rental(
        prices=draw(prices),
        last_seen_stopped_at=None if dark_ms is None else NOW + timedelta(milliseconds=dark_ms),
        downloaded_bytes=draw(st.integers(0, 10**12)),
        pulling_bytes=draw(st.integers(0, 10**12)),
        holder=draw(st.sampled_from([JOB_ID, OTHER_JOB_ID])),
        held_since=NOW + timedelta(milliseconds=held_ms),
    )


@given(rentals(), milliseconds, milliseconds)
def test_cost_never_falls_with_time(rental: Rental, early_ms: int, later_ms: int) -> None:
    early = NOW + timedelta(milliseconds=early_ms)
    later = early + timedelta(milliseconds=later_ms)

    assert cost_micro_usd(rental, early) <= cost_micro_usd(rental, later)
    assert cost_of_holder_micro_usd(rental, early) <= cost_of_holder_micro_usd(rental, later)


@given(rentals(), milliseconds, milliseconds)
def test_cost_covers_the_true_bill_whenever_the_machine_began_to_run(
    rental: Rental, ran_after_ms: int, until_ms: int
) -> None:
    dark_ms = ((rental.last_seen_stopped_at or NOW) - NOW) // timedelta(milliseconds=1)
    running_ms = max(0, until_ms - dark_ms - ran_after_ms)
    each = rental.prices
    received_gb = Fraction(rental.downloaded_bytes + rental.pulling_bytes + rental.image_bytes, 10**9)

    true = (
        Fraction(each.disk_micro_usd_per_hour * until_ms, HOUR_MS)
        + Fraction(each.gpu_micro_usd_per_hour * running_ms, HOUR_MS)
        + each.download_micro_usd_per_gb * received_gb
    )
    told = cost_micro_usd(rental, NOW + timedelta(milliseconds=until_ms))

    assert told >= true
    if ran_after_ms == 0:
        assert told < true + 3  # nothing but each part's rounding


LOOKS = (
    (5, {"state": RentalState.CREATED, "contract_id": 7}),
    (20, {"last_seen_stopped_at": after(19)}),
    (40, {"last_seen_stopped_at": after(39)}),
    (60, {"first_seen_running_at": after(59)}),
    (70, {"state": RentalState.RUNNING, "running_at": after(70)}),
    (71, {"pulling_bytes": 40_000_000_000}),
    (90, {"pulled_bytes": 1_900_000_000, "pulled_at": after(89), "mbit_per_second": 80}),
    (300, {"pulling_bytes": 0, "pulled_bytes": 0, "pulled_at": None, "downloaded_bytes": 4_900_000_000}),
    (310, {"state": RentalState.KEPT, "holder": None}),
    (400, {"state": RentalState.RUNNING, "holder": OTHER_JOB_ID, "held_since": after(400)}),
    (410, {"pulling_bytes": 40_000_000_000, "pulled_at": after(410)}),
    (450, {"pulled_bytes": 900_000_000, "pulled_at": after(450)}),
    (500, {"state": RentalState.KEPT, "holder": None, "held_since": None}),
    (600, {"state": RentalState.RELEASING}),
)
"""What is learned of a machine, at which second. The second download is interrupted."""


@pytest.mark.parametrize("end", range(1, len(LOOKS) + 1))
def test_cost_that_is_shown_never_falls_and_never_exceeds_the_bill(end: int) -> None:
    rental, shown = a_rental(), [0]

    for second, learned in LOOKS[:end]:
        shown.append(cost_so_far_micro_usd(rental, after(second)))
        rental = replace(rental, **learned)
        shown.append(cost_so_far_micro_usd(rental, after(second)))

    assert shown == sorted(shown)
    assert shown[-1] <= cost_micro_usd(rental, after(LOOKS[end - 1][0]))


def test_cost_that_is_shown_of_an_ended_rental_is_its_bill() -> None:
    assert cost_so_far_micro_usd(a_released_rental(cost_micro_usd=51_400), after(9999)) == 51_400
