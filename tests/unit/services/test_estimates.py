from datetime import timedelta
from decimal import Decimal

import pytest
from pydantic import ValidationError

from rune.contracts.estimates import CostEstimationRequest, CostEstimationResponse
from rune.errors import InvalidRequestError
from rune.jobs.samples import Sample, SampleRow, Shape
from rune.money.limits import TenantSpending
from rune.rentals.hosts import HostRecord
from rune.rentals.market import MarketRow, Scope
from rune.services.estimates import NO_MODEL, NO_SIZE, NO_TEMPLATE, EstimateService
from rune.services.jobs import Caller, JobLimits, JobService
from rune.tenants.settings import TenantSettings
from tests.builders import NOW, FakeClock, RecordingQueue
from tests.memory_host_store import MemoryHostStore
from tests.memory_job_store import MemoryJobStore
from tests.memory_market_store import MemoryMarketStore
from tests.memory_sample_store import MemorySampleStore
from tests.unit.rentals.scripted import an_offer

LIMITS = JobLimits(
    queue_timeout=timedelta(days=1),
    max_runtime=timedelta(hours=1),
    retention=timedelta(days=30),
    max_cost_micro_usd=10_000_000,
)
SCOPE = Scope(8_800, 41, Decimal(3), 0.99, timedelta(minutes=10))


class Desk:
    """The service with its stores."""

    def __init__(self) -> None:
        self.jobs = MemoryJobStore()
        self.market = MemoryMarketStore()
        self.hosts = MemoryHostStore({27_182: HostRecord(1, NOW)})
        clock = FakeClock(NOW)
        self.job_service = JobService(
            self.jobs, RecordingQueue(), clock, LIMITS, slot_count=5, budgets=self.jobs.budgets
        )
        self.service = EstimateService(
            self.job_service, self.market, self.hosts, MemorySampleStore(self.jobs), clock
        )

    def estimate(self, tenant: TenantSettings | None = None, **members: object) -> CostEstimationResponse:
        body = CostEstimationRequest.model_validate({"vastai": True, "model": "llama3.1:8b", **members})
        tenant = tenant or TenantSettings()
        return self.service.estimate(Caller("acme", spending=TenantSpending.of(tenant)), tenant, body)


def test_estimate_reads_market_hosts_and_samples() -> None:
    desk = Desk()
    other = an_offer(offer_id=2, machine_id=2, price_usd_per_hour=Decimal("0.4"))
    desk.market.note(MarketRow(SCOPE, NOW, (an_offer(), other), 2))
    row = SampleRow(Shape("benchmark", 8), NOW, "a")
    desk.jobs.samples[row] = Sample(
        "a", "benchmark", 8, expected_micro_usd=1, cost_micro_usd=1, expires_at=NOW + timedelta(days=1)
    )

    found = desk.estimate()

    assert found.offer is not None
    # The other host has just failed a job.
    assert (found.offer.machine_id, found.sample_count, found.basis) == (2, 1, "prior")
    assert found.projected_cost_usd == found.high_usd
    assert found.confidence_score >= 0.95


@pytest.mark.parametrize("model", [None, ""])
def test_no_model_is_the_smallest(model: str | None) -> None:
    assert (Desk().estimate(model=model).warning or "").startswith(NO_MODEL)


def test_model_of_unknown_size_is_told_and_costs_up_to_the_cap() -> None:
    found = Desk().estimate(model="my-own", max_cost_usd=2.5)

    assert (found.projected_cost_usd, found.confidence_score, found.warning) == (2.5, 0.8, NO_SIZE)
    assert Desk().estimate(model="my-own", min_vram_mb=8_000).confidence_score == 0.95


def test_higher_cap_than_the_caller_may_have_is_refused() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        Desk().estimate(max_cost_usd=11.0)

    assert caught.value.specific_code == "cost_cap_too_high"


@pytest.mark.parametrize("limit", ["max_dph_micro_usd", "max_micro_usd_per_hour"])
def test_machine_that_the_tenant_may_not_rent_is_no_estimate(limit: str) -> None:
    desk, tenant = Desk(), TenantSettings(**{limit: 1_500_000})  # type: ignore[arg-type]  # all numbers
    dear = an_offer(price_usd_per_hour=Decimal("2.4"), gpu_usd_per_hour=Decimal("2.4"), machine_id=5)
    desk.market.note(MarketRow(SCOPE, NOW, (dear,), 1))

    assert desk.estimate().offer is not None
    found = desk.estimate(tenant)
    assert (found.offer, found.confidence_score) == (None, 0.0)
    # 1.50 USD for an hour and five minutes, and the downloads.
    assert found.projected_cost_usd == pytest.approx(1.625 + 0.66)
    with pytest.raises(InvalidRequestError) as caught:
        desk.estimate(tenant, max_dph=1.6)
    assert (caught.value.specific_code, caught.value.pointer) == ("max_dph_too_high", "/max_dph")


def test_cap_below_a_millionth_of_a_dollar_is_no_cap() -> None:
    assert Desk().estimate(max_cost_usd=0.000_001).projected_cost_usd > 0

    with pytest.raises(ValidationError, match="max_cost_usd"):
        Desk().estimate(max_cost_usd=0.000_000_9)


def test_template_counts_where_the_tenant_may_name_it() -> None:
    allowed = TenantSettings(templates=frozenset({"h"}))

    # An unknown image may take 15 GB, three times.
    assert Desk().estimate(allowed, template_hash="h").projected_cost_usd == pytest.approx(3.91 + 0.78)
    assert NO_TEMPLATE in (Desk().estimate(allowed, template_hash="x").warning or "")
    assert NO_TEMPLATE not in (Desk().estimate(template_hash="x").warning or "")
