from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from rune.jobs.outcomes import Cancelled, Done, Failed, Outcome
from rune.jobs.record import Event, Job
from rune.jobs.transitions import cancel_queued, make_transition
from rune.jobs.usage import USAGE_KEPT, Usage, UsageRow, add_up, count_usage, usage_row
from rune.storage.change import apply
from tests.builders import NOW, TENANT, a_claimed_job, a_job, after

ACCEPTED = Event(1, "job.accepted", "ok", NOW, labels={"model": "llama3.1:8b", "agent": "holmes"})
OTHER = Event(2, "backend.warmup", "ok", NOW, labels={"model": "another"})


def counted(job: Job, outcome: Outcome, at_seconds: float = 90) -> Usage:
    """Return a row that was new before a job ended."""
    transition = make_transition(job, outcome, after(at_seconds), 5)
    return apply(count_usage(job, transition.change, after(at_seconds)), Usage())


def test_job_that_succeeds_counts_with_its_time_and_cost() -> None:
    job = a_claimed_job(started_at=after(30), cost_micro_usd=1_234)

    assert counted(job, Done("{}")) == Usage(
        version=1,
        updated_at=after(90),
        job_count=1,
        succeeded_count=1,
        run_seconds=60,
        cost_micro_usd=1_234,
        succeeded_run_seconds=60,
        succeeded_cost_micro_usd=1_234,
        expires_at=after(90) + USAGE_KEPT,
    )


@pytest.mark.parametrize("outcome", [Failed("model_not_found", "None.", retryable=False), Cancelled()])
def test_job_that_does_not_succeed_counts_with_what_it_cost(outcome: Outcome) -> None:
    usage = counted(a_claimed_job(started_at=NOW, cost_micro_usd=7), outcome)

    assert (usage.job_count, usage.run_seconds, usage.cost_micro_usd) == (1, 90, 7)
    assert (usage.succeeded_count, usage.succeeded_run_seconds, usage.succeeded_cost_micro_usd) == (0, 0, 0)


def test_job_that_was_never_begun_has_run_for_no_time() -> None:
    job = a_job()
    change = count_usage(job, cancel_queued(job, after(3600)).change, after(3600))

    assert (change.adds["job_count"], change.adds["run_seconds"]) == (1, 0)


def test_part_of_the_cost_that_is_for_tokens_counts_of_its_own() -> None:
    job = a_claimed_job(cost_micro_usd=9, token_micro_usd=4)
    failed = Failed("model_not_found", "None.", retryable=False)

    ended = [counted(job, Done("{}")), counted(job, failed)]

    assert [(each.token_micro_usd, each.succeeded_token_micro_usd) for each in ended] == [(4, 4), (4, 0)]


def test_cost_is_that_of_the_end_and_not_of_the_last_look() -> None:
    job = a_claimed_job(cost_micro_usd=5)
    end = make_transition(job, Done("{}"), NOW, 5).change
    later = type(end)(end.name, end.requires, {**end.sets, "cost_micro_usd": 9}, end.adds)

    assert count_usage(job, later, NOW).adds["cost_micro_usd"] == 9


def test_row_is_of_the_day_in_utc_on_which_the_job_ended() -> None:
    midnight = datetime(2026, 12, 1, 0, 30, tzinfo=timezone(timedelta(hours=2)))

    assert usage_row(a_job(), [ACCEPTED, OTHER], midnight) == UsageRow(
        TENANT, date(2026, 11, 30), "benchmark", "holmes", "llama3.1:8b"
    )


@pytest.mark.parametrize(
    "events", [[], [OTHER], [Event(1, "job.accepted", "ok", NOW)]], ids=["none", "later", "without"]
)
def test_row_is_without_a_model_when_the_history_does_not_name_it(events: list[Event]) -> None:
    row = usage_row(a_job(), events, NOW.astimezone(UTC))

    assert (row.agent, row.model) == ("", "")


def test_usages_add_up() -> None:
    some = Usage(3, NOW, 1, 1, 10, 100, 10, 100, 7, 7, NOW)
    more = Usage(4, NOW, 2, 0, 20, 200, 0, 0, 5, 0, NOW)

    assert add_up([some, more]) == Usage(0, None, 3, 1, 30, 300, 10, 100, 12, 7)
    assert add_up([]) == Usage()
