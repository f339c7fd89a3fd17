"""Which jobs run: slots given and taken, in memory."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import override

import pytest

from rune.errors import (
    IdempotencyKeyReusedError,
    StoreUnavailableError,
    TooManyWaitingJobsError,
    UnreadableRowError,
)
from rune.jobs import lifecycle
from rune.jobs.admission import CANDIDATES, COUNTED, TRIES, Admission
from rune.jobs.lifecycle import Send
from rune.jobs.outcomes import Done
from rune.jobs.places import (
    DEFAULT_TERMS,
    JobRow,
    Places,
    QueuePlace,
    RowChange,
    Share,
    Slot,
    SlotRow,
    Terms,
    take_slot,
)
from rune.jobs.plan import Lane
from rune.jobs.record import DueClass, Job, Kind, Status, StepMessage, StepName
from rune.jobs.store import CompanionsRefused, IdempotencyKey, Submission, Submitted
from rune.jobs.transitions import make_transition
from tests.builders import NOW, TENANT, FakeClock, RecordingQueue, a_job, after, an_ended_job
from tests.memory_job_store import MemoryJobStore
from tests.unit.jobs.stores import UntouchableStore, fill


def a_submission(job_id: str = "job", tenant: str = TENANT, key: IdempotencyKey | None = None) -> Submission:
    job, event = lifecycle.accept(
        job_id=job_id,
        tenant=tenant,
        kind=Kind.BENCHMARK,
        first_step=StepName.CHECK,
        now=NOW,
        queue_timeout=timedelta(hours=1),
        max_runtime=timedelta(hours=1),
        retention=timedelta(days=30),
    )
    return Submission(job, "{}", event, key)


@dataclass
class House:
    """An admission with everything around it in memory."""

    store: MemoryJobStore = field(default_factory=MemoryJobStore)
    slot_count: int = 2
    clock: FakeClock = field(default_factory=FakeClock)
    queue: RecordingQueue = field(default_factory=RecordingQueue)

    @property
    def admission(self) -> Admission:
        return Admission(self.store, self.queue, self.clock, self.slot_count)

    def submit(self, *job_ids: str, tenant: str = TENANT, terms: Terms = DEFAULT_TERMS) -> House:
        """Submit jobs, one a second."""
        for job_id in job_ids:
            submission = a_submission(job_id, tenant)
            now = self.clock.now()
            self.admission.submit(replace(submission, job=replace(submission.job, waiting_since=now)), terms)
            self.clock.advance(1)
        return self

    def end(self, job_id: str) -> Job:
        """End a job in its first turn as its worker does, and leave its slot as it is."""
        claimed = self.store.update(
            job_id, lifecycle.claim(self.store.jobs[job_id], 1, "worker", self.clock.now())
        )
        assert isinstance(claimed, Job)
        assert self.store.commit(claimed, make_transition(claimed, Done("{}"), self.clock.now(), 0))
        return self.store.jobs[job_id]

    @property
    def slots(self) -> dict[int, str]:
        """The jobs that have slots."""
        return {number: slot.job_id for number, slot in self.store.slots.items() if slot.job_id}

    @property
    def sent(self) -> list[str]:
        """The jobs whose first message was sent."""
        return [send.message.job_id for send in self.queue.sent]

    def counts(self, tenant: str = TENANT) -> tuple[int, int]:
        """Return how many of a tenant's jobs run and wait, as its share has it."""
        share = self.store.shares.get(tenant, Share(tenant))
        return share.running, share.waiting


# ---------------------------------------------------------------- a new job


def test_submit_begins_a_job_at_once_when_there_is_a_slot() -> None:
    house = House()

    assert house.admission.submit(a_submission(), DEFAULT_TERMS) == Submitted("job")

    job = house.store.jobs["job"]
    assert (job.is_waiting, job.slot) == (False, 0)
    assert (job.due_at, job.due_class) == (after(60), DueClass.MESSAGE)
    assert house.slots == {0: "job"}
    assert house.counts() == (1, 0)
    assert house.queue.sent == [Send(Lane.INFERENCE, StepMessage("job", 1), 0)]


def test_submit_lets_a_job_wait_when_all_slots_are_taken() -> None:
    house = House().submit("a", "b", "c")

    waiting = house.store.jobs["c"]
    assert (waiting.waiting_since, waiting.slot) == (after(2), None)
    assert (waiting.due_at, waiting.due_class) == (after(3600), DueClass.WAIT)
    assert house.slots == {0: "a", 1: "b"}
    assert house.counts() == (2, 1)
    assert house.sent == ["a", "b"]


def test_submit_lets_a_job_wait_when_its_tenant_is_at_its_limit() -> None:
    house = House().submit("a", "b", terms=Terms(max_running=1))

    assert (house.slots, house.counts(), house.sent) == ({0: "a"}, (1, 1), ["a"])


def test_submit_is_refused_when_the_tenant_has_as_many_waiting_jobs_as_it_may_have() -> None:
    terms = Terms(max_waiting=2)
    house = House().submit("a", "b", "c", "d", terms=terms)

    with pytest.raises(TooManyWaitingJobsError, match=r"^2 jobs of your tenant wait already"):
        house.submit("e", terms=terms)

    assert ("e" in house.store.jobs, house.counts(), house.sent) == (False, (2, 2), ["a", "b"])
    # Another tenant's limit is its own.
    house.submit("f", tenant="acme", terms=terms)
    assert house.counts("acme") == (0, 1)


def test_submit_takes_no_slot_for_a_repeated_request() -> None:
    house = House()
    key = IdempotencyKey("key", "f")
    first = house.admission.submit(a_submission("a", key=key), DEFAULT_TERMS)

    again = house.admission.submit(a_submission("b", key=key), DEFAULT_TERMS)

    assert (first, again) == (Submitted("a"), Submitted("a", is_replay=True))
    assert (house.slots, house.counts(), house.sent) == ({0: "a"}, (1, 0), ["a"])


def test_submit_counts_nothing_for_a_repeated_request_that_would_wait() -> None:
    house, terms = House(slot_count=1), Terms(max_waiting=1)
    house.submit("a")
    key = IdempotencyKey("key", "f")
    house.admission.submit(a_submission("b", key=key), terms)

    # As many wait as may; the first job of the key is given all the same.
    assert house.admission.submit(a_submission("c", key=key), terms) == Submitted("b", is_replay=True)
    assert (house.counts(), house.sent) == ((1, 1), ["a"])


def test_submit_is_refused_when_the_key_came_with_another_request() -> None:
    house = House()
    house.admission.submit(a_submission("a", key=IdempotencyKey("key", "f")), DEFAULT_TERMS)

    with pytest.raises(IdempotencyKeyReusedError):
        house.admission.submit(a_submission("b", key=IdempotencyKey("key", "g")), DEFAULT_TERMS)

    assert (house.slots, house.counts()) == ({0: "a"}, (1, 0))


def test_submit_begins_a_job_whose_message_the_queue_does_not_take() -> None:
    house = House(queue=RecordingQueue(is_down=True)).submit("a")

    assert (house.slots, house.store.jobs["a"].due_at) == ({0: "a"}, after(60))


class RacedStore(MemoryJobStore):
    """Lets other processes do something before so many submits."""

    def __init__(self, *rivals: Callable[[MemoryJobStore], object]) -> None:
        super().__init__()
        self._rivals = [*rivals]

    @override
    def submit(self, submission: Submission) -> Submitted | CompanionsRefused:
        if self._rivals:
            self._rivals.pop(0)(self)
        return super().submit(submission)


def taking(slot: int) -> Callable[[MemoryJobStore], object]:
    """Return another process that takes a slot."""
    return lambda store: store.write_rows(
        (RowChange(SlotRow(slot), take_slot(a_job(job_id=f"other-{slot}", tenant="acme"), NOW)),)
    )


def test_submit_takes_another_slot_when_its_own_was_taken_meanwhile() -> None:
    house = House(RacedStore(taking(0))).submit("a")

    assert house.slots == {0: "other-0", 1: "a"}
    assert (house.counts(), house.sent) == ((1, 0), ["a"])


def test_submit_lets_a_job_wait_when_it_loses_every_race() -> None:
    house = House(RacedStore(*(taking(slot) for slot in range(TRIES))), slot_count=TRIES).submit("a")

    assert "a" not in house.slots.values()
    assert (house.store.jobs["a"].is_waiting, house.counts(), house.sent) == (True, (0, 1), [])


def test_submit_admits_the_job_itself_when_a_slot_became_free_before_it_was_stored() -> None:
    def leave(store: MemoryJobStore) -> None:
        store.slots.clear()

    class New(RacedStore):
        """An index that does not show so new a job; the job's own row is at hand."""

        @override
        def find_waiting(self, tenant: str, limit: int) -> tuple[str, ...]:
            return ()

    store = New(leave)
    store.slots = {0: Slot(0, job_id="other", tenant="acme")}

    house = House(store, slot_count=1).submit("a")

    assert (house.slots, house.counts(), house.sent) == ({0: "a"}, (1, 0), ["a"])


def test_submit_accepts_a_job_when_it_cannot_admit_it_now(caplog: pytest.LogCaptureFixture) -> None:
    class Down(MemoryJobStore):
        reads = 0

        @override
        def read_places(self) -> Places:
            self.reads += 1
            if self.reads > 1:
                raise StoreUnavailableError("Down.")
            return Places((Slot(0, job_id="other"),), ())

    house = House(Down(), slot_count=1).submit("a")

    assert house.store.jobs["a"].is_waiting
    assert [line.msg for line in caplog.records] == ["admission.put_off"]


# ---------------------------------------------------------------- those that wait


def test_admit_waiting_gives_slots_in_the_order_in_which_jobs_came() -> None:
    house = House(slot_count=1).submit("a", "c", "b", "d")
    house.slot_count = 3

    assert house.admission.admit_waiting() == 2
    assert house.slots == {0: "a", 1: "c", 2: "b"}
    assert (house.counts(), house.sent) == ((3, 1), ["a", "c", "b"])
    admitted = house.store.jobs["c"]
    assert (admitted.waiting_since, admitted.due_class) == (None, DueClass.MESSAGE)
    assert admitted.due_at == house.clock.now() + timedelta(seconds=60)


def test_admit_waiting_gives_slots_to_tenants_in_turn() -> None:
    house = House(slot_count=1).submit("a0", "a1", "a2", "a3")
    house.submit("b0", "b1", tenant="acme")
    house.slot_count = 4

    house.admission.admit_waiting()

    assert house.slots == {0: "a0", 1: "b0", 2: "a1", 3: "b1"}


def test_admit_waiting_keeps_to_a_tenants_limit() -> None:
    house = House(slot_count=5).submit("a", "b", "c", terms=Terms(max_running=2))

    assert (house.admission.admit_waiting(), house.counts()) == (0, (2, 1))


def test_admit_waiting_leaves_the_rest_when_time_is_short() -> None:
    house = House(slot_count=1).submit("a", "b", "c", "d")
    house.slot_count, answers = 4, iter([True, False])

    assert house.admission.admit_waiting(lambda: next(answers)) == 1


class LaggingStore(MemoryJobStore):
    """An index that shows what it is told to show."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: dict[str, tuple[str, ...]] = {}

    @override
    def find_waiting(self, tenant: str, limit: int) -> tuple[str, ...]:
        assert limit == CANDIDATES
        return self.shown.get(tenant, super().find_waiting(tenant, limit))


def test_admit_waiting_passes_over_jobs_that_the_index_still_shows() -> None:
    house = House(LaggingStore(), slot_count=1).submit("a", "b", "c")
    assert isinstance(house.store, LaggingStore)
    house.slot_count, house.store.shown = 2, {TENANT: ("a", "gone", "b", "c")}

    assert house.admission.admit_waiting() == 1
    assert house.slots == {0: "a", 1: "b"}


def test_admit_waiting_goes_on_with_the_next_tenant_when_the_index_shows_nothing_yet() -> None:
    house = House(LaggingStore(), slot_count=1).submit("a", "b")
    house.submit("c", tenant="acme").submit("d", tenant="bcme")
    assert isinstance(house.store, LaggingStore)
    # The first shows nothing, and the second shows only one that was admitted.
    house.slot_count, house.store.shown = 3, {"acme": (), "bcme": ("a",)}

    assert house.admission.admit_waiting() == 1
    assert house.slots == {0: "a", 1: "b"}
    assert (house.counts("acme"), house.counts("bcme")) == ((0, 1), (0, 1))


def test_admit_waiting_begins_no_job_whose_time_to_wait_is_over() -> None:
    house = House(slot_count=1).submit("a", "b")
    house.clock.advance((house.store.jobs["b"].deadline_at - house.clock.now()).total_seconds())
    house.slot_count = 2

    assert house.admission.admit_waiting() == 0
    assert (house.slots, house.sent) == ({0: "a"}, ["a"])


class LosingStore(MemoryJobStore):
    """Lets another process be faster at so many admissions, or at all."""

    def __init__(self, lost_count: int) -> None:
        super().__init__()
        self.lost_count = lost_count
        self.tries = 0

    @override
    def write_rows(self, changes: Sequence[RowChange]) -> tuple[int, ...]:
        if isinstance(changes[0].row, JobRow):
            self.tries += 1
            if self.lost_count:
                self.lost_count -= 1
                return (1,)
        return super().write_rows(changes)


@pytest.mark.parametrize(
    ("lost_count", "admitted_count", "tries"), [(0, 1, 1), (TRIES - 1, 1, TRIES), (99, 0, TRIES)]
)
def test_admit_waiting_tries_again_when_another_process_was_faster(
    lost_count: int, admitted_count: int, tries: int
) -> None:
    store = LosingStore(lost_count)
    house = House(store, slot_count=1).submit("a", "b")
    house.slot_count, store.tries = 2, 0

    assert (house.admission.admit_waiting(), store.tries) == (admitted_count, tries)
    assert house.sent == ["a", "b"][: 1 + admitted_count]


def test_admission_of_a_job_that_was_cancelled_meanwhile_is_lost() -> None:
    house = House(slot_count=1).submit("a", "b")
    seen = house.store.jobs["b"]
    house.store.jobs["b"] = replace(seen, status=Status.CANCELLED, waiting_since=None)

    refused = house.admission._admit(seen, house.store.shares[TENANT], 1)

    assert (refused, house.slots, house.counts(), house.sent) == (False, {0: "a"}, (1, 1), ["a"])


# ---------------------------------------------------------------- those that end


def test_leave_gives_the_slot_to_the_next() -> None:
    house = House(slot_count=1).submit("a", "b", "c")

    house.admission.leave(house.end("a"))

    assert house.slots == {0: "b"}
    assert (house.counts(), house.sent) == ((1, 1), ["a", "b"])


def test_leave_learns_how_long_the_tenants_jobs_run() -> None:
    house = House().submit("a")
    ended = replace(house.end("a"), started_at=NOW, finished_at=after(90))

    house.admission.leave(ended)

    assert house.store.shares[TENANT].mean_run_seconds == 90


def test_leave_learns_nothing_from_a_job_that_was_never_begun() -> None:
    house = House().submit("a", "b")
    house.admission.leave(replace(house.end("a"), started_at=NOW, finished_at=after(90)))
    cancelled = replace(house.store.jobs["b"], status=Status.CANCELLED, finished_at=after(3))

    house.admission.leave(cancelled)

    assert (house.slots, house.counts()) == ({}, (0, 0))
    assert house.store.shares[TENANT].mean_run_seconds == 90


def test_leave_frees_a_slot_once() -> None:
    house = House().submit("a", "b")
    ended = house.end("a")

    for _ in range(2):
        house.admission.leave(ended)

    assert (house.slots, house.counts()) == ({1: "b"}, (1, 0))


def test_leave_of_a_job_without_a_slot_takes_none() -> None:
    house = House(slot_count=1).submit("a", "b")

    house.admission.leave(an_ended_job(job_id="c"))

    assert (house.slots, house.counts()) == ({0: "a"}, (1, 1))


def test_leave_of_a_job_without_a_slot_is_no_call() -> None:
    house = House(UntouchableStore())

    house.admission.leave(an_ended_job(job_id="c"))

    assert house.queue.sent == []


def test_leave_is_left_to_the_janitor_when_the_store_fails(caplog: pytest.LogCaptureFixture) -> None:
    class Down(MemoryJobStore):
        is_down = False

        @override
        def write_rows(self, changes: Sequence[RowChange]) -> tuple[int, ...]:
            if self.is_down:
                raise StoreUnavailableError("Down.")
            return super().write_rows(changes)

    store = Down()
    house = House(store).submit("a")
    ended = house.end("a")
    store.is_down = True

    house.admission.leave(ended)

    assert (house.slots, [line.msg for line in caplog.records]) == ({0: "a"}, ["slot.not_freed"])
    store.is_down = False
    assert (house.admission.free_lost_slots(), house.slots, house.counts()) == (1, {}, (0, 0))


class LaterStore(MemoryJobStore):
    """Holds a row of places, after so many readings, that this version does not understand."""

    readings_left = 0

    @override
    def read_places(self) -> Places:
        if not self.readings_left:
            raise UnreadableRowError("Of a later version.")
        self.readings_left -= 1
        return super().read_places()


def test_submit_accepts_a_job_when_the_places_are_not_understood_after_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = LaterStore()
    store.readings_left = 3
    house = House(store, slot_count=1).submit("a")
    store.readings_left = 1

    house.submit("b")

    assert house.store.jobs["b"].is_waiting
    (line,) = caplog.records
    assert (line.msg, line.__dict__["job_id"]) == ("admission.put_off", "b")
    assert line.__dict__["metric"] == "RowsNotUnderstood"


def test_leave_is_left_to_the_janitor_when_the_places_are_not_understood(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = LaterStore()
    store.readings_left = 1
    house = House(store).submit("a")

    house.admission.leave(house.end("a"))

    (line,) = caplog.records
    assert (line.msg, line.__dict__["job_id"]) == ("slot.not_freed", "a")
    assert line.__dict__["metric"] == "RowsNotUnderstood"


def test_free_lost_slots_takes_those_of_jobs_that_have_ended_or_are_gone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    house = House(slot_count=4).submit("a", "b", "c", "d")
    house.end("a")
    del house.store.jobs["b"]
    house.store.update("c", lifecycle.claim(house.store.jobs["c"], 1, "worker", NOW))

    assert house.admission.free_lost_slots() == 2
    assert (house.slots, house.counts()) == ({2: "c", 3: "d"}, (2, 0))
    lost = [line.__dict__["job_id"] for line in caplog.records if line.levelno == logging.WARNING]
    assert lost == ["a", "b"]


def test_free_lost_slots_finds_nothing_the_second_time() -> None:
    house = House().submit("a")
    house.end("a")

    assert [house.admission.free_lost_slots() for _ in range(2)] == [1, 0]


def test_free_lost_slots_looks_at_more_slots_than_one_read_holds() -> None:
    store = MemoryJobStore()
    store.slots = {n: Slot(n, job_id=f"job-{n}", tenant=TENANT) for n in range(250)}
    store.shares = {TENANT: Share(TENANT, running=250)}

    class Checked(MemoryJobStore):
        @override
        def read_many(self, job_ids: Sequence[str]) -> tuple[Job, ...]:
            assert len(job_ids) <= 100
            return super().read_many(job_ids)

    checked = Checked()
    checked.slots, checked.shares = store.slots, store.shares

    assert House(checked).admission.free_lost_slots() == 250
    assert checked.shares[TENANT].running == 0


def test_free_lost_slots_leaves_a_job_its_slot_whose_row_is_not_understood() -> None:
    class Newer(MemoryJobStore):
        @override
        def read(self, job_id: str) -> Job | None:
            raise UnreadableRowError("This version does not understand the row.")

        @override
        def read_many(self, job_ids: Sequence[str]) -> tuple[Job, ...]:
            return ()

    house = House(Newer()).submit("a")

    assert (house.admission.free_lost_slots(), house.slots, house.counts()) == (0, {0: "a"}, (1, 0))


# ---------------------------------------------------------------- where a job stands


def test_find_place_tells_the_position_and_the_time() -> None:
    house = House(slot_count=1).submit("a", "b", "c").submit("z", tenant="acme")
    house.store.shares[TENANT] = replace(house.store.shares[TENANT], mean_run_seconds=60)

    places = [house.admission.find_place(house.store.jobs[job_id]) for job_id in ("a", "b", "c")]

    assert places == [
        None,
        QueuePlace(1, is_exact=True, wait_seconds=60),
        QueuePlace(2, is_exact=True, wait_seconds=120),
    ]


def test_find_place_counts_only_so_many_jobs() -> None:
    waiting = [a_job(job_id=f"job-{n:03}", waiting_since=after(n)) for n in range(COUNTED + 5)]
    house = House(fill(MemoryJobStore(), *waiting))

    assert house.admission.find_place(waiting[COUNTED - 1]) == QueuePlace(
        COUNTED, is_exact=True, wait_seconds=None
    )
    for n in (COUNTED, COUNTED + 4):
        assert house.admission.find_place(waiting[n]) == QueuePlace(
            COUNTED + 1, is_exact=False, wait_seconds=None
        )


def test_counts_agree_with_the_jobs_after_any_of_these() -> None:
    house = House(slot_count=3).submit(*"abcdef").submit(*"uvw", tenant="acme")
    for job_id in ("a", "b"):
        house.admission.leave(house.end(job_id))
    house.end("c")
    house.admission.free_lost_slots()
    house.admission.admit_waiting()

    for tenant in (TENANT, "acme"):
        jobs = [job for job in house.store.jobs.values() if job.tenant == tenant and job.is_active]
        waiting = sum(job.is_waiting for job in jobs)
        assert house.counts(tenant) == (len(jobs) - waiting, waiting)
    held = {
        number: job.job_id
        for job in house.store.jobs.values()
        if job.is_active and (number := job.slot) is not None
    }
    assert house.slots == held
    assert len(held) == 3
