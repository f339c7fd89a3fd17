"""What a turn's tokens cost: announced before they are bought, and never counted lower than they were."""

import pytest

from rune.errors import CostCapReachedError, LeaseLostError, StoreUnavailableError
from rune.jobs import lifecycle
from rune.jobs.lease import Lease
from rune.jobs.outcomes import Again, Cancelled, Done, Failed, Next, Outcome, Spending
from rune.jobs.record import Job, StepName
from rune.jobs.tokens import TokenAccount
from rune.jobs.transitions import make_transition
from rune.storage.change import apply
from tests.builders import JOB_ID, FakeClock, a_claimed_job, a_job, after
from tests.unit.jobs.stores import DownStore, a_store, fill


def an_account(**job: object) -> tuple[TokenAccount, list[int]]:
    """Return an account, and the bounds that it has written."""
    written: list[int] = []
    return TokenAccount(a_claimed_job(**job), written.append), written


def test_call_is_announced_before_it_begins_and_counts_what_it_cost() -> None:
    account, written = an_account(cap_micro_usd=1_000)

    account.begin(400)
    assert (written, account.spent_micro_usd, account.left_micro_usd) == ([400], 0, 600)

    account.end(400, 150)
    assert (account.spent_micro_usd, account.left_micro_usd, account.to_commit_micro_usd) == (150, 850, 150)


def test_calls_within_what_is_announced_write_nothing() -> None:
    account, written = an_account(cap_micro_usd=1_000)
    account.announce(900)

    account.begin(400)
    account.begin(400)
    account.end(400, 100)
    account.begin(400)

    assert written == [900]


def test_announcement_stays_within_the_cap() -> None:
    account, written = an_account(cap_micro_usd=1_000)

    account.announce(5_000)

    assert written == [1_000]


def test_call_is_refused_when_the_cap_does_not_leave_enough() -> None:
    account, written = an_account(cap_micro_usd=1_000)
    account.begin(600)

    with pytest.raises(CostCapReachedError):
        account.begin(401)
    assert (account.was_refused, written) == (True, [600])

    account.end(600, 600)
    account.begin(400)


def test_call_that_cannot_be_announced_does_not_begin() -> None:
    def refuse(_bound: int) -> None:
        raise StoreUnavailableError("Down.")

    account = TokenAccount(a_claimed_job(cap_micro_usd=1_000), refuse)

    with pytest.raises(StoreUnavailableError):
        account.begin(10)
    assert account.to_commit_micro_usd is None


def test_job_without_a_cap_buys_without_a_limit() -> None:
    account, written = an_account()

    account.begin(10**9)

    assert (written, account.left_micro_usd) == ([10**9], None)


def test_machines_of_a_job_leave_less_for_its_tokens() -> None:
    account, _ = an_account(cap_micro_usd=1_000, cost_micro_usd=500, token_micro_usd=100)

    assert account.left_micro_usd == 500

    of_its_own, _ = an_account(cap_micro_usd=1_000, cost_micro_usd=500, token_cap_micro_usd=300)
    assert of_its_own.left_micro_usd == 300


def test_what_a_lost_worker_announced_is_spent() -> None:
    account, written = an_account(
        cap_micro_usd=1_000, cost_micro_usd=50, token_micro_usd=50, token_bound_micro_usd=700
    )

    assert (account.spent_micro_usd, account.left_micro_usd, account.to_commit_micro_usd) == (700, 300, 700)
    account.begin(100)
    assert written == [800]


OUTCOMES: list[Outcome] = [
    Next(StepName.MEASURE),
    Again(30),
    Done("{}"),
    Failed("server_timeout", "Silent.", retryable=False),
    Failed("server_overloaded", "Later.", retryable=True),
    Cancelled(),
]


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: type(outcome).__name__)
def test_end_of_a_turn_has_what_its_tokens_cost(outcome: Outcome) -> None:
    job = a_claimed_job(cost_micro_usd=30, token_micro_usd=30, token_bound_micro_usd=900)

    ended = apply(make_transition(job, outcome, after(10), 5, 75).change, job)

    assert (ended.cost_micro_usd, ended.token_micro_usd, ended.token_bound_micro_usd) == (75, 75, None)


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: type(outcome).__name__)
def test_end_of_a_turn_that_bought_nothing_counts_what_a_lost_worker_may_have_bought(
    outcome: Outcome,
) -> None:
    job = a_claimed_job(attempts=2, cost_micro_usd=30, token_micro_usd=30, token_bound_micro_usd=900)

    ended = apply(make_transition(job, outcome, after(10), 5).change, job)

    assert (ended.cost_micro_usd, ended.token_micro_usd, ended.token_bound_micro_usd) == (900, 900, None)


def test_turn_without_tokens_says_nothing_of_them() -> None:
    change = make_transition(a_claimed_job(), Done("{}"), after(10), 5).change

    assert not {name for name in change.sets if "token" in name or "cost" in name}


def test_tokens_come_on_top_of_what_machines_cost() -> None:
    job = a_claimed_job(rents=True, cost_micro_usd=130, token_micro_usd=30)
    outcome = Again(30, spending=Spending(cost_micro_usd=200))

    ended = apply(make_transition(job, outcome, after(10), 5, 75).change, job)

    assert (ended.cost_micro_usd, ended.token_micro_usd) == (245, 75)


def test_renewal_shows_tokens_beside_machines() -> None:
    job = a_claimed_job(cost_micro_usd=130, token_micro_usd=30)

    renewed = apply(lifecycle.renew(job, {}, after(10), 160, 75), job)

    assert (renewed.cost_micro_usd, renewed.token_micro_usd) == (205, 75)


def test_lease_writes_what_is_announced_and_shows_what_was_bought() -> None:
    store = a_store(a_claimed_job(cap_micro_usd=1_000))
    lease = Lease(a_claimed_job(cap_micro_usd=1_000), store, FakeClock(after(1)))

    lease.tokens.begin(400)
    assert store.jobs[JOB_ID].token_bound_micro_usd == 400

    lease.tokens.end(400, 70)
    lease.renew({})
    job = store.jobs[JOB_ID]
    assert (job.cost_micro_usd, job.token_micro_usd, job.token_bound_micro_usd) == (70, 70, 400)


@pytest.mark.parametrize("found", [a_job(), a_claimed_job(lease_owner="worker-2", epoch=2)])
def test_worker_that_has_lost_the_turn_buys_nothing(found: Job) -> None:
    lease = Lease(a_claimed_job(), a_store(found), FakeClock(after(1)))

    with pytest.raises(LeaseLostError):
        lease.tokens.begin(400)


def test_worker_that_cannot_reach_the_table_buys_nothing() -> None:
    store = fill(DownStore("announce_tokens"), a_claimed_job())
    lease = Lease(a_claimed_job(), store, FakeClock(after(1)))

    with pytest.raises(StoreUnavailableError):
        lease.tokens.begin(400)
