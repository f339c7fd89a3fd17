from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rune.tenants.limiter import (
    EMPTY,
    UNKNOWN_SUBJECT,
    SlidingWindow,
    after_failure,
    seconds_blocked,
    subject_of,
)

T0 = 1_800_000_000_000
"""An epoch millisecond at which tests happen."""

TEN_IN_A_SECOND = tuple(T0 + 100 * place for place in range(10))


def failed(*instants_ms: int) -> SlidingWindow:
    """Return the window after failures at these instants, each counted whatever was said before."""
    window = EMPTY
    for instant_ms in instants_ms:
        window = after_failure(window, instant_ms)
    return window


@pytest.mark.parametrize(
    ("address", "subject"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("::FFFF:cb00:7107", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::6", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", UNKNOWN_SUBJECT),
        ("203.0.113.7:443", UNKNOWN_SUBJECT),
        ("LIMIT#x", UNKNOWN_SUBJECT),
    ],
)
def test_subject_is_what_one_customer_holds(address: str, subject: str) -> None:
    assert subject_of(address) == subject


def test_window_counts_failures_when_there_are_fewer_than_ten() -> None:
    assert failed(T0, T0 + 5) == SlidingWindow(2, (T0, T0 + 5), None)


def test_window_is_blocked_when_the_tenth_failure_came_within_a_minute() -> None:
    assert failed(*TEN_IN_A_SECOND) == SlidingWindow(10, TEN_IN_A_SECOND, T0 + 60_000)


def test_window_keeps_ten_instants_when_more_came() -> None:
    slow = tuple(T0 + 7_000 * place for place in range(12))

    assert failed(*slow) == SlidingWindow(12, slow[2:], None)


@pytest.mark.parametrize(
    ("last_ms", "blocked_until_ms"),
    [(T0 + 59_999, T0 + 60_000), (T0 + 60_000, None), (T0 + 60_001, None)],
)
def test_window_is_blocked_only_when_ten_failures_lie_within_less_than_a_minute(
    last_ms: int, blocked_until_ms: int | None
) -> None:
    assert failed(*TEN_IN_A_SECOND[:9], last_ms).blocked_until_ms == blocked_until_ms


@pytest.mark.parametrize(
    ("now_ms", "seconds"),
    [
        (T0 + 900, 60),
        (T0 + 1_000, 59),
        (T0 + 1_001, 59),
        (T0 + 58_999, 2),
        (T0 + 59_000, 1),
        (T0 + 59_999, 1),
        (T0 + 60_000, None),
        (T0 + 90_000, None),
    ],
)
def test_block_ends_when_the_tenth_last_failure_is_a_minute_old(now_ms: int, seconds: int | None) -> None:
    assert seconds_blocked(failed(*TEN_IN_A_SECOND), now_ms) == seconds


def test_window_rolls_when_a_block_ended() -> None:
    window = after_failure(failed(*TEN_IN_A_SECOND), T0 + 60_000)

    # The second of the ten is now the tenth-last; a fixed window would allow ten more at once.
    assert seconds_blocked(window, T0 + 60_000) == 1
    assert seconds_blocked(window, T0 + 60_100) is None


def test_nobody_is_blocked_when_nothing_failed() -> None:
    assert seconds_blocked(EMPTY, T0) is None


def test_slow_clock_waits_no_longer_than_a_minute() -> None:
    assert seconds_blocked(failed(*TEN_IN_A_SECOND), T0 - 3_600_000) == 60


def test_slow_clock_counts_a_failure_when_the_newest_was() -> None:
    assert failed(T0, T0 - 5_000) == SlidingWindow(2, (T0, T0), None)


def test_window_matters_no_more_when_it_is_two_minutes_old() -> None:
    assert failed(T0 + 1).expires_at_seconds == T0 // 1000 + 121


steps_ms = st.one_of(
    st.integers(0, 200), st.integers(0, 20_000), st.sampled_from([5_999, 6_000, 6_001, 60_000])
)


@given(st.lists(steps_ms, max_size=120))
def test_window_agrees_with_the_list_of_all_failures(steps: list[int]) -> None:
    window, counted = EMPTY, list[int]()
    for now_ms in accumulate(steps, initial=T0):
        in_window = [instant for instant in counted if now_ms - instant < 60_000]
        remaining = seconds_blocked(window, now_ms)
        if len(in_window) < 10:
            assert remaining is None
            window = after_failure(window, now_ms)
            counted.append(now_ms)
        else:
            assert remaining == -(-(in_window[-10] + 60_000 - now_ms) // 1000)
    assert all(later - earlier >= 60_000 for earlier, later in zip(counted, counted[10:], strict=False))


@given(st.lists(st.integers(-90_000, 90_000), max_size=120))
def test_window_holds_its_limit_when_clocks_disagree(offsets: list[int]) -> None:
    window, counted = EMPTY, list[int]()
    for now_ms in (T0 + offset for offset in offsets):
        remaining = seconds_blocked(window, now_ms)
        if remaining is None:
            window = after_failure(window, now_ms)
            counted.append(window.newest_ms)
        else:
            assert 1 <= remaining <= 60
            # What DynamoDB compares with a raw clock (`blocked_until <= :now`) says the same.
            assert window.blocked_until_ms is not None
            assert window.blocked_until_ms > now_ms
    assert counted == sorted(counted)
    assert all(later - earlier >= 60_000 for earlier, later in zip(counted, counted[10:], strict=False))
