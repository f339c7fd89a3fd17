"""Stops, in DynamoDB and in memory alike: what they refuse, and what they leave."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rune.aws.rental_store import DynamoRentalStore
from rune.errors import StoppedError
from rune.jobs import stops
from rune.jobs.admission import Admission
from rune.jobs.places import DEFAULT_TERMS, RowChange
from rune.jobs.stops import SHARDS, Stop
from rune.jobs.store import IdempotencyKey, JobStore, Submission, Submitted
from tests.builders import NOW, TENANT, FakeClock, RecordingQueue, a_job, after, an_event
from tests.memory_job_store import MemoryJobStore
from tests.rental_builders import a_rental

if TYPE_CHECKING:
    from tests.cloud import Cloud

OTHER = "acme"
KEY = IdempotencyKey("once", "f")
TABLE = "rune-test"


@pytest.fixture(params=["dynamodb", "memory"])
def store(request: pytest.FixtureRequest) -> JobStore:
    if request.param == "memory":
        return MemoryJobStore()
    cloud: Cloud = request.getfixturevalue("cloud")
    return cloud.store


def stop(store: JobStore, tenant: str | None, at_seconds: int = 0) -> None:
    change = stops.begin("ann", after(at_seconds))
    assert store.write_rows([RowChange(row, change) for row in stops.rows_of(tenant)]) == ()


def end(store: JobStore, tenant: str | None) -> None:
    change = stops.end(after(90))
    assert store.write_rows([RowChange(row, change) for row in stops.rows_of(tenant)]) == ()


def submit(
    store: JobStore,
    job_id: str,
    tenant: str = TENANT,
    key: IdempotencyKey | None = None,
    slot_count: int = 1,
) -> Submitted:
    job = a_job(job_id=job_id, tenant=tenant, waiting_since=NOW, due_at=None)
    submitted = Admission(store, RecordingQueue(), FakeClock(), slot_count).submit(
        Submission(job, "{}", an_event(), key), DEFAULT_TERMS
    )
    assert isinstance(submitted, Submitted)
    return submitted


@pytest.mark.parametrize("slot_count", [0, 9], ids=["that would wait", "that would begin"])
@pytest.mark.parametrize(("stopped", "of_tenant"), [(None, False), (TENANT, True)])
def test_job_is_refused_while_a_stop_holds_and_taken_after_it(
    stopped: str | None, slot_count: int, store: JobStore, *, of_tenant: bool
) -> None:
    stop(store, stopped)

    with pytest.raises(StoppedError) as caught:
        submit(store, "refused", slot_count=slot_count)

    assert (caught.value.of_tenant, store.read("refused")) == (of_tenant, None)
    end(store, stopped)
    assert submit(store, "taken", slot_count=slot_count) == Submitted("taken")


def test_stop_of_a_tenant_refuses_no_other(store: JobStore) -> None:
    stop(store, TENANT)

    assert submit(store, "a", OTHER) == Submitted("a")


@pytest.mark.parametrize("tenant", [f"team-{number}" for number in range(5)])
def test_stop_of_all_refuses_every_tenant(tenant: str, store: JobStore) -> None:
    stop(store, None)

    with pytest.raises(StoppedError):
        submit(store, "a", tenant)


def test_repeated_request_gets_its_job_while_a_stop_holds(store: JobStore) -> None:
    submit(store, "a", key=KEY)
    stop(store, None)

    assert submit(store, "b", key=KEY) == Submitted("a", is_replay=True)


def test_stop_that_holds_stays_as_it_is_and_is_forgotten_after_its_end(store: JobStore) -> None:
    stop(store, TENANT)
    stop(store, TENANT, at_seconds=30)

    assert store.read_places().find_stop(TENANT) == Stop(TENANT, 2, after(30), NOW, "ann")
    end(store, TENANT)
    assert store.read_places().stops == ()


def test_admission_begins_nothing_while_a_stop_holds(store: JobStore) -> None:
    for number, tenant in enumerate((TENANT, OTHER)):
        submit(store, f"job-{number}", tenant, slot_count=0)
    admission = Admission(store, RecordingQueue(), FakeClock(), 9)
    stop(store, None)

    assert admission.admit_waiting() == 0
    end(store, None)
    stop(store, TENANT)
    assert admission.admit_waiting() == 1
    assert [slot.tenant for slot in store.read_places().slots] == [OTHER]


def test_all_rows_of_the_stop_of_all_are_written_at_once(store: JobStore) -> None:
    stop(store, None)

    assert len(store.read_places().stops) == SHARDS


@pytest.mark.parametrize("stopped", [None, TENANT])
def test_no_order_is_begun_while_a_stop_holds(stopped: str | None, cloud: Cloud) -> None:
    rental_store = DynamoRentalStore(cloud.dynamodb, TABLE)
    stop(cloud.store, stopped)

    with pytest.raises(StoppedError) as caught:
        rental_store.open(a_rental(tenant=TENANT))

    assert caught.value.of_tenant is (stopped is not None)
    end(cloud.store, stopped)
    assert rental_store.open(a_rental(tenant=TENANT))
