from dataclasses import replace

import pytest

from rune.errors import (
    AddressRefusedError,
    BadResponseError,
    DiskFullError,
    ModelNotFoundError,
    ModelUnsupportedError,
    OutOfMemoryError,
    PullStalledError,
    RegistryFailedError,
    RequestRejectedError,
    RuneError,
    ServerAccessError,
    ServerFailedError,
    ServerOverloadedError,
    ServerTimeoutError,
    ServerUnreachableError,
    StreamFailedError,
    StreamTruncatedError,
)
from rune.jobs.outcomes import Again, Failed, Next, Outcome
from rune.jobs.record import Kind, StepName
from rune.llm.protocol import OnPull, PullProgress, PullRequest
from rune.rentals.record import Alternative, EndReason, Rental, RentalState
from rune.rentals.store import RentalRefused
from rune.storage.change import Change, make_change
from rune.workflows.rental.pull import percent
from tests.builders import JOB_ID, NOW, FakeClock, a_step_context, after
from tests.fake_model_server import FakeModelServer
from tests.memory_rental_store import ContestedRentalStore, MemoryRentalStore
from tests.rental_builders import (
    ALIVE,
    MODEL,
    OTHER_JOB_ID,
    URL,
    a_released_rental,
    a_rental_of,
    a_running_rental,
)
from tests.unit.workflows.rental.world import World, a_renting_job, a_world

JOB = a_renting_job(StepName.PULL)
EMPTY = a_running_rental(downloaded_bytes=0, model=None)
REQUEST = {"question": "Why?", "model": MODEL, "vastai": True}

MACHINE_ERRORS: list[RuneError] = [
    PullStalledError("Stands still."),
    ServerUnreachableError("Refused."),
    ServerTimeoutError("Silent."),
    ServerFailedError("500."),
    StreamFailedError("Failed."),
    StreamTruncatedError("Broke off."),
    AddressRefusedError("No."),
    BadResponseError("Garbage."),
    ServerOverloadedError("Busy."),
]


class SlowServer(FakeModelServer):
    """Gets a third of the model in every slice."""

    slices = 0

    async def pull(self, request: PullRequest, on_progress: OnPull) -> bool:
        self.pulls.append(request)
        self.slices += 1
        on_progress(PullProgress(self.slices * 1_600_000_000, 4_800_000_000))
        if self.slices < 3:
            return False
        self.models = (*self.models, request.model)
        return True


def test_pull_downloads_the_model_and_notes_what_it_took() -> None:
    world = a_world(EMPTY, seconds=150)
    world.server.models = ()

    outcome = world.run(JOB)

    assert isinstance(outcome, Next)
    assert outcome.step is StepName.WARM_UP
    assert outcome.phases_ms == {"pull": 60_000}
    assert outcome.labels == {"model": MODEL, "bytes": "4900000000"}
    assert (world.rental().model, world.rental().downloaded_bytes) == (MODEL, 4_900_000_000)
    assert world.server.pulls == [PullRequest(MODEL, slice_seconds=595.0)]
    assert (world.server.opened, world.server.close_count) == ([("ollama", URL)], 1)


def a_guarded_world() -> World:
    world = a_world(replace(EMPTY, is_guarded=True), seconds=150)
    world.server.models = ()
    world.rental_store.keys[EMPTY.rental_id] = world.server.key = "of-this-rental"
    return world


def test_pull_sends_the_machines_key() -> None:
    world = a_guarded_world()

    outcome = world.run(JOB)

    assert isinstance(outcome, Next)
    assert world.server.api_keys == ["of-this-rental"]
    assert "of-this-rental" not in repr((outcome, world.rental()))


def test_pull_blames_the_machine_whose_server_does_not_take_the_key_that_it_was_ordered_with() -> None:
    world = a_guarded_world()
    world.server.key = "of another machine"

    first, last = world.run(JOB), world.run(replace(JOB, failures=2))

    assert isinstance(first, Failed)
    assert (first.code, first.retryable, first.is_final) == ("server_access_denied", True, False)
    assert isinstance(last, Next)
    assert world.rental().end_reason is EndReason.MODEL_FAILED


def test_pull_goes_on_in_slices_until_the_model_is_there() -> None:
    world = a_world(EMPTY, seconds=150)
    world.server = SlowServer(models=())

    first, second, third = world.run(JOB), world.run(JOB), world.run(JOB)

    assert isinstance(first, Again)
    assert first.delay_seconds == 0
    assert first.progress == {
        "pulled_bytes": 1_600_000_000,
        "total_bytes": 4_800_000_000,
        "pulled_percent": 33,
    }
    assert isinstance(second, Again)
    assert second.progress["pulled_percent"] == 66
    assert isinstance(third, Next)
    assert world.rental().downloaded_bytes == 4_800_000_000


def test_pull_counts_the_most_that_may_come_while_it_does_not_know() -> None:
    world = a_world(EMPTY, seconds=150)
    world.server = SlowServer(models=())

    outcome = world.run(JOB)

    # 8,000 MB of memory and 15 %: 9 GB.
    assert world.rental().pulling_bytes == 9_000_000_000
    # 150 s of disk, 90 s of GPU, the image, and what was seen of the download.
    assert outcome.spending.cost_micro_usd == 500 + 9_000 + 6_000 + 4_800  # type: ignore[union-attr]


class OvertakenStore(MemoryRentalStore):
    """Another worker of the same job writes the row just before each of the first two writes."""

    overtaken = 0

    def update(self, rental: Rental, change: Change) -> Rental | RentalRefused:
        self.overtaken += 1
        if self.overtaken <= 2:
            found = self.rentals[rental.rental_id]
            self.rentals[rental.rental_id] = replace(found, version=found.version + 1)
        return super().update(rental, change)


def test_pull_downloads_only_what_is_written_down_first() -> None:
    world = a_world(seconds=150)
    world.rental_store = OvertakenStore(EMPTY)
    world.server = SlowServer(models=())

    world.run(JOB)

    assert len(world.server.pulls) == 1
    assert world.rental().pulling_bytes == 9_000_000_000


def test_pull_begins_nothing_on_a_machine_that_another_job_has_by_now() -> None:
    def take(found: Rental) -> Change:
        return make_change("take", NOW, requires=(), sets={"holder": OTHER_JOB_ID})

    world = a_world(seconds=150)
    world.rental_store = ContestedRentalStore(EMPTY, take)
    world.server = SlowServer(models=())

    world.run(JOB)

    assert (world.server.pulls, world.rental().pulling_bytes) == ([], 0)


class LyingServer(FakeModelServer):
    """Has the model at once, and says of its download what it likes."""

    told_bytes = 0

    async def pull(self, request: PullRequest, on_progress: OnPull) -> bool:
        on_progress(PullProgress(self.told_bytes, self.told_bytes))
        return True


@pytest.mark.parametrize(
    ("told_bytes", "noted_bytes"),
    [
        (1, 1),
        (40_000_000_000, 40_000_000_000),
        (40_000_000_001, 40_000_000_000),
        (2**53, 40_000_000_000),
        (0, 9_000_000_000),
    ],
)
def test_pull_believes_no_host_that_tells_of_more_than_its_disk_or_of_nothing(
    told_bytes: int, noted_bytes: int
) -> None:
    world = a_world(EMPTY, seconds=150)
    world.server = server = LyingServer(models=())
    server.told_bytes = told_bytes

    world.run(JOB)

    assert world.rental().downloaded_bytes == noted_bytes


class UnfinishedServer(LyingServer):
    async def pull(self, request: PullRequest, on_progress: OnPull) -> bool:
        await super().pull(request, on_progress)
        return False


@pytest.mark.parametrize("told_bytes", [8_000_000_000, 12_000_000_000])
def test_pull_counts_what_a_model_takes_that_is_larger_than_its_name_says(told_bytes: int) -> None:
    world = a_world(EMPTY, seconds=150)
    world.server = server = UnfinishedServer(models=())
    server.told_bytes = told_bytes

    world.run(JOB)
    assert world.rental().pulling_bytes == max(9_000_000_000, told_bytes)

    world.server = SlowServer(models=())
    world.run(JOB)
    assert world.rental().pulling_bytes == max(9_000_000_000, told_bytes)


class CrawlingServer(FakeModelServer):
    """Gets some bytes in each interval of 15 s, and has got some before."""

    def __init__(self, clock: FakeClock, mbit_per_second: float, total_bytes: int = 4_900_000_000) -> None:
        super().__init__(models=())
        self._clock = clock
        self._step_bytes = round(mbit_per_second * 1_000_000 / 8 * 15)
        self._total_bytes = total_bytes

    async def pull(self, request: PullRequest, on_progress: OnPull) -> bool:
        self.pulls.append(request)
        completed_bytes = 1_000_000
        for _ in range(20):
            on_progress(PullProgress(completed_bytes, self._total_bytes))
            self._clock.advance(15)
            completed_bytes += self._step_bytes
        return False


OTHER = Alternative(mbit_per_second=900, micro_usd_per_hour=360_000, download_micro_usd_per_gb=3_000)
WITH_ANOTHER = replace(EMPTY, alternative=OTHER)


def crawl(world: World, mbit_per_second: float, **overrides: object) -> Outcome:
    world.server = CrawlingServer(world.clock, mbit_per_second)
    return world.run(a_renting_job(StepName.PULL, **overrides))


def test_pull_gives_up_a_machine_that_is_so_slow_that_another_costs_less() -> None:
    world = a_world(WITH_ANOTHER, seconds=150)

    outcome = crawl(world, 8.0)

    assert isinstance(outcome, Next)
    assert (outcome.step, outcome.error_type) == (StepName.RELEASE, "pull_too_slow")
    # Two windows of 45 s.
    assert world.clock.now() == after(150 + 90)
    rental = world.rental()
    assert (rental.state, rental.end_reason) == (RentalState.RELEASING, EndReason.PULL_TOO_SLOW)
    assert rental.end_detail == "The model came with 8.0 Mbit/s, and would have taken 80 min more."
    assert world.server.close_count == 1


def test_pull_stays_when_the_machine_is_fast_enough() -> None:
    assert isinstance(crawl(a_world(WITH_ANOTHER, seconds=150), 80.0), Again)


TWO_BEFORE = tuple(a_released_rental(rental_id=f"{JOB_ID}-{n}", attempt=n, contract_id=n) for n in (2, 3))
NO_OTHER = pytest.mark.parametrize(
    "rentals", [(EMPTY,), (WITH_ANOTHER, *TWO_BEFORE)], ids=["no other fits", "no further machine"]
)


@NO_OTHER
def test_pull_stays_on_a_slow_machine_while_there_is_no_better_one_and_it_is_in_time(
    rentals: tuple[Rental, ...],
) -> None:
    assert isinstance(crawl(a_world(*rentals, seconds=150), 12.0), Again)


@NO_OTHER
def test_pull_ends_the_job_when_the_model_cannot_come_in_its_time_on_any_machine(
    rentals: tuple[Rental, ...],
) -> None:
    world = a_world(*rentals, seconds=150)

    outcome = crawl(world, 8.0)

    sentence = "The model came with 8.0 Mbit/s, and would have taken 79 min more."
    assert outcome == Failed("pull_too_late", sentence, retryable=True, is_final=True)
    # Four windows of 45 s.
    assert world.clock.now() == after(150 + 180)
    rental = world.rental()
    assert (rental.state, rental.end_reason) == (RentalState.RELEASING, EndReason.PULL_TOO_SLOW)
    assert rental.end_detail == sentence


def test_pull_returns_a_slow_machine_that_it_borrowed() -> None:
    world = a_world(replace(BORROWED, alternative=OTHER), seconds=1100)

    assert isinstance(crawl(world, 8.0), Next)
    assert (world.rental().state, world.rental().unfit_for) == (RentalState.KEPT, JOB_ID)


def test_pull_downloads_nothing_when_the_model_is_there() -> None:
    world = a_world(a_running_rental(), seconds=150)

    outcome = world.run(JOB)

    assert isinstance(outcome, Next)
    assert outcome.labels == {"model": MODEL, "bytes": "0"}
    assert (world.server.pulls, world.rental()) == ([], a_running_rental())


def test_pull_adds_to_what_the_machine_downloaded_for_the_job_before() -> None:
    kept = a_running_rental(job_id=OTHER_JOB_ID, held_since=after(1000), downloaded_bytes=20_000_000_000)
    world = a_world(kept, seconds=1010)
    world.server.models = ("mixtral:8x7b",)

    world.run(JOB)

    assert world.rental().downloaded_bytes == 24_900_000_000


@pytest.mark.parametrize(
    ("kind", "request_fields", "step"),
    [
        (Kind.BENCHMARK, {}, StepName.WARM_UP),
        (Kind.BENCHMARK, {"backend_warmup": False}, StepName.MEASURE),
        (Kind.BENCHMARK, {"backend_warmup": False, "workload": {}}, StepName.MEASURE),
        (Kind.BENCHMARK, {"backend_warmup": True, "workload": {}}, StepName.WARM_UP),
        (Kind.LLM_INSTANCE, {}, StepName.WARM_UP),
    ],
)
def test_pull_goes_on_with_what_the_job_is_for(
    kind: Kind, request_fields: dict[str, object], step: StepName
) -> None:
    outcome = a_world(a_running_rental(), seconds=150).run(
        a_renting_job(StepName.PULL, kind=kind), **request_fields
    )

    assert isinstance(outcome, Next)
    assert outcome.step is step


def test_pull_takes_the_model_that_was_chosen_for_the_machine_when_none_was_named() -> None:
    world = a_world(a_running_rental(model="mixtral:8x7b"), seconds=150)

    world.run(a_renting_job(StepName.PULL, kind=Kind.LLM_INSTANCE), model=None)

    assert [pull.model for pull in world.server.pulls] == ["mixtral:8x7b"]


@pytest.mark.parametrize("failures", [0, 1])
@pytest.mark.parametrize("error", MACHINE_ERRORS, ids=repr)
def test_pull_fails_and_is_tried_again_when_the_machine_is_to_blame(error: RuneError, failures: int) -> None:
    world = a_world(EMPTY, seconds=150)
    world.server = FakeModelServer(models=(), error=error)

    outcome = world.run(a_renting_job(StepName.PULL, failures=failures))

    assert outcome == Failed(error.code, error.sentence, retryable=True)
    assert world.rental().state is RentalState.RUNNING
    assert world.server.close_count == 1


@pytest.mark.parametrize("error", MACHINE_ERRORS, ids=repr)
def test_pull_moves_to_another_machine_after_the_third_failure(error: RuneError) -> None:
    world = a_world(EMPTY, seconds=150)
    world.server = FakeModelServer(models=(), error=error)

    outcome = world.run(a_renting_job(StepName.PULL, failures=2))

    assert isinstance(outcome, Next)
    assert (outcome.step, outcome.error_type) == (StepName.RELEASE, "model_failed")
    rental = world.rental()
    assert (rental.state, rental.end_reason) == (RentalState.RELEASING, EndReason.MODEL_FAILED)
    assert rental.end_detail == error.sentence


BORROWED = a_running_rental(job_id=OTHER_JOB_ID, held_since=after(1000))


@pytest.mark.parametrize("error", [*MACHINE_ERRORS, DiskFullError("Full.")], ids=repr)
def test_pull_returns_a_borrowed_machine_and_rents_one_when_it_cannot_get_the_model(error: RuneError) -> None:
    world = a_world(BORROWED, seconds=1100)
    world.server = FakeModelServer(models=(), error=error)

    outcome = world.run(a_renting_job(StepName.PULL, failures=2))

    assert isinstance(outcome, Next)
    assert (outcome.step, outcome.error_type) == (StepName.RELEASE, "model_failed")
    rental = world.rental()
    assert (rental.state, rental.holder, rental.unfit_for) == (RentalState.KEPT, None, JOB_ID)
    assert rental.end_reason is None


SERVERS_WORDS = StreamFailedError("The model server ended its answer with an error. It said: strange.")


def failed_before(detail: str) -> Rental:
    return a_released_rental(end_reason=EndReason.MODEL_FAILED, end_detail=detail)


def second_machine() -> Rental:
    second = a_rental_of(JOB_ID, 2)
    return replace(EMPTY, rental_id=second.rental_id, label=second.label, attempt=2)


def test_pull_fails_the_job_in_the_server_s_words_when_two_machines_say_the_same() -> None:
    world = a_world(failed_before(SERVERS_WORDS.sentence), second_machine(), seconds=150)
    world.server = FakeModelServer(models=(), error=SERVERS_WORDS)

    outcome = world.run(a_renting_job(StepName.PULL, failures=2))

    assert outcome == Failed("stream_failed", SERVERS_WORDS.sentence, retryable=True, is_final=True)


@pytest.mark.parametrize(
    ("error", "detail"),
    [(SERVERS_WORDS, "It said: another thing."), (ServerUnreachableError("Refused."), "Refused.")],
    ids=["other words", "no words"],
)
def test_pull_tries_a_third_machine_when_two_did_not_say_the_same(error: RuneError, detail: str) -> None:
    world = a_world(failed_before(detail), second_machine(), seconds=150)
    world.server = FakeModelServer(models=(), error=error)

    assert isinstance(world.run(a_renting_job(StepName.PULL, failures=2)), Next)


class FullServer(FakeModelServer):
    """Says how large the model is, then that it does not fit."""

    told_bytes = 0

    async def pull(self, request: PullRequest, on_progress: OnPull) -> bool:
        on_progress(PullProgress(1, self.told_bytes))
        raise DiskFullError("No space left on device.")


@pytest.mark.parametrize(("told_bytes", "is_hosts_fault"), [(0, False), (9 * 10**9, True), (10**10, False)])
def test_pull_blames_the_host_for_a_full_disk_when_the_disk_that_was_rented_would_do(
    told_bytes: int, is_hosts_fault: bool
) -> None:
    world = a_world(replace(EMPTY, machine=replace(EMPTY.machine, disk_gb=41)), seconds=150)
    world.server = server = FullServer(models=())
    server.told_bytes = told_bytes

    if is_hosts_fault:
        assert isinstance(world.run(a_renting_job(StepName.PULL, failures=2)), Next)
    else:
        with pytest.raises(DiskFullError):
            world.run(a_renting_job(StepName.PULL, failures=2))


NOT_THE_MACHINES: list[RuneError] = [
    ModelNotFoundError("Unknown."),
    ModelUnsupportedError("Needs a newer version."),
    OutOfMemoryError("Full."),
    DiskFullError("Full."),
    RegistryFailedError("503."),
    RequestRejectedError("Invalid name."),
    ServerAccessError("Gated."),
]


@pytest.mark.parametrize("error", NOT_THE_MACHINES, ids=repr)
@pytest.mark.parametrize("failures", [0, 2])
def test_pull_fails_the_job_when_no_other_machine_would_help(error: RuneError, failures: int) -> None:
    world = a_world(EMPTY, seconds=150)
    world.server = FakeModelServer(models=(), error=error)

    with pytest.raises(type(error)):
        world.run(a_renting_job(StepName.PULL, failures=failures))

    assert world.rental().state is RentalState.RUNNING


@pytest.mark.parametrize("state", [RentalState.INTENDED, RentalState.CREATED, RentalState.RELEASING])
def test_pull_goes_back_when_the_machine_does_not_run(state: RentalState) -> None:
    assert a_world(ALIVE[state]()).run(JOB) == Next(StepName.BOOT)


def test_pull_goes_back_when_the_job_holds_nothing() -> None:
    assert a_world().run(JOB) == Next(StepName.BOOT)


def test_pull_shows_its_progress_while_it_runs() -> None:
    context = a_step_context(JOB, REQUEST)
    world = a_world(EMPTY, seconds=150)
    world.server = SlowServer(models=())

    world.run_context(context)

    assert context.progress["pulled_percent"] == 33


def test_pull_shows_what_the_job_costs_while_it_runs() -> None:
    context = a_step_context(JOB, REQUEST)
    world = a_world(EMPTY, seconds=150)
    world.server = SlowServer(models=())

    world.run_context(context)

    assert context.cost_at is not None
    # 150 s of disk, 90 s of GPU, and the image; an hour later 0.372 USD more.
    assert context.cost_at(after(150)) == 500 + 9_000 + 6_000
    assert context.cost_at(after(3750)) == 500 + 9_000 + 6_000 + 372_000


@pytest.mark.parametrize(
    ("completed", "total", "shown"),
    [(0, 0, 0), (0, 10, 0), (1, 3, 33), (999, 1000, 99), (10, 10, 100), (10**30, 1, 100)],
)
def test_percent_is_rounded_down(completed: int, total: int, shown: int) -> None:
    assert percent(PullProgress(completed, total)) == shown
