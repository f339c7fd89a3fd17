"""Receipts over HTTP."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from rune.aws.rental_store import DynamoRentalStore
from rune.jobs import closing
from rune.jobs.outcomes import Done, Released, Spending
from rune.jobs.places import RowChange
from rune.jobs.receipts import ReceiptRow, StoredReceipt, note_charge
from rune.jobs.record import Status, StepName
from rune.jobs.transitions import make_transition
from rune.money.receipts import Charge, Line, LineKind, MachineUse
from tests.builders import JOB_ID, a_claimed_job, after
from tests.functional.functions.asking import JOB, get, put
from tests.rental_builders import a_released_rental

if TYPE_CHECKING:
    from tests.cloud import Cloud

RECEIPT = f"{JOB}/receipt"
LINES = (Line(1, "boot", LineKind.GPU, 3_000), Line(1, "work", LineKind.GPU, 60_000))
USE = MachineUse(f"{JOB_ID}-1", 1, "RTX 4090", 1, 372_000, "job_ended", LINES, 721)


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
        {"attempt": 1, "phase": "boot", "kind": "gpu", "micro_usd": 3_000, "is_estimate": True},
        {"attempt": 1, "phase": "work", "kind": "gpu", "micro_usd": 60_000, "is_estimate": True},
        {"attempt": None, "phase": "other", "kind": "gpu", "micro_usd": 2_000, "is_estimate": True},
    ]
    own = [line["micro_usd"] for line in receipt["lines"] if line["kind"] == "aws"]
    assert (receipt["cost_usd"], receipt["aws_usd"]) == (0.065, sum(own) / 1_000_000)
    assert receipt["total_usd"] == (65_000 + sum(own)) / 1_000_000
    told = "The job failed after 12 min 4 s: rented 1 x RTX 4090 for 12 min 1 s, $0.0630; $0.0650 in all."
    assert receipt["display"] == get(api, JOB).document["display"] == told
    assert (receipt["billed_usd"], [each["code"] for each in receipt["notices"]]) == (
        None,
        ["charges_pending"],
    )
    assert receipt["machines"] == [
        {
            "rental_id": f"{JOB_ID}-1",
            "attempt": 1,
            "gpu_name": "RTX 4090",
            "gpu_count": 1,
            "price_usd_per_hour": 0.372,
            "cost_usd": 0.063,
            "billed_usd": None,
            "ended_because": "job_ended",
        }
    ]


def ended(cloud: Cloud, *uses: MachineUse) -> StoredReceipt:
    """End a job that has used machines, and return its receipt's row."""
    job = a_claimed_job(rents=True, step=StepName.RELEASE, ends_as=Status.SUCCEEDED, started_at=after(0))
    put(cloud, job)
    released = Released("{}", {}, Spending(f"{JOB_ID}-1", 63_000), uses=uses)
    assert closing.commit(cloud.store, job, make_transition(job, released, after(724), 5))
    stored = cloud.store.read_receipt(JOB_ID)
    assert stored is not None
    return stored


def note(cloud: Cloud, stored: StoredReceipt, charge: Charge | None, problem: str | None = None) -> None:
    change = note_charge(stored, 1, charge, problem, after(90_000))
    assert change is not None
    assert cloud.store.write_rows([RowChange(ReceiptRow(JOB_ID), change)]) == ()


def test_receipt_and_job_tell_until_when_a_machine_goes_on_costing(api: ModuleType, cloud: Cloud) -> None:
    ended(cloud, replace(USE, end_reason=None, kept_until=after(9_000), kept_micro_usd=515_550))

    told = get(api, RECEIPT).document["display"]

    until = f"{after(9_000):%Y-%m-%d %H:%M} UTC"
    assert told.endswith(f"$0.0630; the machine is kept until {until}, for at most $0.5156 more.")
    assert told == get(api, JOB).document["display"]


def test_receipt_tells_what_was_charged_and_by_how_much_it_differs(api: ModuleType, cloud: Cloud) -> None:
    note(cloud, ended(cloud, USE), Charge(62_000, 0, 9_000, attempt=1))

    receipt = get(api, RECEIPT).document

    charged = [line for line in receipt["lines"] if line["phase"] == "charged"]
    assert [(line["kind"], line["micro_usd"]) for line in charged] == [("gpu", -1_000), ("traffic", 9_000)]
    assert not any(line["is_estimate"] for line in receipt["lines"])
    assert (receipt["cost_usd"], receipt["billed_usd"], receipt["notices"]) == (0.063, 0.071, [])
    assert receipt["total_usd"] == sum(line["micro_usd"] for line in receipt["lines"]) / 1_000_000
    assert receipt["machines"][0]["billed_usd"] == 0.071
    assert receipt["display"].endswith("$0.0630; the provider charged $0.0710.")
    assert (
        "| | | charged for machines | 0.071000 |" in get(api, RECEIPT, {"accept": "text/markdown"}).document
    )


@pytest.mark.parametrize(
    ("uses", "problem", "code"),
    [
        ((USE,), "charges_not_allowed", "charges_not_allowed"),
        ((USE,), "charges_not_there", "charges_not_there"),
        ((replace(USE, end_reason=None),), "charges_not_there", "machine_shared"),
        ((USE, replace(USE, attempt=None)), "charges_not_there", "machine_shared"),
    ],
)
def test_receipt_says_why_the_charge_is_not_known(
    uses: tuple[MachineUse, ...], problem: str, code: str, api: ModuleType, cloud: Cloud
) -> None:
    note(cloud, ended(cloud, *uses), None, problem)

    receipt = get(api, RECEIPT).document

    assert (receipt["billed_usd"], [each["code"] for each in receipt["notices"]]) == (None, [code])


def test_receipt_that_another_process_has_written_is_not_overwritten(cloud: Cloud) -> None:
    stored = ended(cloud, USE)
    note(cloud, stored, Charge(1, attempt=1))
    late = note_charge(stored, 1, Charge(2, attempt=1), None, after(90_001))
    assert late is not None

    assert cloud.store.write_rows([RowChange(ReceiptRow(JOB_ID), late)]) == (0,)


def test_receipt_has_a_line_for_a_machine_that_was_made_after_the_jobs_end(
    api: ModuleType, cloud: Cloud
) -> None:
    job = a_claimed_job(rents=True, step=StepName.RELEASE, ends_as=Status.FAILED, cost_micro_usd=0)
    put(cloud, job)
    assert closing.commit(cloud.store, job, make_transition(job, Released(None), after(724), 5))
    late = a_released_rental(attempt=2, rental_id=f"{JOB_ID}-2", cost_micro_usd=10_000, of_job_micro_usd=0)
    assert DynamoRentalStore(cloud.dynamodb, "rune-test").open(late)

    receipt = get(api, RECEIPT).document

    lines = [line for line in receipt["lines"] if line["kind"] != "aws"]
    assert {(line["attempt"], line["phase"]) for line in lines} == {(2, "late")}
    assert (receipt["cost_usd"], [machine["cost_usd"] for machine in receipt["machines"]]) == (0.01, [0.01])


def test_receipt_of_a_job_that_rented_nothing_has_only_our_own_cost(api: ModuleType, cloud: Cloud) -> None:
    job = a_claimed_job(started_at=after(0))
    put(cloud, job)
    assert closing.commit(cloud.store, job, make_transition(job, Done("{}"), after(59), 5))

    page = get(api, RECEIPT, {"accept": "text/markdown"})

    assert page.headers["content-type"] == "text/markdown; charset=utf-8"
    assert "The job succeeded after 59 s: nothing was rented." in page.document
    assert "| | | **cost** | **0.000000** |" in page.document
    assert "|  | engine | aws |" in page.document


def test_receipt_is_made_from_the_row_of_a_job_that_an_earlier_version_ended(
    api: ModuleType, cloud: Cloud
) -> None:
    put(cloud, a_claimed_job(status=Status.SUCCEEDED, finished_at=after(9), rents=True, cost_micro_usd=50))

    receipt = get(api, RECEIPT).document

    other = {"attempt": None, "phase": "other", "kind": "gpu", "micro_usd": 50, "is_estimate": True}
    assert (receipt["lines"][0], receipt["notices"]) == (other, [])
    assert receipt["cost_usd"] == 0.00005


def test_job_that_has_not_ended_has_no_receipt(api: ModuleType, cloud: Cloud) -> None:
    put(cloud, a_claimed_job())

    answer = get(api, RECEIPT)

    assert (answer.status, answer.document["code"]) == (409, "job_not_finished")
    assert int(answer.headers["retry-after"]) > 0


def test_receipt_of_another_tenant_is_not_found(api: ModuleType, cloud: Cloud) -> None:
    put(cloud, a_claimed_job(tenant="acme", status=Status.SUCCEEDED, finished_at=after(9)))

    assert get(api, RECEIPT).status == 404
