import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from rune.errors import ProviderFailedError, RuneError, StoreUnavailableError, UnreadableRowError
from rune.jobs import lifecycle, transitions
from rune.jobs.admission import Admission
from rune.jobs.engine import Engine
from rune.jobs.lease import run_leased
from rune.jobs.lifecycle import Send
from rune.jobs.outcomes import Again, Cancelled, Done, Failed, Next, Outcome, Released, Spending
from rune.jobs.places import RowChange, ShareRow, count_given_up
from rune.jobs.plan import Lane
from rune.jobs.record import Failure, Job, Status, StepMessage, StepName
from rune.jobs.step import Step, StepContext
from rune.jobs.transitions import Transition, cancel_queued, make_transition
from rune.storage.change import Is, allows, apply
from tests.builders import JOB_ID, NOW, TENANT, FakeClock, RecordingQueue, a_claimed_job, a_job, after
from tests.memory_job_store import MemoryJobStore
from tests.unit.jobs.stores import DownStore, RequestlessStore, a_store, fill

END = after(10)
RENTAL_ID = f"{JOB_ID}-1"
WARMING_UP = a_claimed_job(
    step=StepName.WARM_UP, rents=True, seq=5, epoch=7, version=9, event_count=6, rental_id=RENTAL_ID
)
FAILURE = Failure("model_not_found", "Unknown.", StepName.PULL, retryable=False)
UNKNOWN_MODEL = Failed("model_not_found", "Unknown.", retryable=False)
TO_RELEASE = Send(Lane.MONEY, StepMessage(JOB_ID, 6), 0)

ENDS: list[tuple[Outcome, Status]] = [
    (Done('{"answer": "x"}'), Status.SUCCEEDED),
    (UNKNOWN_MODEL, Status.FAILED),
    (Cancelled(), Status.CANCELLED),
]


def a_releasing_job(**overrides: object) -> Job:
    """Return a job that went well and gives its machine back."""
    releasing = {"step": StepName.RELEASE, "ends_as": Status.SUCCEEDED, **overrides}
    return replace(WARMING_UP, **releasing)  # type: ignore[arg-type]  # replace() refuses unknown names


def carried_out(job: Job, outcome: Outcome) -> tuple[Job, Transition]:
    """Return the job as the transition leaves it, and the transition."""
    transition = make_transition(job, outcome, END, duration_ms=1234)
    assert allows(transition.change, job)
    return apply(transition.change, job), transition


@pytest.mark.parametrize(("outcome", "ends_as"), ENDS)
def test_transition_gives_the_machine_back_before_a_job_that_rents_ends(
    outcome: Outcome, ends_as: Status
) -> None:
    job, transition = carried_out(WARMING_UP, outcome)

    assert (job.status, job.step, job.ends_as) == (Status.RUNNING, StepName.RELEASE, ends_as)
    assert (job.finished_at, job.lease_owner, job.failures) == (None, None, 0)
    assert transition.send == TO_RELEASE
    assert job.due_at == END + lifecycle.DISPATCH_GRACE


@pytest.mark.parametrize(("outcome", "ends_as"), ENDS)
def test_transition_ends_a_job_that_does_not_rent_at_once(outcome: Outcome, ends_as: Status) -> None:
    job, transition = carried_out(replace(WARMING_UP, rents=False), outcome)

    assert (job.status, job.ends_as, transition.send) == (ends_as, None, None)


def test_transition_keeps_the_result_and_the_failure_until_the_machine_is_gone() -> None:
    succeeded, done = carried_out(WARMING_UP, Done('{"answer": "x"}'))
    failed, _ = carried_out(replace(WARMING_UP, step=StepName.PULL), UNKNOWN_MODEL)

    assert (done.result_json, succeeded.failure) == ('{"answer": "x"}', None)
    assert failed.failure == FAILURE


@pytest.mark.parametrize(
    ("overrides", "ends_as"),
    [({"deadline_at": after(11)}, Status.FAILED), ({"cancel_requested_at": after(5)}, Status.CANCELLED)],
    ids=["deadline", "cancel"],
)
def test_forced_outcome_leads_to_the_release_when_the_job_may_not_go_on(
    overrides: dict[str, object], ends_as: Status
) -> None:
    job = replace(WARMING_UP, **overrides)  # type: ignore[arg-type]  # replace() refuses unknown names
    forced = transitions.forced_outcome(job, after(11))

    assert forced is not None
    following, _ = carried_out(job, forced)
    assert (following.step, following.ends_as) == (StepName.RELEASE, ends_as)


def test_transition_asks_nothing_but_the_turn_of_who_gives_the_machine_back() -> None:
    cancelled_meanwhile = a_releasing_job(cancel_requested_at=after(5))

    for outcome in (Again(30), Failed("provider_failed", "Down.", retryable=True)):
        assert make_transition(cancelled_meanwhile, outcome, END, 7).change.requires == (
            Is("epoch", 7),
            Is("seq", 5),
        )


@pytest.mark.parametrize(
    ("ends_as", "failure"),
    [(Status.SUCCEEDED, None), (Status.FAILED, FAILURE), (Status.CANCELLED, None)],
)
def test_transition_ends_the_job_as_was_found_once_the_machine_is_gone(
    ends_as: Status, failure: Failure | None
) -> None:
    released = Released('{"receipt": 1}', {"left": "nothing"}, Spending(RENTAL_ID, 51_400))

    job, transition = carried_out(a_releasing_job(ends_as=ends_as, failure=failure), released)

    assert (job.status, job.failure, job.finished_at) == (ends_as, failure, END)
    assert (job.cost_micro_usd, job.rental_id, job.due_at) == (51_400, RENTAL_ID, None)
    assert (transition.send, transition.result_json) == (None, '{"receipt": 1}')
    assert [event.name for event in transition.events] == ["provider.teardown", f"job.{ends_as}"]
    assert transition.events[0].labels["left"] == "nothing"


def test_release_ends_a_cancelled_job_as_cancelled_although_it_was_to_succeed() -> None:
    cancelled = a_releasing_job(cancel_requested_at=after(5))

    job, transition = carried_out(cancelled, Released('{"answer": "x"}'))

    assert (job.status, transition.result_json, transition.send) == (Status.CANCELLED, None, None)


def test_release_does_not_end_a_job_as_succeeded_that_was_cancelled_while_the_step_ran() -> None:
    transition = make_transition(a_releasing_job(), Released(), END, 7)

    assert not allows(transition.change, a_releasing_job(cancel_requested_at=after(5)))


def test_release_keeps_the_failure_of_a_job_that_was_cancelled_only_then() -> None:
    failure = Failure("provider_key", "The key is refused.", StepName.BOOT, retryable=False)
    asked = a_releasing_job(ends_as=Status.FAILED, failure=failure, cancel_requested_at=END)

    job, _ = carried_out(asked, Released())

    assert (job.status, job.failure) == (Status.FAILED, failure)


@pytest.mark.parametrize("ends_as", [Status.FAILED, Status.CANCELLED])
def test_release_ends_a_job_that_did_not_succeed_whether_or_not_it_was_cancelled(ends_as: Status) -> None:
    transition = make_transition(a_releasing_job(ends_as=ends_as), Released(), END, 7)

    assert transition.change.requires == (Is("epoch", 7), Is("seq", 5))


def test_transition_rents_anew_when_the_machine_had_failed_the_job() -> None:
    job, transition = carried_out(
        a_releasing_job(ends_as=None, failures=4), Released(spending=Spending(None, 900))
    )

    assert (job.step, job.status, job.failures) == (StepName.RENT, Status.RUNNING, 0)
    assert (job.rental_id, job.cost_micro_usd) == (RENTAL_ID, 900)
    assert transition.send == TO_RELEASE


ERRORS = [
    Failed("provider_failed", "Down.", retryable=True),
    Failed("provider_key", "Unknown key.", retryable=False),
    Failed("internal_error", "Inside.", retryable=True),
    Failed("step_timeout", "Too long.", retryable=False),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.code)
@pytest.mark.parametrize("ends_as", [Status.SUCCEEDED, Status.FAILED, Status.CANCELLED, None])
def test_transition_never_gives_a_release_up(error: Failed, ends_as: Status | None) -> None:
    job = a_releasing_job(ends_as=ends_as, deadline_at=NOW - timedelta(days=1))

    for _ in range(50):
        job, transition = carried_out(job, error)
        assert (job.step, job.status, job.ends_as) == (
            StepName.RELEASE,
            Status.RUNNING,
            ends_as,
        )
        assert transition.send is not None
        assert transition.send.delay_seconds <= 60

    assert (job.failures, job.failure) == (50, None)


def test_transition_tells_of_ever_fewer_failed_releases() -> None:
    told = [
        failures + 1
        for failures in range(200)
        if carried_out(a_releasing_job(failures=failures), ERRORS[0])[1].events
    ]

    assert told == [1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 64, 128]


@pytest.mark.parametrize(
    ("failures", "delay_seconds"), [(0, 5), (1, 10), (2, 20), (3, 40), (4, 60), (9, 60), (10**6, 60)]
)
def test_transition_waits_longer_between_two_tries_to_give_a_machine_back(
    failures: int, delay_seconds: int
) -> None:
    _, transition = carried_out(a_releasing_job(failures=failures), ERRORS[0])

    assert transition.send is not None
    assert transition.send.delay_seconds == delay_seconds


@pytest.mark.parametrize("outcome", [Next(StepName.PULL), Again(5)])
def test_transition_writes_down_what_the_rental_costs_so_far(outcome: Next | Again) -> None:
    known = replace(outcome, spending=Spending("other-1", 77))

    job, _ = carried_out(replace(WARMING_UP, cost_micro_usd=5), known)
    unchanged, _ = carried_out(replace(WARMING_UP, cost_micro_usd=5), outcome)

    assert (job.rental_id, job.cost_micro_usd) == ("other-1", 77)
    assert (unchanged.rental_id, unchanged.cost_micro_usd) == (RENTAL_ID, 5)


def test_cancel_ends_a_queued_job_that_cannot_have_rented_yet() -> None:
    queued = a_job(rents=True, step=StepName.RENT)
    transition = cancel_queued(queued, END)

    assert apply(transition.change, queued).status is Status.CANCELLED
    assert not allows(transition.change, a_claimed_job(rents=True, step=StepName.RENT))


@pytest.mark.parametrize(
    "overrides",
    [
        {"cancel_requested_at": after(1)},
        {"deadline_at": NOW - timedelta(hours=9)},
        {"attempts": 99},
    ],
    ids=lambda overrides: next(iter(overrides)),
)
def test_forced_outcome_lets_a_release_run_in_any_case(overrides: dict[str, object]) -> None:
    assert transitions.forced_outcome(a_releasing_job(**overrides), END) is None


class Turn:
    """One turn of a job that gives its machine back, taken by the engine."""

    def __init__(
        self, outcome: Outcome | RuneError, lane: Lane = Lane.MONEY, *, needs_draft: bool = False
    ) -> None:
        self.outcome = outcome
        self.lane = lane
        self.needs_draft = needs_draft
        self.drafts: list[str | None] = []
        self.seen: list[StepContext] = []
        self.queue = RecordingQueue()

    def take(self, store: MemoryJobStore) -> Job:
        clock = FakeClock(END)
        engine = Engine(
            lane=self.lane,
            store=store,
            queue=self.queue,
            clock=clock,
            steps=self._steps,
            run_step=run_leased,
            pause=asyncio.sleep,
            admission=Admission(store, self.queue, clock, slot_count=5),
        )
        asyncio.run(engine.take_turn(StepMessage(JOB_ID, 5)))
        return store.jobs[JOB_ID]

    @property
    def _steps(self) -> Mapping[StepName, Step]:
        async def release(context: StepContext) -> Outcome:
            self.seen.append(context)
            if self.needs_draft:
                self.drafts.append(context.read_draft())
            if isinstance(self.outcome, RuneError):
                raise self.outcome
            return self.outcome

        return {StepName.RELEASE: release}


def an_open_job(**overrides: object) -> Job:
    """Return a job whose release is still to be taken."""
    return a_releasing_job(**{"lease_owner": None, "lease_until": None, **overrides})


@pytest.mark.parametrize("lane", Lane)
@pytest.mark.parametrize(
    ("overrides", "status"),
    [
        ({"cancel_requested_at": after(1)}, Status.CANCELLED),
        ({"deadline_at": NOW}, Status.SUCCEEDED),
        ({}, Status.SUCCEEDED),
    ],
    ids=["cancel", "late", "plain"],
)
def test_engine_runs_a_release_in_any_lane_and_at_any_time(
    overrides: dict[str, object], status: Status, lane: Lane
) -> None:
    turn = Turn(Released(None, {"left": "nothing"}), lane)

    job = turn.take(a_store(an_open_job(**overrides)))

    assert job.status is status
    assert [context.time_limit_seconds for context in turn.seen] == [45]


def test_engine_gives_a_release_the_result_to_complete() -> None:
    store = a_store(an_open_job())
    store.put_result(JOB_ID, '{"answer": "x"}')
    turn = Turn(Released('{"answer": "x", "rental": 1}'), needs_draft=True)

    turn.take(store)

    assert turn.drafts == ['{"answer": "x"}']
    assert store.result_of(JOB_ID) == '{"answer": "x", "rental": 1}'


@pytest.mark.parametrize("ends_as", [Status.FAILED, Status.CANCELLED, None])
def test_engine_gives_a_release_no_result_when_the_job_has_none(ends_as: Status | None) -> None:
    store = a_store(an_open_job(ends_as=ends_as))
    store.put_result(JOB_ID, '{"answer": "x"}')
    turn = Turn(Released(), needs_draft=True)

    turn.take(store)

    assert turn.drafts == [None]


def test_engine_runs_a_release_without_the_request() -> None:
    turn = Turn(Released())

    job = turn.take(fill(RequestlessStore(), an_open_job()))

    assert job.status is Status.SUCCEEDED
    assert [context.request_json for context in turn.seen] == ["{}"]


@pytest.mark.parametrize("ends_as", [Status.SUCCEEDED, Status.FAILED, Status.CANCELLED, None])
def test_engine_runs_a_release_when_the_result_cannot_be_read(ends_as: Status | None) -> None:
    turn = Turn(Again(3))

    turn.take(fill(DownStore("read_with_result"), an_open_job(ends_as=ends_as)))

    assert len(turn.seen) == 1


def test_engine_tries_a_release_again_when_the_result_it_completes_cannot_be_read() -> None:
    turn = Turn(Released('{"answer": "x"}'), needs_draft=True)

    job = turn.take(fill(DownStore("read_with_result"), an_open_job()))

    assert (job.status, job.step, job.failures) == (Status.RUNNING, StepName.RELEASE, 1)
    assert turn.queue.sent == [Send(Lane.MONEY, StepMessage(JOB_ID, 6), 5)]


@pytest.mark.parametrize("ends_as", [Status.FAILED, Status.CANCELLED, None])
def test_engine_reads_no_request_for_a_job_that_leaves_nothing_behind(ends_as: Status | None) -> None:
    turn = Turn(Released())

    turn.take(fill(DownStore("read_request"), an_open_job(ends_as=ends_as)))

    assert [context.request_json for context in turn.seen] == ["{}"]


@pytest.mark.parametrize("error", [StoreUnavailableError, UnreadableRowError])
@pytest.mark.parametrize(("failures", "seen"), [(0, []), (2, []), (3, ["{}"]), (9, ["{}"])])
def test_engine_waits_only_so_long_for_the_request_of_a_job_whose_machine_bills(
    failures: int, seen: list[str], error: type[RuneError]
) -> None:
    turn = Turn(Released())

    job = turn.take(fill(DownStore("read_request", error=error), an_open_job(failures=failures)))

    assert [context.request_json for context in turn.seen] == seen
    assert (job.status is Status.SUCCEEDED, job.failures) == (bool(seen), failures + (not seen))


def test_engine_counts_the_tries_of_a_release_that_does_not_understand_what_is_stored() -> None:
    turn = Turn(UnreadableRowError("This version does not understand a row."))

    job = turn.take(a_store(an_open_job(failures=4)))

    assert (job.status, job.step, job.failures) == (Status.RUNNING, StepName.RELEASE, 5)


def test_engine_tries_a_release_again_when_it_fails() -> None:
    turn = Turn(ProviderFailedError("Down."))

    job = turn.take(a_store(an_open_job(ends_as=Status.CANCELLED, cancel_requested_at=after(1))))

    assert (job.status, job.step, job.ends_as) == (Status.RUNNING, StepName.RELEASE, Status.CANCELLED)
    assert turn.queue.sent == [Send(Lane.MONEY, StepMessage(JOB_ID, 6), 5)]


ROW = RowChange(ShareRow(TENANT), count_given_up(END))


@pytest.mark.parametrize("ends_as", [Status.SUCCEEDED, Status.FAILED, Status.CANCELLED])
def test_end_writes_the_other_rows_of_the_release(ends_as: Status) -> None:
    transition = make_transition(a_releasing_job(ends_as=ends_as), Released(companions=(ROW,)), END, 7)

    assert transition.companions == (ROW,)


def test_end_of_a_job_whose_success_was_cancelled_writes_the_other_rows_too() -> None:
    asked = a_releasing_job(ends_as=Status.SUCCEEDED, cancel_requested_at=NOW)

    assert make_transition(asked, Released(companions=(ROW,)), END, 7).companions == (ROW,)


def test_job_that_rents_again_writes_none_of_them() -> None:
    transition = make_transition(a_releasing_job(ends_as=None), Released(companions=(ROW,)), END, 7)

    assert transition.companions == ()
