"""Which jobs run and wait: the rows of slots and shares, and the indexes, in DynamoDB and in memory alike."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rune.aws.dynamodb_rows import to_row
from rune.aws.job_rows import EARLIER_DUE_BUCKET, due_bucket, due_buckets, hot_item, row_key
from rune.errors import IdempotencyKeyReusedError
from rune.jobs import lifecycle, places
from rune.jobs.places import (
    JobRow,
    Places,
    RowChange,
    Share,
    ShareRow,
    Slot,
    SlotRow,
    Terms,
    count_admitted,
    count_begun,
    count_ended,
    count_waiting,
    free_slot,
    take_slot,
)
from rune.jobs.record import DueClass, Job, Status
from rune.jobs.store import CompanionsRefused, IdempotencyKey, JobStore, Refused, Submission, Submitted
from rune.jobs.transitions import cancel_queued
from rune.storage.change import Change, apply, satisfies
from tests.builders import (
    JOB_ID,
    NOW,
    TENANT,
    a_claimed_job,
    a_job,
    a_waiting_job,
    after,
    an_ended_job,
    an_event,
)
from tests.functional.aws.guarded import Guarded
from tests.functional.aws.job_guards import a_job_without_slot
from tests.functional.aws.place_guards import SHARES, SLOTS, a_share, a_taken_slot
from tests.memory_job_store import MemoryJobStore

if TYPE_CHECKING:
    from tests.cloud import Cloud

type Put = Callable[[Slot | Share], None]

KEY = IdempotencyKey("once", "f")


@pytest.fixture(params=["dynamodb", "memory"])
def store(request: pytest.FixtureRequest) -> JobStore:
    if request.param == "memory":
        return MemoryJobStore()
    cloud: Cloud = request.getfixturevalue("cloud")
    return cloud.store


@pytest.fixture
def put(store: JobStore, request: pytest.FixtureRequest) -> Put:
    """Write a slot or share down as it is."""

    def put_in_memory(row: Slot | Share) -> None:
        assert isinstance(store, MemoryJobStore)
        if isinstance(row, Slot):
            store.slots[row.number] = row
        else:
            store.shares[row.tenant] = row

    def put_in_dynamodb(row: Slot | Share) -> None:
        cloud: Cloud = request.getfixturevalue("cloud")
        key = SlotRow(row.number) if isinstance(row, Slot) else ShareRow(row.tenant)
        cloud.dynamodb.put_item(TableName="rune-test", Item={**row_key(key), **to_row(row)})

    return put_in_memory if isinstance(store, MemoryJobStore) else put_in_dynamodb


def submit(
    store: JobStore, job: Job, *companions: RowChange, key: IdempotencyKey | None = None
) -> Submitted | CompanionsRefused:
    return store.submit(Submission(job, "{}", an_event(), key, companions=companions))


def beginning(job: Job, slot: int, terms: Terms) -> tuple[RowChange, RowChange]:
    """Return the companions of a job that begins at once."""
    now = job.created_at
    return (
        RowChange(SlotRow(slot), take_slot(job, now)),
        RowChange(ShareRow(job.tenant), count_begun(terms, now)),
    )


def waiting(job: Job, terms: Terms) -> tuple[RowChange]:
    """Return the companion of a job that waits."""
    return (RowChange(ShareRow(job.tenant), count_waiting(terms, job.created_at)),)


def admission(job: Job, slot: int, share: Share, now: datetime) -> tuple[RowChange, ...]:
    """Return the three rows of an admission."""
    return (
        RowChange(JobRow(job.job_id), lifecycle.admit(job, slot, now)),
        RowChange(SlotRow(slot), take_slot(job, now)),
        RowChange(ShareRow(job.tenant), count_admitted(share, now)),
    )


def stored(store: JobStore) -> Places:
    """Return the places in an order that both stores have."""
    found = store.read_places()
    return Places(
        tuple(sorted(found.slots, key=lambda slot: slot.number)),
        tuple(sorted(found.shares, key=lambda share: share.tenant)),
    )


# ---------------------------------------------------------------- each requirement of a slot or share

GUARDED: tuple[Guarded[Slot] | Guarded[Share], ...] = (*SLOTS, *SHARES)
KEPT_OUT = [(guarded, field, row) for guarded in GUARDED for field, row in guarded.refuses]
NAMES = [f"{guarded.function}-{field}" for guarded, field, _ in KEPT_OUT]


def test_table_of_guards_names_every_function_that_changes_a_place() -> None:
    makers = {
        name
        for name, function in inspect.getmembers(places, inspect.isfunction)
        if function.__module__ == places.__name__
        and not name.startswith("_")
        and function.__annotations__["return"] in (Change, "Change")
    }

    assert {guarded.function for guarded in GUARDED} == makers


@pytest.mark.parametrize("guarded", GUARDED, ids=lambda guarded: guarded.function)
def test_table_of_guards_names_every_requirement(guarded: Guarded[Slot] | Guarded[Share]) -> None:
    assert {field for field, _ in guarded.refuses} == {each.field for each in guarded.change.requires}


@pytest.mark.parametrize(("guarded", "field", "row"), KEPT_OUT, ids=NAMES)
def test_table_of_guards_violates_one_requirement_at_a_time(
    guarded: Guarded[Slot] | Guarded[Share], field: str, row: Slot | Share
) -> None:
    assert [each.field for each in guarded.change.requires if not satisfies(row, each)] == [field]


def change_of(row: Slot | Share, change: Change) -> RowChange:
    return RowChange(SlotRow(row.number) if isinstance(row, Slot) else ShareRow(row.tenant), change)


def as_places(row: Slot | Share) -> Places:
    if isinstance(row, Share):
        return Places((), (row,))
    return Places((row,) if row.job_id is not None else (), ())


@pytest.mark.parametrize("guarded", GUARDED, ids=lambda guarded: guarded.function)
def test_place_is_written_when_nothing_stands_against_it(
    guarded: Guarded[Slot] | Guarded[Share], store: JobStore, put: Put
) -> None:
    put(guarded.accepts)

    assert store.write_rows((change_of(guarded.accepts, guarded.change),)) == ()
    assert stored(store) == as_places(apply(guarded.change, guarded.accepts))


@pytest.mark.parametrize(("guarded", "field", "row"), KEPT_OUT, ids=NAMES)
def test_place_is_left_as_it_is_when_one_requirement_fails(
    guarded: Guarded[Slot] | Guarded[Share], field: str, row: Slot | Share, store: JobStore, put: Put
) -> None:
    put(row)

    assert store.write_rows((change_of(row, guarded.change),)) == (0,)
    assert stored(store) == as_places(row)


# ---------------------------------------------------------------- submit


def test_new_job_its_slot_and_its_count_are_one_write(store: JobStore) -> None:
    job = lifecycle.place(a_job_without_slot(), 3, NOW)

    assert submit(store, job, *beginning(job, 3, Terms(2, 5, 9))) == Submitted(JOB_ID)

    slot = Slot(3, version=1, updated_at=NOW, job_id=JOB_ID, tenant=TENANT)
    share = Share(
        TENANT,
        version=1,
        updated_at=NOW,
        running=1,
        weight=2,
        max_running=5,
        admitted_at=NOW,
        expires_at=NOW + places.SHARE_KEPT,
    )
    assert stored(store) == Places((slot,), (share,))
    assert store.read(JOB_ID) == job


BEGINS = beginning(a_job(), 4, Terms(max_running=2))
WAITS = waiting(a_job(), Terms(max_waiting=3))
REFUSALS: dict[str, tuple[Slot | Share, tuple[RowChange, ...]]] = {
    "slot is taken": (a_taken_slot("another"), BEGINS),
    "tenant has all its running jobs": (a_share(running=2), BEGINS),
    "tenant has all its waiting jobs": (a_share(waiting=3), WAITS),
}


def is_of(found: Slot | Share, companion: RowChange) -> bool:
    return isinstance(companion.row, SlotRow) is isinstance(found, Slot)


@pytest.mark.parametrize(("found", "companions"), REFUSALS.values(), ids=REFUSALS.keys())
def test_submit_writes_nothing_when_a_companion_is_refused(
    found: Slot | Share, companions: tuple[RowChange, ...], store: JobStore, put: Put
) -> None:
    put(found)

    refused = submit(store, a_job(), *companions, key=KEY)

    assert refused == CompanionsRefused((next(n for n, each in enumerate(companions) if is_of(found, each)),))

    assert store.read(JOB_ID) is None
    assert stored(store) == as_places(found)
    # The key stands for nothing yet.
    assert submit(store, a_job(), key=KEY) == Submitted(JOB_ID)


@pytest.mark.parametrize(("found", "companions"), REFUSALS.values(), ids=REFUSALS.keys())
def test_replay_is_answered_when_its_tenant_is_at_its_limit(
    found: Slot | Share, companions: tuple[RowChange, ...], store: JobStore, put: Put
) -> None:
    submit(store, a_job(), key=KEY)
    put(found)

    again = submit(store, a_job(job_id="second"), *companions, key=KEY)

    assert again == Submitted(JOB_ID, is_replay=True)
    assert store.read("second") is None
    assert stored(store) == as_places(found)


def test_another_request_under_a_key_is_refused_as_such_at_the_limit(store: JobStore, put: Put) -> None:
    submit(store, a_job(), key=KEY)
    put(a_share(waiting=3))

    with pytest.raises(IdempotencyKeyReusedError):
        submit(store, a_job(job_id="second"), *WAITS, key=IdempotencyKey(KEY.key, "other"))


def test_replay_counts_no_second_job(store: JobStore) -> None:
    submit(store, a_job(), *WAITS, key=KEY)
    submit(store, a_job(job_id="second"), *WAITS, key=KEY)

    assert store.read_places().share_of(TENANT).waiting == 1


# ---------------------------------------------------------------- several rows at once


def test_admission_is_one_write_of_three_rows(store: JobStore) -> None:
    job = a_job_without_slot()
    submit(store, job, *waiting(job, Terms()))
    share = store.read_places().share_of(TENANT)

    assert store.write_rows(admission(job, 0, share, after(5))) == ()

    found = stored(store)
    assert store.read(JOB_ID) == apply(lifecycle.admit(job, 0, after(5)), job)
    assert [(slot.number, slot.job_id) for slot in found.slots] == [(0, JOB_ID)]
    assert [(each.running, each.waiting, each.admitted_at) for each in found.shares] == [(1, 0, after(5))]


AGAINST_ADMISSION: dict[str, tuple[Job | None, Slot | None, int, tuple[int, ...]]] = {
    "no job": (None, None, 0, (0,)),
    "job is cancelled": (an_ended_job(Status.CANCELLED), None, 0, (0,)),
    "job is admitted": (a_job(), None, 0, (0,)),
    "slot is taken": (a_job_without_slot(), a_taken_slot("another"), 0, (1,)),
    "tenant is at its limit": (a_job_without_slot(), None, 2, (2,)),
    "all three": (a_job(), a_taken_slot("another"), 2, (0, 1, 2)),
}


@pytest.mark.parametrize("against", AGAINST_ADMISSION.values(), ids=AGAINST_ADMISSION.keys())
def test_write_rows_writes_none_and_names_those_that_stand_against_it(
    against: tuple[Job | None, Slot | None, int, tuple[int, ...]], store: JobStore, put: Put
) -> None:
    job, slot, running, positions = against
    if job is not None:
        submit(store, job)
    if slot is not None:
        put(slot)
    put(a_share(running=running, waiting=1))
    before = stored(store)

    refused = store.write_rows(admission(a_job_without_slot(), 4, a_share(), after(5)))

    assert refused == positions
    assert (store.read(JOB_ID), stored(store)) == (job, before)


def test_end_of_a_waiting_job_and_its_count_are_one_write(store: JobStore) -> None:
    job = a_job_without_slot()
    submit(store, job, *waiting(job, Terms()))

    assert store.commit(job, cancel_queued(job, after(5)))
    assert store.read_places().share_of(TENANT).waiting == 0


def test_count_stays_when_the_waiting_job_was_admitted_meanwhile(store: JobStore) -> None:
    job = a_job_without_slot()
    submit(store, job, *waiting(job, Terms()))
    store.write_rows(admission(job, 0, store.read_places().share_of(TENANT), after(4)))
    before = stored(store)

    assert not store.commit(job, cancel_queued(job, after(5)))
    assert stored(store) == before


def test_slot_is_free_for_another_job_when_it_was_given_back(store: JobStore) -> None:
    first, second = a_job(), a_job(job_id="second")
    submit(store, first, *beginning(first, 0, Terms()))
    share = store.read_places().share_of(TENANT)

    ending = (
        RowChange(SlotRow(0), free_slot(JOB_ID, after(9))),
        RowChange(ShareRow(TENANT), count_ended(share, 9.0, after(9))),
    )
    assert store.write_rows(ending) == ()
    assert (store.read_places().free_numbers(1), store.read_places().share_of(TENANT).running) == ((0,), 0)
    # The same end a second time counts nothing.
    assert store.write_rows(ending) == (0,)
    assert store.read_places().share_of(TENANT).running == 0
    assert submit(store, second, *beginning(second, 0, Terms())) == Submitted("second")


def test_places_are_read_consistently_in_one_call(cloud: Cloud) -> None:
    for number in (0, 7, 9999):
        job = a_job(job_id=f"job-{number}")
        submit(cloud.store, job, *beginning(job, number, Terms()))
    cloud.calls.clear()

    found = cloud.store.read_places()

    assert [slot.number for slot in found.slots] == [0, 7, 9999]
    assert found.share_of(TENANT).running == 3
    (call,) = cloud.calls
    assert (call.operation, call.arguments["ConsistentRead"]) == ("Query", True)


def test_no_places_are_there_before_the_first_job(store: JobStore) -> None:
    assert store.read_places() == Places((), ())


# ---------------------------------------------------------------- who waits


def test_waiting_jobs_are_found_longest_waiting_first(store: JobStore) -> None:
    for job_id, seconds in (("second", 1), ("third", 2), ("first", 0)):
        submit(store, a_job_without_slot(job_id=job_id, waiting_since=after(seconds)))
    submit(store, a_job_without_slot(job_id="of acme", tenant="acme"))
    submit(store, a_job(job_id="admitted"))
    submit(store, a_claimed_job(job_id="running"))

    assert store.find_waiting(TENANT, 10) == ("first", "second", "third")
    assert store.find_waiting(TENANT, 2) == ("first", "second")
    assert store.find_waiting("acme", 10) == ("of acme",)
    assert store.find_waiting("nobody", 10) == ()


def test_job_waits_no_longer_when_it_is_admitted_or_ended(store: JobStore) -> None:
    admitted, ended = a_job_without_slot(job_id="admitted"), a_job_without_slot(job_id="ended")
    submit(store, admitted)
    submit(store, ended)

    store.update("admitted", lifecycle.admit(admitted, 0, after(1)))
    store.commit(ended, cancel_queued(ended, after(1)))

    assert store.find_waiting(TENANT, 10) == ()


@pytest.mark.parametrize(("limit", "counts"), [(10, [0, 1, 2]), (1, [0, 1, 1])])
def test_jobs_before_a_waiting_job_are_counted_up_to_a_limit(
    limit: int, counts: list[int], store: JobStore
) -> None:
    jobs = [a_job_without_slot(job_id=f"job-{n}", waiting_since=after(n)) for n in range(3)]
    for job in (*jobs, a_job_without_slot(job_id="of acme", tenant="acme", waiting_since=after(-9))):
        submit(store, job)

    assert [store.count_waiting_before(job, limit) for job in jobs] == counts


def test_none_is_before_a_job_that_does_not_wait(store: JobStore) -> None:
    submit(store, a_job_without_slot(job_id="before"))

    assert store.count_waiting_before(a_waiting_job(), 10) == 0


def test_job_whose_claim_finds_it_waiting_is_left_alone(store: JobStore) -> None:
    job = a_job_without_slot()
    submit(store, job)

    assert store.update(JOB_ID, lifecycle.claim(job, 1, "worker-1", after(1))) == Refused(job)


def test_glance_reads_at_half_the_price(cloud: Cloud) -> None:
    submit(cloud.store, a_job())
    cloud.calls.clear()

    assert cloud.store.glance(JOB_ID) == a_job()
    assert cloud.store.glance("nothing") is None
    batches = [call.arguments["RequestItems"]["rune-test"] for call in cloud.calls]
    assert [batch["ConsistentRead"] for batch in batches] == [False, False]


# ---------------------------------------------------------------- what is due


def test_class_has_several_partitions_and_a_job_is_always_in_the_same() -> None:
    ids = [f"job-{number}" for number in range(100)]

    found = {due_bucket(job_id, DueClass.LEASE) for job_id in ids}

    assert found == {*due_buckets(DueClass.LEASE)}
    assert len(found) == 4
    assert not found & {*due_buckets(DueClass.MESSAGE)}
    # Stored rows depend on it.
    assert due_bucket(JOB_ID, DueClass.RELEASE) == "DUE#release#3"


def test_late_jobs_of_all_partitions_are_found_longest_overdue_first(store: JobStore) -> None:
    ids = [f"job-{number}" for number in range(12)]
    for number, job_id in enumerate(ids):
        submit(store, a_job(job_id=job_id, due_at=after(-number)))

    assert len({due_bucket(job_id, DueClass.MESSAGE) for job_id in ids}) > 1
    assert store.find_late(DueClass.MESSAGE, NOW, 100) == tuple(reversed(ids))
    assert store.find_late(DueClass.MESSAGE, NOW, 5) == tuple(reversed(ids))[:5]


@pytest.mark.parametrize("due_class", DueClass)
def test_late_job_is_found_in_its_class_alone(due_class: DueClass, store: JobStore) -> None:
    submit(store, a_job(due_class=due_class, due_at=after(-1)))

    found = {each: store.find_late(each, NOW, 10) for each in DueClass}

    assert found == {**dict.fromkeys(DueClass, ()), due_class: (JOB_ID,)}


def test_job_changes_its_class_with_what_it_waits_for(store: JobStore) -> None:
    job = a_job_without_slot(due_at=after(600))
    submit(store, job)
    classes = [class_of(store)]

    admitted = store.update(JOB_ID, lifecycle.admit(job, 0, NOW))
    assert isinstance(admitted, Job)
    classes.append(class_of(store))
    store.update(JOB_ID, lifecycle.claim(admitted, 1, "worker-1", NOW))
    classes.append(class_of(store))

    assert classes == [DueClass.WAIT, DueClass.MESSAGE, DueClass.LEASE]


def class_of(store: JobStore) -> DueClass:
    (found,) = [each for each in DueClass if store.find_late(each, after(86_400), 10)]
    return found


def test_job_that_an_earlier_version_wrote_is_found_among_messages(cloud: Cloud) -> None:
    put_as_earlier_version(cloud, a_job(job_id="earlier", due_at=after(-2)))
    submit(cloud.store, a_job(job_id="later", due_at=after(-1)))

    found = {each: cloud.store.find_late(each, NOW, 10) for each in DueClass}

    assert found == {**dict.fromkeys(DueClass, ()), DueClass.MESSAGE: ("earlier", "later")}


def test_job_that_an_earlier_version_wrote_leaves_its_partition_with_the_first_write(cloud: Cloud) -> None:
    put_as_earlier_version(cloud, a_job())
    job = cloud.store.read(JOB_ID)
    assert job
    assert (job.due_class, job.is_waiting, job.slot) == (None, False, None)

    assert isinstance(cloud.store.update(JOB_ID, lifecycle.claim(job, 1, "worker-1", NOW)), Job)

    assert cloud.row(JOB_ID)["due_bucket"]["S"] == due_bucket(JOB_ID, DueClass.LEASE)


def put_as_earlier_version(cloud: Cloud, job: Job) -> None:
    """Write a job's row as the version before classes of due work did."""
    later = ("due_class", "max_runtime_seconds", "waiting_since", "slot")
    row = {name: value for name, value in hot_item(job).items() if name not in later}
    cloud.dynamodb.put_item(TableName="rune-test", Item={**row, "due_bucket": {"S": EARLIER_DUE_BUCKET}})


# ---------------------------------------------------------------- both stores, step by step

ACTS = st.tuples(
    st.sampled_from(["begin", "wait", "admit", "give up", "end"]),
    st.sampled_from(["acme", "default"]),
    st.integers(0, 2),
    st.integers(0, 9),
)
CAPPED = Terms(weight=2, max_running=2, max_waiting=2)


def act(store: JobStore, number: int, one: tuple[str, str, int, int]) -> object:
    """Do one thing at its own second, perhaps to a job that does not allow it; return what came of it."""
    name, tenant, slot, chosen = one
    now = after(number)
    new = replace(
        a_job_without_slot(job_id=f"job-{number}", tenant=tenant, waiting_since=now), created_at=now
    )
    job = store.read(f"job-{chosen}")
    match name:
        case "begin":
            return submit(store, lifecycle.place(new, slot, now), *beginning(new, slot, CAPPED))
        case "wait":
            return submit(store, new, *waiting(new, CAPPED))
        case _ if job is None:
            return None
        case "admit":
            return store.write_rows(admission(job, slot, store.read_places().share_of(job.tenant), now))
        case "give up":
            return store.commit(job, cancel_queued(job, now))
        case _:
            share = store.read_places().share_of(job.tenant)
            return store.write_rows(
                (
                    RowChange(SlotRow(slot), free_slot(job.job_id, now)),
                    RowChange(ShareRow(job.tenant), count_ended(share, 7.0, now)),
                )
            )


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(acts=st.lists(ACTS, max_size=14))
def test_both_stores_do_the_same_step_by_step(
    acts: list[tuple[str, str, int, int]], shared_cloud: Cloud
) -> None:
    shared_cloud.empty()
    stores: tuple[JobStore, JobStore] = (shared_cloud.store, MemoryJobStore())

    for number, one in enumerate(acts):
        outcomes = [act(store, number, one) for store in stores]
        assert outcomes[0] == outcomes[1], one
        assert stored(stores[0]) == stored(stores[1]), one
        for tenant in ("acme", "default"):
            in_dynamodb, in_memory = (store.find_waiting(tenant, 9) for store in stores)
            assert in_dynamodb == in_memory, one
        jobs = [[store.read(f"job-{n}") for n in range(number + 1)] for store in stores]
        assert jobs[0] == jobs[1], one
        # What no sequence breaks: slots and waiting jobs are as the shares count them.
        found = stored(stores[0])
        for share in found.shares:
            assert (
                share.running
                == sum(slot.tenant == share.tenant for slot in found.slots)
                <= CAPPED.max_running
            )
            assert share.waiting == len(stores[0].find_waiting(share.tenant, 9)) <= CAPPED.max_waiting
