"""Simulations: whose times are taken, and which price."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from statistics import fmean

import pytest

from rune.errors import InvalidRequestError
from rune.jobs import closing
from rune.jobs.outcomes import Done, Failed
from rune.jobs.places import RowChange
from rune.jobs.record import Event, Kind, Status
from rune.jobs.samples import Sample, SampleRow, record_sample
from rune.jobs.store import Submission
from rune.jobs.transitions import make_transition
from rune.money.finops import GpuPrice, TokenCost
from rune.money.token_prices import find_list_price, prices_read_on
from rune.rentals.market import MarketRow, Scope
from rune.rentals.offers import Offer
from rune.services.finops import AGENT_NOTE, HISTORY_DAYS, Asked, FinopsService
from rune.workflows.rental.estimate import PRIOR_RATIOS
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

    def sample(self, cost_micro_usd: int, **overrides: object) -> None:
        """Let a rented job of anyone leave a sample, of 8 GiB of memory."""
        number = len(self.jobs.samples)
        given: dict[str, object] = {
            "model": MODEL,
            "gpu": "1x RTX 4090",
            "phases_ms": {"boot": 40, "work": 60},
        }
        sample = replace(
            Sample(job_id=f"s-{number}", kind="benchmark", class_gb=8, cost_micro_usd=cost_micro_usd),
            **{**given, **overrides},  # type: ignore[arg-type]  # replace() refuses unknown names
        )
        row = SampleRow(sample.shape, NOW, sample.job_id)
        assert not self.jobs.write_rows([RowChange(row, record_sample(sample, NOW))])


def found_by(world: World, asked: Asked = ASKED) -> tuple[str | None, int, int]:
    """Return what the cost of a run rests on, the cost, and of how many runs it is known."""
    found = world.service.simulate(TENANT, asked)
    return found.basis, found.simulation.gpu_micro_usd, found.times.run_count


def test_cost_is_the_mean_of_what_rented_runs_of_the_model_on_the_gpu_cost() -> None:
    world = World(offers=(a_priced(1, "0.40"),))
    world.run(10)
    for cost in (80_000, 100_000, 120_000):
        world.sample(cost)
    world.sample(9_000_000, gpu="1x RTX 3090")
    world.sample(9_000_000, model="another")
    world.sample(9_000_000, status=Status.FAILED)

    found = world.service.simulate(TENANT, ASKED)

    assert (found.basis, found.gpu, found.times.run_count) == ("rented_runs", "1x RTX 4090", 3)
    simulation = found.simulation
    assert (simulation.low_micro_usd, simulation.gpu_micro_usd, simulation.high_micro_usd) == (
        80_000,
        100_000,
        120_000,
    )
    assert simulation.confidence == "medium"


def test_one_rented_run_says_little() -> None:
    world = World()
    world.sample(100_000)

    simulation = world.service.simulate(TENANT, ASKED).simulation

    assert (simulation.low_micro_usd, simulation.high_micro_usd, simulation.confidence) == (
        50_000,
        200_000,
        "low",
    )


def test_cost_is_expected_by_the_market_when_no_rented_run_is_known() -> None:
    world = World(offers=(a_priced(1, "0.40"), a_priced(2, "0.80")))

    basis, micro_usd, count = found_by(world)

    # An hour of it is 0.40 USD; a run takes some minutes and downloads 7 GB.
    assert (basis, count) == ("market_forecast", 0)
    assert 10_000 < micro_usd < 100_000


def test_runs_on_servers_that_were_there_count_with_boot_and_download_beside_their_time() -> None:
    world = World(offers=(a_priced(1, "3.60"),))
    bare = found_by(world)[1]
    world.run(1_000)

    basis, micro_usd, count = found_by(world)

    assert (basis, count) == ("market_forecast", 1)
    # 1,000 s at 0.001 USD are more than what one answer takes; the rest is as before.
    assert micro_usd - bare > 900_000
    assert world.service.simulate(TENANT, ASKED).simulation.confidence == "low"


def test_expectation_is_corrected_by_what_rented_runs_of_the_size_cost_of_theirs() -> None:
    offers = (a_priced(1, "0.40"),)
    doubled = World(offers=offers)
    for _ in range(3):
        doubled.sample(200_000, model="another", expected_micro_usd=100_000)

    plain = found_by(World(offers=offers))[1]

    assert found_by(doubled)[1] == pytest.approx(plain * 2 / fmean(PRIOR_RATIOS), rel=1e-4)


def test_agent_has_the_times_of_its_own_runs_and_no_rented_ones() -> None:
    world = World(offers=(a_priced(1, "0.40"),))
    world.run(100)
    world.sample(100_000)
    asked = replace(ASKED, agent="holmes")
    before = world.service.simulate(TENANT, asked)

    world.run(50, agent="holmes", kind=Kind.AGENTIC_AGENT)

    assert (before.basis, before.times.run_count) == ("market_forecast", 0)
    assert found_by(world, asked)[2] == 1
    assert before.notes[-1] == AGENT_NOTE


def test_agent_that_nobody_knows_is_named() -> None:
    notes = World().service.simulate(TENANT, replace(ASKED, agent="holms")).notes

    assert notes[-2].startswith("No run of an agent 'holms' is known")


def test_runs_that_failed_or_are_long_ago_do_not_count() -> None:
    world = World()
    job = a_claimed_job(started_at=NOW)
    world.jobs.submit(Submission(job, "{}", Event(1, "job.accepted", "ok", NOW, labels={"model": MODEL})))
    failed = make_transition(job, Failed("x", "X.", retryable=False), after(60), 5)
    assert closing.commit(world.jobs, job, failed)
    assert found_by(world)[2] == 0

    world.run(60)
    world.clock.advance((HISTORY_DAYS - 1) * 86_400)
    assert found_by(world)[2] == 1
    world.clock.advance(86_400)
    assert found_by(world)[2] == 0


@pytest.mark.parametrize("model", [MODEL, f"ollama/{MODEL}", f"ollama_chat/{MODEL}", ""])
def test_model_is_known_with_a_clients_prefix_and_the_smallest_without_a_name(model: str) -> None:
    world = World()
    world.run(100)
    world.run(9_000, model="vendor/big-model")

    found = world.service.simulate(TENANT, replace(ASKED, model=model))

    assert (found.model, found.times.run_count) == (MODEL, 1)


def a_priced(offer_id: int, usd: str, **overrides: object) -> Offer:
    price = Decimal(usd)
    given = {"offer_id": offer_id, "price_usd_per_hour": price, "gpu_usd_per_hour": price, **overrides}
    return an_offer(**{"gpu_name": "RTX 4090", "storage_usd_per_gb_month": Decimal(0), **given})


def test_machine_is_the_one_that_a_search_would_take() -> None:
    offers = (
        a_priced(1, "0.30"),
        a_priced(2, "0.40"),
        a_priced(3, "0.90"),
        a_priced(4, "0.80", gpu_count=2),
        a_priced(5, "0.10", gpu_name="RTX 3090"),
        a_priced(6, "0.10", is_verified=False),
    )

    found = World(offers=offers).service.simulate(TENANT, replace(ASKED, gpu="2x RTX 4090"))

    assert found.gpu == "1x RTX 4090"
    assert found.price == GpuPrice(300_000, 300_000, 900_000, "market_last_seen", NOW)
    assert found.notes[1].startswith(
        "GPU: a search takes the cheapest machine that holds the model, 1x RTX 4090"
    )


def test_price_is_the_tables_when_no_search_saw_the_gpu() -> None:
    found = World().service.simulate(TENANT, replace(ASKED, model="llama3.1:70b"))

    # 50,000 MiB and a tenth: three of 24,564.
    assert (found.gpu, found.basis) == ("3x RTX 4090", "price_table")
    as_of = datetime(2026, 11, 30, tzinfo=UTC)
    assert found.price == GpuPrice(900_000, 1_200_000, 2_400_000, "vastai_baseline", as_of)
    assert found.simulation.confidence == "low"


@pytest.mark.parametrize(
    ("asked", "code", "pointer"),
    [
        (replace(ASKED, gpu="mi300x"), "price_unknown", "/gpu"),
        (replace(ASKED, gpu=""), "price_unknown", "/gpu"),
        (replace(ASKED, model="llama3.1:405b"), "price_unknown", "/gpu"),
        (replace(ASKED, model="phi3"), "model_size_unknown", "/model"),
        (replace(ASKED, model="amazon.nova-unheard-of-v9:0"), "token_price_unknown", "/model"),
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
