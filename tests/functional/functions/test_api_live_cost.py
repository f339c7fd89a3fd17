"""What a job that uses a machine costs while it is at work: it rises with the machine's time, in every document."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from rune.jobs.record import Job, StepName
from tests.builders import JOB_ID, FakeClock, a_claimed_job, after, an_ended_job
from tests.functional.functions.asking import JOB, get, put, put_rentals
from tests.rental_builders import OTHER_JOB_ID, RENTAL_ID, a_rental_of, a_running_rental

if TYPE_CHECKING:
    from tests.cloud import Cloud

RUNNING = a_running_rental()
# At 1,000 s the cost of 990 s is shown: disk, the GPU from its 60th second, traffic.
AT_990 = 0.012 * 990 / 3600 + 0.36 * (990 - 60) / 3600 + 0.003 * 6.9


def a_measuring_job(**overrides: object) -> Job:
    """Return a job that measures on a rented machine, as its pull left the row."""
    renting = {"rents": True, "rental_id": RENTAL_ID, "cost_micro_usd": 21_000, "step": StepName.MEASURE}
    return a_claimed_job(**{**renting, **overrides})


def shown(api: ModuleType) -> list[float]:
    """Return what the job's document, the list and the stream say."""
    stream = str(get(api, f"{JOB}/events", {"accept": "text/event-stream"}).document)
    return [
        get(api, JOB).document["cost_usd"],
        get(api, "/v1/jobs").document["jobs"][0]["cost_usd"],
        float(stream.partition('"cost_usd":')[2].partition(",")[0]),
    ]


def test_cost_rises_in_every_document_while_the_job_measures(
    api: ModuleType, cloud: Cloud, clock: FakeClock
) -> None:
    put(cloud, a_measuring_job())
    put_rentals(cloud, RUNNING)
    clock.advance(1000)
    at_990 = shown(api)
    clock.advance(3600)

    assert at_990 == pytest.approx([AT_990] * 3, abs=3e-6)
    assert shown(api) == pytest.approx([AT_990 + 0.372] * 3, abs=3e-6)


def test_cost_never_falls_below_what_the_row_says(api: ModuleType, cloud: Cloud, clock: FakeClock) -> None:
    put(cloud, a_measuring_job(cost_micro_usd=5_000_000))
    put_rentals(cloud, RUNNING)
    clock.advance(1000)

    assert shown(api) == [5.0, 5.0, 5.0]


EARLIER = a_rental_of(JOB_ID, 1, cost_micro_usd=70_000, holder=None)
BORROWED = a_rental_of(OTHER_JOB_ID, 1)


def test_earlier_machines_and_the_share_of_a_borrowed_one_are_in_it(
    api: ModuleType, cloud: Cloud, clock: FakeClock
) -> None:
    put(cloud, a_measuring_job(rental_id=BORROWED.rental_id))
    borrowed = a_running_rental(
        rental_id=BORROWED.rental_id, job_id=OTHER_JOB_ID, label="other", holder=JOB_ID, held_since=after(90)
    )
    put_rentals(cloud, EARLIER, borrowed)
    clock.advance(1000)

    # The failed machine's 0.07 USD, and 900 seconds of the other.
    assert shown(api) == pytest.approx([0.163] * 3, abs=3e-6)


def test_tag_changes_with_the_cost_and_not_with_every_look(
    api: ModuleType, cloud: Cloud, clock: FakeClock
) -> None:
    put(cloud, a_measuring_job(version=7))
    put_rentals(cloud, RUNNING)
    clock.advance(1000)
    tag = get(api, JOB).headers["etag"]
    cloud.calls.clear()

    clock.advance(5)
    again = get(api, JOB, {"if-none-match": tag})
    asked = list(cloud.operations)
    clock.advance(10)
    later = get(api, JOB, {"if-none-match": tag})

    assert (again.status, asked) == (304, ["BatchGetItem"])
    assert (later.status, later.headers["etag"] != tag) == (200, True)


def test_job_that_has_ended_says_what_its_receipt_says(
    api: ModuleType, cloud: Cloud, clock: FakeClock
) -> None:
    put(cloud, an_ended_job(rents=True, rental_id=RENTAL_ID, cost_micro_usd=63_000))
    put_rentals(cloud, RUNNING)
    clock.advance(1000)

    assert get(api, JOB).document["cost_usd"] == get(api, "/v1/jobs").document["jobs"][0]["cost_usd"] == 0.063
