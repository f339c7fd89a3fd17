"""Two hundred jobs at once against a budget for fifty, over HTTP."""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from local.stack import Stack
from local.tenants import write_documents
from tests.e2e.client import RuneClient, bearer
from tests.e2e.waiting import wait_until

type RecordProperty = Callable[[str, object], None]

TENANT = "thrifty"
TOKEN = secrets.token_urlsafe(32)
POSTS, FITTING, AT_ONCE = 200, 50, 40
JOB_USD = 0.1
UNAVAILABLE_TRIES = 5


@pytest.fixture(scope="module")
def thrifty(stack: Stack) -> Iterator[RuneClient]:
    """Return the client of a tenant with a budget for fifty jobs, of which one runs at a time."""
    document = {
        "tokens": {"ci": f"sha256:{hashlib.sha256(TOKEN.encode()).hexdigest()}"},
        "daily_budget_usd": FITTING * JOB_USD,
        "max_running_jobs": 1,
    }
    write_documents(stack.aws, {TENANT: document})
    with RuneClient(stack.state.base_url, bearer(TOKEN, TENANT)) as client:
        yield client


def budget_of_day(rune: RuneClient) -> dict[str, float]:
    usage = rune.http.get("/v1/usage").raise_for_status().json()
    return next(budget for budget in usage["budgets"] if budget["window"] == "day")


def test_two_hundred_jobs_at_once_against_a_budget_for_fifty(
    thrifty: RuneClient, record_property: RecordProperty
) -> None:
    body = {"question": "Why?", "model": "llama3.1:8b", "vastai": True, "max_cost_usd": JOB_USD}
    unavailable: list[str] = []

    def post(number: int) -> httpx.Response:
        for _ in range(UNAVAILABLE_TRIES):
            answer = thrifty.http.post(
                "/v1/jobs/benchmark", json=body, headers={"Idempotency-Key": f"one of many {number}"}
            )
            if answer.status_code != 503:
                break
            unavailable.append(answer.json()["code"])
        return answer

    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        answers = list(pool.map(post, range(POSTS)))
    job_ids = [answer.json()["job_id"] for answer in answers if answer.status_code == 202]
    for job_id in job_ids:
        thrifty.http.delete(f"/v1/jobs/{job_id}")
    jobs = [thrifty.wait_for_end(job_id) for job_id in job_ids]
    wait_until(lambda: budget_of_day(thrifty)["reserved_usd"] == 0, "all is settled", limit_seconds=60)

    statuses = Counter(answer.status_code for answer in answers)
    after = budget_of_day(thrifty)
    cost_usd = sum(job.cost_usd or 0.0 for job in jobs)
    record_property(
        "figures",
        f"{POSTS} jobs at once against a budget for {FITTING}: answers {dict(statuses)}, asked again after 503"
        f" {len(unavailable)}; settled: reserved {after['reserved_usd']}, spent {after['spent_usd']},"
        f" remaining {after['remaining_usd']} USD",
    )
    assert statuses == {202: FITTING, 402: POSTS - FITTING}
    assert {answer.json()["code"] for answer in answers if answer.status_code == 402} == {"budget_exhausted"}
    assert len(set(job_ids)) == FITTING
    assert after["spent_usd"] == pytest.approx(cost_usd, abs=1e-6)
    assert after["remaining_usd"] == pytest.approx(FITTING * JOB_USD - cost_usd, abs=1e-6)
