from datetime import timedelta

import pytest

from rune.rentals.hosts import UNKNOWN_HOST, HostRecord
from tests.builders import NOW


@pytest.mark.parametrize(
    ("failures", "hours"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 24), (1000, 24)]
)
def test_host_is_left_alone_twice_as_long_after_each_failure(failures: int, hours: int) -> None:
    assert HostRecord(failures, NOW).excluded_until() == NOW + timedelta(hours=hours)


@pytest.mark.parametrize("record", [UNKNOWN_HOST, HostRecord(0, NOW), HostRecord(2, None)], ids=repr)
def test_host_is_not_left_alone_when_no_failure_is_known(record: HostRecord) -> None:
    assert record.excluded_until() is None


@pytest.mark.parametrize(("failures", "odds"), [(0, 1.0), (1, 2 / 3), (2, 0.5), (8, 0.2)])
def test_odds_fall_with_each_failure_in_a_row(failures: int, odds: float) -> None:
    assert HostRecord(failures).odds_ratio == pytest.approx(odds)


@pytest.mark.parametrize(
    ("measured", "stated", "believed"),
    [(None, 900.0, 900.0), (8.0, 900.0, 8.0), (1200.0, 900.0, 900.0), (None, 0.0, 0.1), (0.0, 5.0, 0.1)],
)
def test_host_s_bandwidth_is_believed_as_far_as_it_was_seen(
    measured: float | None, stated: float, believed: float
) -> None:
    assert HostRecord(mbit_per_second=measured).believable_mbit_per_second(stated) == believed
