"""How many requests a tenant may send, through one process and through several."""

from __future__ import annotations

from collections import Counter

import pytest

from rune.errors import TooManyPollsError, TooManyRequestsError, TooManySubmitsError
from rune.tenants.rates import RateLimits, RequestClass, TenantRates
from rune.tenants.settings import TenantSettings
from tests.builders import NOW, FakeClock

LIMITS = RateLimits(polls_per_second=10, submits_per_second=2)
ANY = TenantSettings()


class MemoryRateCounter:
    """What all processes count together; `is_away` as a table that cannot be asked."""

    def __init__(self) -> None:
        self.counts = Counter[tuple[str, RequestClass, int]]()
        self.calls = 0
        self.is_away = False

    def add(self, tenant: str, what: RequestClass, window: int, count: int) -> int | None:
        self.calls += 1
        if self.is_away:
            return None
        self.counts[tenant, what, window] += count
        return self.counts[tenant, what, window]


@pytest.fixture
def counter() -> MemoryRateCounter:
    return MemoryRateCounter()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def rates(counter: MemoryRateCounter, clock: FakeClock) -> TenantRates:
    return TenantRates(LIMITS, lambda: counter, clock)


def taken(rates: TenantRates, times: int, method: str = "GET", settings: TenantSettings = ANY) -> int:
    """Return how many of so many requests are let through."""
    let_through = 0
    for _ in range(times):
        try:
            rates.take("acme", settings, method)
        except TooManyRequestsError:
            continue
        let_through += 1
    return let_through


@pytest.mark.parametrize(("method", "limit"), [("GET", 100), ("HEAD", 100), ("POST", 20), ("DELETE", 20)])
def test_process_lets_through_what_the_tenant_may_send_in_ten_seconds(
    method: str, limit: int, rates: TenantRates
) -> None:
    assert taken(rates, 300, method) == limit


def test_reading_is_still_let_through_when_submitting_is_not(rates: TenantRates) -> None:
    taken(rates, 300, "POST")

    assert taken(rates, 5) == 5


def test_other_tenant_is_let_through_when_one_floods(rates: TenantRates) -> None:
    flooders = taken(rates, 300)

    for _ in range(50):
        rates.take("team", ANY, "GET")
    assert (flooders, taken(rates, 1)) == (100, 0)


def test_client_that_polls_costs_no_write(rates: TenantRates, counter: MemoryRateCounter) -> None:
    assert (taken(rates, 25), counter.calls) == (25, 0)


def test_flood_costs_ten_writes_a_window_at_most(rates: TenantRates, counter: MemoryRateCounter) -> None:
    taken(rates, 3000)

    assert counter.calls <= 10


def test_several_processes_let_through_the_limit_and_their_free_shares(
    counter: MemoryRateCounter, clock: FakeClock
) -> None:
    processes = [TenantRates(LIMITS, lambda: counter, clock) for _ in range(4)]

    let_through = sum(taken(process, 1) for _ in range(300) for process in processes)

    assert 100 <= let_through <= 100 + 3 * 25


def test_refusal_says_what_and_when_the_window_ends(rates: TenantRates, clock: FakeClock) -> None:
    clock.instant = NOW.replace(second=3, microsecond=500_000)
    taken(rates, 100)

    with pytest.raises(TooManyPollsError, match=r"100 requests that read \(GET\) in 10 s") as refused:
        rates.take("acme", ANY, "GET")
    assert refused.value.retry_after_seconds == 7


def test_next_window_is_a_new_one(rates: TenantRates, clock: FakeClock) -> None:
    taken(rates, 300)
    clock.advance(10)

    assert taken(rates, 300) == 100


def test_documents_own_limits_count_before_the_deployments(rates: TenantRates) -> None:
    settings = TenantSettings(max_polls_per_second=1, max_submits_per_second=30)

    assert (taken(rates, 500, "GET", settings), taken(rates, 500, "POST", settings)) == (10, 300)
    with pytest.raises(TooManySubmitsError):
        rates.take("acme", settings, "DELETE")


def test_process_goes_on_by_itself_when_the_table_is_away(
    rates: TenantRates, counter: MemoryRateCounter
) -> None:
    counter.is_away = True

    assert taken(rates, 300) == 100
