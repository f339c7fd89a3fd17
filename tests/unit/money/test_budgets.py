from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rune.money.budgets import (
    Balance,
    Budget,
    BudgetChange,
    Budgets,
    Limits,
    book,
    reserve,
    windows_of,
)
from rune.storage.change import allows, apply
from tests.budget_builders import LIMITS, a_balance, adds_up
from tests.builders import NOW, TENANT, after

ALIKE = Limits(100, 100, 100, 100)
WINDOWS = windows_of(TENANT, NOW)


def some_budgets(*balances: Balance) -> Budgets:
    given_balances = balances or (Balance(), Balance(), Balance(), Balance())
    return Budgets.from_balances(WINDOWS, given_balances)


def write(balances: Sequence[Balance], changes: Sequence[BudgetChange]) -> tuple[Balance, ...]:
    return tuple(
        apply(each.change, balance) if allows(each.change, balance) else balance
        for balance, each in zip(balances, changes, strict=True)
    )


@pytest.mark.parametrize(
    ("moment", "names", "renew_at"),
    [
        (
            datetime(2026, 11, 30, 23, 59, tzinfo=UTC),
            ("DAY#2026-11-30", "MONTH#2026-11"),
            (datetime(2026, 12, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)),
        ),
        (
            datetime(2026, 12, 31, tzinfo=UTC),
            ("DAY#2026-12-31", "MONTH#2026-12"),
            (datetime(2027, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
        ),
        (
            datetime(2026, 11, 30, 23, 59, tzinfo=timezone(-timedelta(hours=8))),
            ("DAY#2026-12-01", "MONTH#2026-12"),
            (datetime(2026, 12, 2, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
        ),
    ],
)
def test_windows_of_a_moment_are_its_day_and_month_in_utc(
    moment: datetime, names: tuple[str, str], renew_at: tuple[datetime, datetime]
) -> None:
    windows = windows_of("acme", moment)

    assert [(window.tenant, window.name) for window in windows] == [
        ("acme", names[0]),
        ("acme", names[1]),
        (None, names[0]),
        (None, names[1]),
    ]
    assert tuple(window.renews_at for window in windows) == (*renew_at, *renew_at)


def test_limits_are_those_of_the_window() -> None:
    limits = Limits(1, 2, 3, 4)

    assert tuple(limits.of(window) for window in WINDOWS) == (1, 2, 3, 4)


@pytest.mark.parametrize("exhausted", [0, 1, 2, 3])
def test_find_exhausted_names_the_one_budget_that_is_short(exhausted: int) -> None:
    balances = [a_balance(reserved=30, spent=20)] * 4
    balances[exhausted] = a_balance(reserved=30, spent=21)
    budgets = some_budgets(*balances).under(ALIKE)

    found = budgets.find_exhausted(50)

    assert found == Budget(WINDOWS[exhausted], balances[exhausted], 100)
    assert budgets.find_exhausted(49) is None


def test_budgets_under_other_limits_have_more_or_less_free() -> None:
    budgets = some_budgets(*[a_balance(reserved=30, spent=20)] * 3, Balance())

    under = budgets.under(Limits(200, 40, 100, 7))

    assert [each.free_micro_usd for each in under.all] == [150, -10, 50, 7]
    assert [each.limit_micro_usd for each in under.all] == [200, 40, 100, 7]
    assert all(adds_up(each.balance) for each in under.all)


def test_first_reservation_of_a_window_makes_its_row() -> None:
    changes = reserve(TENANT, LIMITS, 10_000_000, NOW)
    day, *_ = write([Balance()] * 4, changes)

    assert day == Balance(
        version=1,
        updated_at=NOW,
        used_micro_usd=10_000_000,
        reserved_micro_usd=10_000_000,
        expires_at=datetime(2026, 11, 24, tzinfo=UTC) + timedelta(days=400),
    )
    assert tuple(each.row.window for each in changes) == WINDOWS


def test_reservations_of_the_same_moment_are_taken_as_long_as_the_limit_holds_them() -> None:
    changes = reserve(TENANT, ALIKE, 50, NOW)
    twice = write(write([Balance()] * 4, changes), changes)

    assert {each.reserved_micro_usd for each in twice} == {100}
    assert write(twice, changes) == twice


def test_first_reservation_of_more_than_all_is_a_defect() -> None:
    with pytest.raises(ValueError, match="whole budget"):
        reserve(TENANT, ALIKE, 101, NOW)


@pytest.mark.parametrize("limit", [100, 140, 80])
def test_reservation_is_refused_as_soon_as_too_little_is_free(limit: int) -> None:
    changes = reserve(TENANT, Limits(*[limit] * 4), 50, NOW)
    enough = a_balance(reserved=limit - 50 - 20, spent=20)
    too_little = a_balance(reserved=limit - 50 - 19, spent=20)

    taken, refused, *_ = write([enough, too_little, enough, enough], changes)

    assert (taken.used_micro_usd, taken.reserved_micro_usd) == (limit, limit - 20)
    assert adds_up(taken)
    assert refused == too_little


def test_book_makes_what_was_reserved_free_and_spent_in_all_windows() -> None:
    changes = book(TENANT, NOW, after(90), freed_micro_usd=60, spent_micro_usd=25)
    balances = write([a_balance(reserved=60)] * 4, changes)

    assert {replace(each, updated_at=None) for each in balances} == {a_balance(0, 25, version=4)}
    assert tuple(each.row.window for each in changes) == WINDOWS


def test_book_writes_down_what_was_spent_beyond_the_limit() -> None:
    changes = book(TENANT, NOW, NOW, freed_micro_usd=60, spent_micro_usd=125)
    balance, *_ = write([a_balance(reserved=60)] * 4, changes)

    assert (balance.used_micro_usd, balance.spent_micro_usd) == (125, 125)
    assert Budget(WINDOWS[0], balance, 100).free_micro_usd == -25
    assert adds_up(balance)


def test_book_of_nothing_writes_nothing() -> None:
    assert book(TENANT, NOW, NOW) == ()


@given(
    acts=st.lists(st.tuples(st.integers(1, 60), st.integers(0, 90), st.integers(50, 200))),
    limit=st.integers(0, 200),
)
def test_amounts_always_add_up_and_reservations_return_to_0(
    acts: list[tuple[int, int, int]], limit: int
) -> None:
    balances: tuple[Balance, ...] = (Balance(),) * 4
    limits, reserved, spent = Limits(*[limit] * 4), [], 0
    for amount, cost, next_limit in acts:
        budgets = some_budgets(*balances)
        if budgets.under(limits).find_exhausted(amount) is None:
            balances = write(balances, reserve(TENANT, limits, amount, NOW))
            reserved.append((amount, cost))
        assert all(adds_up(each) for each in balances)
        limits = Limits(*[next_limit] * 4)
    for amount, cost in reserved:
        balances = write(balances, book(TENANT, NOW, NOW, freed_micro_usd=amount, spent_micro_usd=cost))
        spent += cost

    assert {each.reserved_micro_usd for each in balances} == {0}
    assert {each.spent_micro_usd for each in balances} == {spent}
    assert all(adds_up(each) for each in balances)
