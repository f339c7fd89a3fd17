"""Simulations: whose times are taken, and which price."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from rune.errors import InvalidRequestError
from rune.jobs import closing
from rune.jobs.outcomes import Done, Failed
from rune.jobs.places import RowChange
from rune.jobs.record import Event, Kind, Status
from rune.jobs.samples import Sample, SampleRow, record_sample
from rune.jobs.store import Submission
from rune.jobs.transitions import make_transition
from rune.money.catalog import find_model
from rune.money.finops import GpuPrice, RunTimes, TokenCost, assume_times
from rune.money.token_prices import find_list_price, prices_read_on
from rune.rentals.market import MarketRow, Scope
from rune.rentals.offers import Offer
from rune.services.finops import HISTORY_DAYS, Asked, FinopsService
from tests.builders import NOW, TENANT, FakeClock, a_claimed_job, after
from tests.memory_job_store import MemoryJobStore
from tests.memory_sample_store import MemorySampleStore
from tests.unit.rentals.scripted import a_wanted, an_offer

MODEL = "llama3.1:8b"
ASKED = Asked(agent="", model=MODEL, gpu="rtx4090", suite="", run_count=1)


@dataclass
class World:
    jobs: MemoryJobStore = field(default_factory=MemoryJobStore)
    clock: FakeClock = field(default_factory=FakeClock)
    offers: tuple[Offer, ...] = ()

    @property
    def service(self) -> FinopsService:
        row = MarketRow(Scope.of(a_wanted()), NOW, self.offers, len(self.offers))
        return FinopsService(self.jobs, MemorySampleStore(self.jobs), lambda: (row,), self.clock, "us-east-1")

    def run(self, seconds: float, model: str = MODEL, agent: str = "", **overrides: object) -> None:
        """Let a job of the tenant take so long."""
        number = len(self.jobs.jobs)
        job = a_claimed_job(job_id=f"job-{number}", started_at=NOW, **overrides)
        labels = {"model": model, "agent": agent}
        self.jobs.submit(Submission(job, "{}", Event(1, "job.accepted", "ok", NOW, labels=labels)))
        assert closing.commit(self.jobs, job, make_transition(job, Done("{}"), after(seconds), 5))

    def sample(self, seconds: float, model: str = MODEL, status: Status = Status.SUCCEEDED) -> None:
        """Let a job of anyone leave a sample, of 8 GiB of memory."""
        number = len(self.jobs.samples)
        phases = {"boot": round(seconds * 400), "work": round(seconds * 600)}
        sample = Sample(
            job_id=f"s-{number}", kind="benchmark", class_gb=8, status=status, model=model, phases_ms=phases
        )
        row = SampleRow(sample.shape, NOW, sample.job_id)
        assert not self.jobs.write_rows([RowChange(row, record_sample(sample, NOW))])


def times(world: World, asked: Asked = ASKED) -> tuple[RunTimes, str]:
    found = world.service.simulate(TENANT, asked)
    return found.times, found.notes[0]


def test_times_are_the_mean_of_own_runs_of_the_model() -> None:
    world = World()
    for seconds in (100, 300):
        world.run(seconds)
    world.run(9_000, model="llama3.1:70b")
    world.run(9_000, tenant="acme")

    assert times(world) == (
        RunTimes(100, 200, 400, 2),
        "Times: the mean of your own runs in 90 days that succeeded, 2 in all.",
    )


def test_runs_of_other_models_do_not_count_when_no_model_is_named() -> None:
    world = World()
    world.run(9_000, model="vendor/big-model")
    smallest = world.service.simulate(TENANT, replace(ASKED, model="")).model
    world.run(300, model=smallest)

    assert times(world, replace(ASKED, model=""))[0] == RunTimes(150, 300, 600, 1)


def test_times_have_the_range_of_samples_when_there_are_three() -> None:
    world = World()
    world.run(200)
    for seconds in (50, 100, 150):
        world.sample(seconds)

    assert times(world)[0] == RunTimes(100, 200, 300, 1)


def test_times_are_those_of_samples_when_there_is_no_own_run() -> None:
    world = World()
    for seconds in (60, 90, 180):
        world.sample(seconds)
    world.sample(9_000, model="another")
    world.sample(9_000, status=Status.FAILED)

    assert times(world) == (
        RunTimes(60, 110, 180, 3),
        "Times: 3 runs of this deployment with models of this size.",
    )


def test_times_are_those_of_other_models_of_the_size_when_the_model_has_none() -> None:
    world = World()
    world.sample(60, model="another")

    assert times(world)[0] == RunTimes(60, 60, 60, 1)


def test_times_are_assumed_when_nothing_is_known() -> None:
    model = find_model(MODEL)
    assert model is not None

    assert times(World()) == (assume_times(model), "Times: assumed, since no run like this is known.")


def test_times_of_an_agent_are_not_those_of_benchmarks() -> None:
    world = World()
    world.run(100)
    world.sample(100)
    asked = replace(ASKED, agent="holmes")

    assert times(world, asked)[0].run_count == 0

    world.run(50, agent="holmes", kind=Kind.AGENTIC_AGENT)
    assert times(world, asked)[0] == RunTimes(25, 50, 100, 1)


def test_times_of_runs_that_failed_or_are_long_ago_do_not_count() -> None:
    world = World()
    job = a_claimed_job(started_at=NOW)
    world.jobs.submit(Submission(job, "{}", Event(1, "job.accepted", "ok", NOW, labels={"model": MODEL})))
    failed = make_transition(job, Failed("x", "X.", retryable=False), after(60), 5)
    assert closing.commit(world.jobs, job, failed)
    assert times(world)[0].run_count == 0

    world.run(60)
    world.clock.advance((HISTORY_DAYS - 1) * 86_400)
    assert times(world)[0].run_count == 1
    world.clock.advance(86_400)
    assert times(world)[0].run_count == 0


@pytest.mark.parametrize("model", [MODEL, f"ollama/{MODEL}", f"ollama_chat/{MODEL}", ""])
def test_model_is_known_with_a_clients_prefix_and_the_smallest_without_a_name(model: str) -> None:
    world = World()
    world.run(100)

    found = world.service.simulate(TENANT, replace(ASKED, model=model))

    assert (found.model, found.times.run_count) == (MODEL, 1)


def a_priced(offer_id: int, usd: str, **overrides: object) -> Offer:
    price = Decimal(usd)
    given = {"offer_id": offer_id, "price_usd_per_hour": price, "gpu_usd_per_hour": price, **overrides}
    return an_offer(**{"gpu_name": "RTX 4090", "storage_usd_per_gb_month": Decimal(0), **given})


def test_price_is_of_the_offers_that_fit_with_the_fewest_gpus() -> None:
    offers = (
        a_priced(1, "0.30"),
        a_priced(2, "0.40"),
        a_priced(3, "0.90"),
        a_priced(4, "0.10", gpu_count=2),
        a_priced(5, "0.10", gpu_name="RTX 3090"),
        a_priced(6, "0.10", is_verified=False),
    )

    found = World(offers=offers).service.simulate(TENANT, ASKED)

    assert found.price == GpuPrice(300_000, 400_000, 900_000, "market_last_seen", NOW)
    assert found.notes[1] == f"Price: 3 offers that fit, as last seen at {NOW:%Y-%m-%dT%H:%M:%SZ}."
    assert "RTX 4090" in found.gpu


def test_price_is_the_tables_when_no_search_saw_the_gpu() -> None:
    found = World().service.simulate(TENANT, replace(ASKED, model="llama3.1:70b"))

    # 50,000 MiB and a tenth: three of 24,564.
    assert found.gpu == "3x RTX 4090"
    as_of = datetime(2026, 11, 30, tzinfo=UTC)
    assert found.price == GpuPrice(900_000, 1_200_000, 2_400_000, "vastai_baseline", as_of)


@pytest.mark.parametrize(
    ("asked", "code", "pointer"),
    [
        (replace(ASKED, gpu="mi300x"), "price_unknown", "/gpu"),
        (replace(ASKED, gpu=""), "price_unknown", "/gpu"),
        (replace(ASKED, model="phi3"), "model_size_unknown", "/model"),
    ],
)
def test_simulation_is_refused_when_it_would_be_a_guess(asked: Asked, code: str, pointer: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        World().service.simulate(TENANT, asked)

    assert (caught.value.specific_code, caught.value.pointer) == (code, pointer)


BEDROCK = "amazon.nova-pro-v1:0"


def test_model_of_bedrock_costs_the_tokens_that_own_runs_cost() -> None:
    world = World()
    for cost in (100, 301):
        world.run(60, model=BEDROCK, cost_micro_usd=cost, token_micro_usd=cost)

    found = world.service.simulate(TENANT, replace(ASKED, model=BEDROCK, run_count=3))

    assert (found.gpu, found.price, found.tokens) == ("", None, TokenCost(201, 2))
    assert (found.simulation.total_micro_usd, found.simulation.basis) == (603, "from_history")
    assert found.notes == ("Tokens: the mean of your own runs in 90 days that succeeded, 2 in all.",)


def test_model_of_bedrock_costs_assumed_tokens_when_no_run_is_known() -> None:
    price = find_list_price(BEDROCK, "us-east-1")
    assert price is not None

    found = World().service.simulate(TENANT, replace(ASKED, model=BEDROCK))

    assert found.tokens == TokenCost(price.cost_micro_usd(1_000, 500), 0, 1_000, 500)
    assert (found.simulation.confidence_score, found.simulation.basis) == (0.4, "scope_heuristic")
    assert found.notes == (f"Tokens: assumed, by the list prices of {prices_read_on()}.",)


def test_tokens_of_judging_come_on_top_of_the_machine() -> None:
    world = World()
    world.run(60, cost_micro_usd=500, token_micro_usd=40)

    found = world.service.simulate(TENANT, ASKED)

    assert (found.simulation.token_micro_usd, found.tokens) == (40, TokenCost(40, 1))
    assert found.simulation.gpu_micro_usd > 0


def test_suite_is_not_passed_over_in_silence() -> None:
    found = World().service.simulate(TENANT, replace(ASKED, suite="c166"))

    assert found.notes[-1] == "History is not counted by suite: runs of every suite are in it."
