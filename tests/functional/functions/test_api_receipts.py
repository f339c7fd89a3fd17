"""Receipts over HTTP."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

from rune.jobs import closing
from rune.jobs.outcomes import Done, Released, Spending
from rune.jobs.record import Status, StepName
from rune.jobs.transitions import make_transition
from rune.money.receipts import Line, LineKind, MachineUse
from tests.builders import JOB_ID, a_claimed_job, after
from tests.functional.functions.asking import JOB, get, put

if TYPE_CHECKING:
    from tests.cloud import Cloud

RECEIPT = f"{JOB}/receipt"
LINES = (Line(1, "boot", LineKind.GPU, 3_000), Line(1, "work", LineKind.GPU, 60_000))
USE = MachineUse(f"{JOB_ID}-1", 1, "RTX 4090", 1, 372_000, "job_ended", LINES)


def test_receipt_adds_up_to_the_cost_and_tells_our_own_apart(api: ModuleType, cloud: Cloud) -> None:
    job = a_claimed_job(
        rents=True, step=StepName.RELEASE, ends_as=Status.FAILED, started_at=after(0), cost_micro_usd=0
    )
    put(cloud, job)
    released = Released(None, {}, Spending(f"{JOB_ID}-1", 65_000), uses=(USE,))
    assert closing.commit(cloud.store, job, make_transition(job, released, after(724), 5))

    answer = get(api, RECEIPT)

    assert answer.status == 200
    receipt = answer.document
    assert receipt["lines"][:3] == [
        {"attempt": 1, "phase": "boot", "kind": "gpu", "micro_usd": 3_000},
        {"attempt": 1, "phase": "work", "kind": "gpu", "micro_usd": 60_000},
        {"attempt": None, "phase": "other", "kind": "gpu", "micro_usd": 2_000},
    ]
    own = [line["micro_usd"] for line in receipt["lines"] if line["kind"] == "aws"]
    assert (receipt["cost_usd"], receipt["aws_usd"]) == (0.065, sum(own) / 1_000_000)
    assert receipt["total_usd"] == (65_000 + sum(own)) / 1_000_000
    assert receipt["display"] == "The job failed after 12 min 4 s; it cost $0.0650 (GPU $0.0650)."
    assert receipt["machines"] == [
        {
            "rental_id": f"{JOB_ID}-1",
            "attempt": 1,
            "gpu_name": "RTX 4090",
            "gpu_count": 1,
            "price_usd_per_hour": 0.372,
            "cost_usd": 0.063,
            "ended_because": "job_ended",
        }
    ]


def test_receipt_of_a_job_that_rented_nothing_has_only_our_own_cost(api: ModuleType, cloud: Cloud) -> None:
    job = a_claimed_job(started_at=after(0))
    put(cloud, job)
    assert closing.commit(cloud.store, job, make_transition(job, Done("{}"), after(59), 5))

    page = get(api, RECEIPT, {"accept": "text/markdown"})

    assert page.headers["content-type"] == "text/markdown; charset=utf-8"
    assert "The job succeeded after 59 s; it cost $0.00." in page.document
    assert "| | | **cost** | **0.000000** |" in page.document
    assert "|  | engine | aws |" in page.document


def test_receipt_is_made_from_the_row_of_a_job_that_an_earlier_version_ended(
    api: ModuleType, cloud: Cloud
) -> None:
    put(cloud, a_claimed_job(status=Status.SUCCEEDED, finished_at=after(9), rents=True, cost_micro_usd=50))

    receipt = get(api, RECEIPT).document

    assert receipt["lines"][0] == {"attempt": None, "phase": "other", "kind": "gpu", "micro_usd": 50}
    assert receipt["cost_usd"] == 0.00005


def test_job_that_has_not_ended_has_no_receipt(api: ModuleType, cloud: Cloud) -> None:
    put(cloud, a_claimed_job())

    answer = get(api, RECEIPT)

    assert (answer.status, answer.document["code"]) == (409, "job_not_finished")
    assert int(answer.headers["retry-after"]) > 0


def test_receipt_of_another_tenant_is_not_found(api: ModuleType, cloud: Cloud) -> None:
    put(cloud, a_claimed_job(tenant="acme", status=Status.SUCCEEDED, finished_at=after(9)))

    assert get(api, RECEIPT).status == 404
