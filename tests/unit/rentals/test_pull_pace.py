from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rune.rentals.pull_pace import (
    Download,
    PullWatch,
    is_late,
    is_worth_leaving,
    read_speed,
    tell_speed,
)
from rune.rentals.record import Alternative, Prices
from tests.builders import after

PRICES = Prices(gpu_micro_usd_per_hour=360_000, disk_micro_usd_per_hour=0, download_micro_usd_per_gb=2_000)
OTHER = Alternative(mbit_per_second=800, micro_usd_per_hour=360_000, download_micro_usd_per_gb=2_000)
IMAGE_BYTES = 2_000_000_000
SMALL, LARGE = 4_900_000_000, 243_000_000_000


@pytest.mark.parametrize(
    ("download", "other", "is_left"),
    [
        (Download(0, SMALL, 800.0), OTHER, False),
        # Another takes 249 s and 0.0139 USD of traffic, 0.039 USD together; twice that are 778 s here.
        (Download(0, SMALL, 51.0), OTHER, False),
        (Download(0, SMALL, 50.0), OTHER, True),
        (Download(0, SMALL, 8.0), OTHER, True),
        (Download(4_200_000_000, SMALL, 8.0), OTHER, False),
        (Download(SMALL, SMALL, 0.001), OTHER, False),
        (Download(0, LARGE, 400.0), OTHER, False),
        (Download(0, LARGE, 100.0), OTHER, True),
        (Download(0, SMALL, 8.0), Alternative(9, 360_000, 2_000), False),
        (Download(0, SMALL, 30.0), Alternative(800, 3_600_000, 2_000), False),
        (Download(0, SMALL, 30.0), Alternative(800, 360_000, 20_000), False),
    ],
    ids=[
        "as fast as another",
        "not slow enough",
        "just slow enough",
        "hopeless",
        "almost there",
        "all there",
        "large, and fast enough",
        "large, and slow",
        "another is as slow",
        "another is dear",
        "another has dear traffic",
    ],
)
def test_machine_is_left_when_another_costs_half(
    download: Download, other: Alternative, is_left: bool
) -> None:
    assert is_worth_leaving(download, PRICES, other, IMAGE_BYTES, timedelta(hours=20)) is is_left


@pytest.mark.parametrize(
    ("minutes", "is_left"),
    [(10, True), (15, False), (4, False)],
    ids=["too late here", "in time", "too late"],
)
def test_machine_is_left_when_only_another_makes_the_deadline(minutes: float, is_left: bool) -> None:
    # 13 minutes here, and 4.15 on another machine.
    download = Download(0, SMALL, 51.0)

    assert is_worth_leaving(download, PRICES, OTHER, IMAGE_BYTES, timedelta(minutes=minutes)) is is_left


def test_speed_is_measured_window_by_window_without_what_was_there() -> None:
    watch = PullWatch()

    seen = [
        watch.look(completed_bytes, after(seconds))
        for seconds, completed_bytes in [
            (0, 0),
            (20, 3_000_000_000),
            (40, 3_100_000_000),
            (65, 3_450_000_000),
            (100, 3_500_000_000),
            (110, 3_500_000_000),
        ]
    ]

    # 450 MB in 45 s, then 50 MB in 45 s.
    assert seen == [None, None, None, 80.0, None, pytest.approx(8.889, abs=0.001)]


def test_speed_of_a_download_that_stands_still_is_above_zero() -> None:
    watch = PullWatch()
    watch.look(5, after(0))

    assert watch.look(5, after(45)) == 0.001


@given(st.floats(0.001, 1e5))
def test_speed_is_read_back_from_the_sentence(mbit_per_second: float) -> None:
    told = tell_speed(Download(0, SMALL, mbit_per_second))

    assert read_speed(told) == pytest.approx(mbit_per_second, abs=0.05)


@pytest.mark.parametrize("detail", [None, "", "The download stood still."])
def test_speed_is_unknown_from_another_sentence(detail: str | None) -> None:
    assert read_speed(detail) is None


@pytest.mark.parametrize(("minutes", "is_too_late"), [(60, True), (63, True), (65, False), (90, False)])
def test_download_is_late_when_it_takes_a_quarter_more_than_the_time_that_is_left(
    minutes: float, *, is_too_late: bool
) -> None:
    # 80 minutes.
    download = Download(100_000_000, 4_900_000_000, 8.0)

    assert is_late(download, timedelta(minutes=minutes)) is is_too_late
