from __future__ import annotations

from datetime import timedelta
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from rune.jobs import closing
from rune.jobs.outcomes import Done, Failed
from rune.jobs.places import RowChange
from rune.jobs.record import Event, Kind
from rune.jobs.store import Submission
from rune.jobs.transitions import make_transition
from rune.money.budgets import book, reserve
from rune.money.limits import SpendingLimits
from rune.services.usage import MOST_MODELS
from tests.builders import NOW, FakeClock, a_claimed_job, after
from tests.functional.functions.asking import ACMES_TOKEN, OF_ACME, a_wrong_field, assert_problem, get

if TYPE_CHECKING:
    from tests.cloud import Cloud

USAGE = "/v1/usage"
DAY_SECONDS = 86_400


def use(
    cloud: Cloud, job_id: str, model: str, *, cost: int = 0, at_seconds: float = 60, **overrides: object
) -> None:
    """Let a job end that began a minute before."""
    began_at = after(at_seconds - 60)
    job = a_claimed_job(job_id=job_id, started_at=began_at, cost_micro_usd=cost, **overrides)
    labels = {"model": model} if model else {}
    cloud.store.submit(Submission(job, "{}", Event(1, "job.accepted", "ok", NOW, labels=labels)))
    outcome = Failed("x", "X.", retryable=False) if "failed" in job_id else Done("{}")
    assert closing.commit(cloud.store, job, make_transition(job, outcome, after(at_seconds), 5))


def counts(jobs: int, succeeded: int, cost_usd: float) -> dict[str, object]:
    return {
        "job_count": jobs,
        "succeeded_count": succeeded,
        "run_seconds": 60 * jobs,
        "cost_usd": cost_usd,
        "token_cost_usd": 0.0,
    }


def test_usage_adds_up_own_jobs_by_day_kind_and_model(
    api: ModuleType, cloud: Cloud, clock: FakeClock
) -> None:
    use(cloud, "a", "llama3.1:8b", cost=1_000_000)
    use(cloud, "b", "llama3.1:8b", cost=500_000, at_seconds=60 + DAY_SECONDS)
    use(cloud, "failed", "qwen3:14b", cost=2_000_000, at_seconds=60 + DAY_SECONDS)
    use(cloud, "c", "", kind=Kind.AGENTIC_AGENT, at_seconds=60 + DAY_SECONDS)
    use(cloud, "d", "llama3.1:8b", tenant="acme", cost=7)
    clock.advance(DAY_SECONDS + 3600)
    cloud.calls.clear()

    response = get(api, f"{USAGE}?days=2")

    today, tomorrow = NOW.date(), NOW.date() + timedelta(days=1)
    assert (response.status, cloud.operations) == (200, ["GetItem", "Query", "BatchGetItem"])
    budgets = response.document.pop("budgets")
    assert [budget["window"] for budget in budgets] == ["day", "month"]
    assert response.document == {
        "first_day": today.isoformat(),
        "last_day": tomorrow.isoformat(),
        "totals": counts(4, 3, 3.5),
        "by_day": [
            {"day": today.isoformat(), **counts(1, 1, 1.0)},
            {"day": tomorrow.isoformat(), **counts(3, 2, 2.5)},
        ],
        "by_kind": [
            {"kind": "benchmark", **counts(3, 2, 3.5)},
            {"kind": "agentic-agent", **counts(1, 1, 0.0)},
        ],
        "by_model": [
            {"model": "qwen3:14b", **counts(1, 0, 2.0)},
            {"model": "llama3.1:8b", **counts(2, 2, 1.5)},
            {"model": None, **counts(1, 1, 0.0)},
        ],
    }


def test_usage_is_of_the_days_that_are_asked_for(api: ModuleType, cloud: Cloud, clock: FakeClock) -> None:
    use(cloud, "a", "m")
    clock.advance(29 * DAY_SECONDS)

    assert get(api, USAGE).document["totals"]["job_count"] == 1
    assert get(api, f"{USAGE}?days=29").document["totals"]["job_count"] == 0


def test_usage_tells_what_is_left_of_the_budgets(api: ModuleType, cloud: Cloud) -> None:
    job = a_claimed_job()
    limits = SpendingLimits.from_environment(cloud.environment).budgets
    reserving = [RowChange(each.row, each.change) for each in reserve(job.tenant, limits, 10_000_000, NOW)]
    assert not cloud.store.write_rows(reserving)
    spent = book(job.tenant, NOW, NOW, freed_micro_usd=4_000_000, spent_micro_usd=1_500_000)
    assert not cloud.store.write_rows([RowChange(each.row, each.change) for each in spent])

    day, month = get(api, USAGE).document["budgets"]

    limit_usd = limits.tenant_day_micro_usd / 1_000_000
    assert day == {
        "window": "day",
        "limit_usd": limit_usd,
        "spent_usd": 1.5,
        "reserved_usd": 6.0,
        "remaining_usd": limit_usd - 7.5,
        "renews_at": f"{NOW.date() + timedelta(days=1)}T00:00:00Z",
    }
    assert (month["window"], month["spent_usd"], month["reserved_usd"]) == ("month", 1.5, 6.0)


def test_usage_has_nothing_remaining_where_more_was_spent_than_the_limit(
    api: ModuleType, cloud: Cloud
) -> None:
    spent = book("default", NOW, NOW, spent_micro_usd=10**12)
    assert not cloud.store.write_rows([RowChange(each.row, each.change) for each in spent])

    assert [each["remaining_usd"] for each in get(api, USAGE).document["budgets"]] == [0.0, 0.0]


def test_usage_of_another_tenant_is_its_own(api: ModuleType, cloud: Cloud) -> None:
    use(cloud, "a", "m", cost=5)

    document = get(api, USAGE, OF_ACME, token=ACMES_TOKEN).document

    assert (document["totals"]["job_count"], document["by_model"]) == (0, [])


def test_usage_names_the_dearest_models_alone(api: ModuleType, cloud: Cloud) -> None:
    for number in range(MOST_MODELS + 1):
        use(cloud, f"job-{number}", f"m-{number}", cost=number)

    document = get(api, USAGE).document

    assert len(document["by_model"]) == MOST_MODELS
    assert "m-0" not in {each["model"] for each in document["by_model"]}
    assert document["totals"]["job_count"] == MOST_MODELS + 1


@pytest.mark.parametrize(
    ("days", "sentence"),
    [
        ("0", "Input should be greater than or equal to 1."),
        ("93", "Input should be less than or equal to 92."),
        ("x", "Input should be a valid integer, unable to parse string as an integer."),
    ],
)
def test_usage_is_refused_for_days_that_are_out_of_range(
    days: str, sentence: str, api: ModuleType, cloud: Cloud
) -> None:
    assert_problem(get(api, f"{USAGE}?days={days}"), a_wrong_field("/days", sentence))


@pytest.mark.parametrize("path", [USAGE, "/v1/finops/simulate"])
@pytest.mark.parametrize(
    ("query", "code", "sentence"),
    [
        ("zebra=2", "query_member_unknown", "There is no query member 'zebra'. There are: "),
        ("link=x", "query_member_unknown", "There is no query member 'link'. There are: "),
        ("a/b=1", "query_member_unknown", "There is no query member 'a/b'. There are: "),
        ("{known}=2&{known}=2", "query_member_repeated", "The query member '{known}' is there 2 times."),
    ],
)
def test_query_is_refused_for_what_would_not_be_heeded(
    query: str, code: str, sentence: str, path: str, api: ModuleType
) -> None:
    known = "days" if path == USAGE else "period_days"

    response = get(api, f"{path}?{query.format(known=known)}")

    assert (response.status, response.document["code"]) == (422, code)
    assert str(response.document["detail"]).startswith(sentence.format(known=known))
