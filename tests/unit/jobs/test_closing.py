import pytest

from rune.jobs import closing
from rune.jobs.metrics import Tally, tally
from rune.jobs.outcomes import Again, Cancelled, Done, Failed, Next, Outcome
from rune.jobs.receipts import make_receipt, read_receipt
from rune.jobs.record import Job, StepName
from rune.jobs.transitions import cancel_queued, expire_queued, make_transition
from rune.money.receipts import PROVIDERS, Line, LineKind, sum_of
from tests.builders import JOB_ID, NOW, TENANT, a_claimed_job, a_job
from tests.unit.jobs.stores import DownStore, a_store, fill

REFUSED = Failed("model_not_found", "None.", retryable=False)
ENDS: list[tuple[Job, Outcome, bool]] = [
    (a_claimed_job(), Done("{}"), True),
    (a_claimed_job(), REFUSED, True),
    (a_claimed_job(), Cancelled(), True),
    (a_claimed_job(), Next(StepName.WARM_UP), False),
    (a_claimed_job(), Again(30), False),
    # The machine is to be given back first.
    (a_claimed_job(rents=True), Done("{}"), False),
    (a_claimed_job(rents=True), Cancelled(), False),
]


@pytest.mark.parametrize(("job", "outcome", "expected"), ENDS)
def test_ends_holds_when_the_job_is_over(job: Job, outcome: Outcome, *, expected: bool) -> None:
    assert closing.ends(make_transition(job, outcome, NOW, 5)) is expected


def test_ends_holds_for_a_job_that_no_worker_has_claimed() -> None:
    assert closing.ends(cancel_queued(a_job(), NOW))
    assert closing.ends(expire_queued(a_job(), NOW))


def test_commit_adds_up_all_events_of_a_job_that_ends() -> None:
    store = a_store(a_job())
    earlier = make_transition(a_job(), Next(StepName.CHECK), NOW, 7)
    assert closing.commit(store, a_job(), earlier)
    job = store.jobs[JOB_ID]

    assert closing.commit(store, job, make_transition(job, Done("{}"), NOW, 5))

    tallies = {"backend.list_models": Tally(2, 0, 12, 5, 7), "job.succeeded": Tally(1, 0, 0, 0, 0)}
    assert store.read_tallies(TENANT, NOW) == tallies == tally(store.events_of(JOB_ID))


@pytest.mark.parametrize(("job", "outcome"), [(job, outcome) for job, outcome, ends in ENDS if ends])
def test_commit_writes_a_receipt_however_the_job_ends(job: Job, outcome: Outcome) -> None:
    store = a_store(job)

    assert closing.commit(store, job, make_transition(job, outcome, NOW, 5))

    stored = store.receipts[JOB_ID]
    receipt = read_receipt(stored)
    assert (receipt.uses, {line.kind for line in receipt.lines}) == ((), {LineKind.AWS})
    assert stored.expires_at == job.expires_at


def test_receipt_has_a_line_for_tokens_and_adds_up_to_the_cost() -> None:
    receipt = make_receipt(a_job(cost_micro_usd=700, token_micro_usd=700), ())

    assert Line(None, "work", LineKind.TOKENS, 700) in receipt.lines
    assert sum_of(receipt.lines, *PROVIDERS) == 700


def test_commit_writes_a_receipt_of_a_job_that_was_not_begun() -> None:
    store = a_store(a_job())

    assert closing.commit(store, a_job(), cancel_queued(a_job(), NOW))
    assert JOB_ID in store.receipts


def test_commit_writes_no_receipt_while_the_job_goes_on() -> None:
    store = a_store(a_claimed_job())

    assert closing.commit(store, a_claimed_job(), make_transition(a_claimed_job(), Again(30), NOW, 5))
    assert store.receipts == {}


def test_commit_reads_no_events_while_the_job_goes_on() -> None:
    store = fill(DownStore("read_events"), a_claimed_job())

    assert closing.commit(store, a_claimed_job(), make_transition(a_claimed_job(), Again(0), NOW, 5))
    assert store.read_tallies(TENANT, NOW) == {}


def test_commit_adds_up_nothing_when_it_is_refused() -> None:
    store = a_store(a_claimed_job(epoch=2))

    assert not closing.commit(store, a_claimed_job(), make_transition(a_claimed_job(), Done("{}"), NOW, 5))
    assert (store.read_tallies(TENANT, NOW), len(store.events_of(JOB_ID))) == ({}, 1)
