"""What a sweep cost on a rented machine, recomputed by hand from the simulated provider's own books.

Every answer takes 4 seconds and has 7 tokens; a point asks one to warm up and three to be measured, one after
another. So the model makes 1.75 tokens a second at every point, whatever RUNE computes.
"""

from __future__ import annotations

from decimal import Decimal

import pytest

from local.simulators.vastai.bills import Bill
from rune.contracts import CostReport, StoredBenchmarkResult
from rune.rentals.record import OLLAMA_IMAGE_BYTES
from rune.services.admission.requests import Admitted
from tests.simulation.faults import Odds
from tests.simulation.machines import MODEL_BYTES
from tests.simulation.mischief import SETTINGS
from tests.simulation.requests import SWEEP, rented_benchmark, rented_instance
from tests.simulation.world import World

RENTED = rented_benchmark(workload=SWEEP)
QUICK = Odds(answer_seconds=(4.0, 4.0))
TOKENS_PER_S = 7 / 4
MEASURED_TOKENS, WARMUP_TOKENS = 9 * 7, 3 * 7
POINTS_SECONDS = 3 * 4 * 4
LOAD_SECONDS = 30.0
"""Of the simulated server, its first token included."""

LOOK_SECONDS = 6.0
"""Between two looks at a machine that boots, and between its end and the proof of it."""

MICRO_USD = 1e-6


class Books:
    """One sweep on a rented machine, as RUNE tells of it and as the provider does."""

    def __init__(self, request: Admitted = RENTED) -> None:
        world = World(0, QUICK, vastai=SETTINGS)
        account = world.account
        assert account is not None
        job_id = world.submit(request)
        world.run()
        assert job_id is not None
        assert world.violations == []
        result = StoredBenchmarkResult.model_validate_json(world.table.result_of(job_id) or "")
        assert result.report is not None
        (self.rental,) = account.rental_store.rentals.values()
        assert self.rental.contract_id is not None
        contract = account.vastai.instances[self.rental.contract_id]
        self.offer = contract.listing.offer
        self.disk_usd_per_hour = float(self.offer.disk_usd_per_hour(contract.order.disk_gb))
        self.bill: Bill = account.vastai.bill(self.rental.contract_id)
        self.result, self.report = result, result.report

    @property
    def cost(self) -> CostReport:
        assert self.report.cost is not None
        return self.report.cost

    @property
    def gpu_usd_per_hour(self) -> float:
        """By the bill."""
        assert self.bill.running_at is not None
        return float(self.bill.gpu_usd) / self.gpu_seconds * 3600

    @property
    def gpu_seconds(self) -> float:
        """For which the provider bills the GPU."""
        assert self.bill.destroyed_at is not None
        assert self.bill.running_at is not None
        return self.bill.destroyed_at - self.bill.running_at


@pytest.fixture(scope="module")
def books() -> Books:
    return Books()


def test_price_is_that_of_the_bill(books: Books) -> None:
    usd_per_hour = books.gpu_usd_per_hour + books.disk_usd_per_hour

    assert books.cost.price_usd_per_hour == pytest.approx(usd_per_hour, rel=1e-4)


def test_report_tells_how_many_the_rented_server_answers_at_a_time(books: Books) -> None:
    assert books.report.server.parallel_count == 4
    assert "server_parallel_exceeded" not in books.report.warnings


def test_steady_state_figures_follow_from_price_and_speed(books: Books) -> None:
    cost, usd_per_s = books.cost, books.cost.price_usd_per_hour / 3600

    assert cost.at_run == 0
    assert cost.usd_per_million_output_tokens == pytest.approx(usd_per_s / TOKENS_PER_S * 1e6, rel=1e-5)
    assert cost.output_tokens_per_usd == pytest.approx(TOKENS_PER_S / usd_per_s, rel=1e-5)
    # 5 tokens go in with each answer.
    assert cost.usd_per_million_total_tokens == pytest.approx(usd_per_s / (12 / 4) * 1e6, rel=1e-5)
    assert cost.usd_per_1k_requests == pytest.approx(usd_per_s * 4 * 1000, rel=1e-5)
    assert cost.usd_per_good_request is None


def test_billed_seconds_are_those_of_the_bill_and_a_look_more(books: Books) -> None:
    assert books.gpu_seconds <= books.cost.billed_seconds <= books.gpu_seconds + 2 * LOOK_SECONDS


def test_billed_dollars_cover_the_bill_and_what_explains_the_rest(books: Books) -> None:
    bill, rental = books.bill, books.rental
    # The row of a rental that is gone was last written when the listing had come that proved it.
    rented_seconds = (rental.updated_at - rental.intended_at).total_seconds()
    received_gb = (OLLAMA_IMAGE_BYTES + MODEL_BYTES["llama3.1:8b"]) / 1e9
    by_hand = (
        books.cost.billed_seconds * books.gpu_usd_per_hour / 3600
        + rented_seconds * books.disk_usd_per_hour / 3600
        + received_gb * float(books.offer.inet_down_usd_per_gb)
    )

    # Three sums, each rounded up to a millionth; the bill's own parts are rounded to one.
    assert books.cost.billed_usd == pytest.approx(by_hand, abs=8 * MICRO_USD)
    assert Decimal(str(books.cost.billed_usd)) >= bill.total_usd


def test_all_in_figure_pays_for_every_token_with_all_that_was_billed(books: Books) -> None:
    tokens = MEASURED_TOKENS + WARMUP_TOKENS

    assert books.result.bookkeeping.warmup_output_tokens == WARMUP_TOKENS
    assert books.cost.usd_per_million_output_tokens_all_in == pytest.approx(
        books.cost.billed_usd / tokens * 1e6, rel=1e-5
    )


def test_idle_seconds_are_those_in_which_nobody_pulled_loaded_or_asked(books: Books) -> None:
    ready = books.report.time_to_ready
    assert ready is not None
    assert ready.pull_ms is not None
    busy_seconds = ready.pull_ms / 1000 + LOAD_SECONDS + POINTS_SECONDS

    assert books.cost.busy_seconds == pytest.approx(busy_seconds, abs=0.002)
    assert books.cost.idle_seconds == pytest.approx(books.cost.billed_seconds - busy_seconds, abs=0.002)


def test_time_to_ready_tells_every_phase_of_getting_there(books: Books) -> None:
    ready, offer = books.report.time_to_ready, books.offer
    assert ready is not None
    download_seconds = MODEL_BYTES["llama3.1:8b"] / (offer.inet_down_mbit_per_second * 1e6 / 8)
    assert books.bill.running_at is not None

    assert ready.search_ms is not None
    assert ready.boot_ms is not None
    assert ready.pull_ms is not None
    assert (ready.load_ms, ready.first_token_ms) == (29_000, 1_000)
    assert books.bill.running_at - books.bill.created_at <= ready.boot_ms / 1000
    assert download_seconds <= ready.pull_ms / 1000 <= download_seconds + LOOK_SECONDS
    assert ready.pull_bytes == MODEL_BYTES["llama3.1:8b"]
    assert ready.total_ms == ready.search_ms + ready.boot_ms + ready.pull_ms + 30_000


def test_hardware_is_the_machine_that_was_rented(books: Books) -> None:
    hardware = books.report.hardware
    assert hardware is not None
    assert (hardware.machine_id, hardware.gpu_name) == (books.offer.machine_id, books.offer.gpu_name)


def test_cost_of_a_machine_that_is_kept_is_that_so_far() -> None:
    books = Books(rented_benchmark(workload=SWEEP, vastai_stop_instance=False, keep_seconds=600))

    assert "cost_so_far" in books.report.warnings
    assert books.bill.destroyed_at is None
    assert books.cost.busy_seconds < books.cost.billed_seconds < books.cost.busy_seconds + 60


def test_cost_of_a_machine_that_was_there_is_that_of_its_time_in_the_job() -> None:
    world = World(0, QUICK, vastai=SETTINGS)
    world.submit(rented_instance(keep_seconds=1200))
    world.plan(300.0, lambda: world.submit(RENTED))
    world.run()

    _, job = world.table.jobs.values()
    result = StoredBenchmarkResult.model_validate_json(world.table.result_of(job.job_id) or "")
    assert result.report is not None
    assert result.report.cost is not None
    assert job.started_at is not None
    assert job.finished_at is not None
    held_seconds = (job.finished_at - job.started_at).total_seconds()
    assert result.report.cost.billed_seconds == pytest.approx(held_seconds, abs=LOOK_SECONDS)
    assert result.report.time_to_ready is not None
    assert result.report.time_to_ready.pull_bytes == 0


def test_question_has_its_cost_too() -> None:
    books = Books(rented_benchmark())

    assert books.cost.busy_seconds > LOAD_SECONDS
    assert books.cost.usd_per_million_output_tokens is not None
