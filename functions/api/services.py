"""What the routes work with, as the app was given it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from fastapi import Request

from rune.clock import Clock
from rune.contracts.workloads import PROCESS_CONCURRENCY
from rune.net.addresses import AddressPolicy
from rune.services.jobs import JobService
from rune.tenants.rates import TenantRates
from rune.tenants.settings import TenantSource
from rune.tenants.uses import TokenUses

if TYPE_CHECKING:
    # Made for rare routes; a cold start does without their modules.
    from rune.llm.opener import OpenServer
    from rune.rentals.market import MarketRow
    from rune.services.baselines import BaselineService
    from rune.services.estimates import EstimateService
    from rune.services.finops import FinopsService
    from rune.services.links import LinkService
    from rune.services.rentals import RentalService
    from rune.services.reports import ReportService
    from rune.services.schedules import ScheduleService
    from rune.services.stopping import Stopping
    from rune.services.suites import SuiteService
    from rune.services.usage import UsageService
    from rune.services.webhooks import WebhookService


class Limiter(Protocol):
    """Counts failed authentications; every answer is for how many seconds the subject is blocked, or None."""

    def recall(self, subject: str) -> int | None:
        """Answer from memory, without a call."""
        ...

    def read(self, subject: str) -> int | None:
        """Answer from the table."""
        ...

    def count_failure(self, subject: str) -> int | None:
        """Count one more failure."""
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """Everything behind the API.

    Attributes
    ----------
    reports, rentals, links, schedules, webhooks, usage, finops, estimates, baselines, suites, stopping, open_server
        Called by what needs them.
    market
        Reads what searches have last seen of the market.
    rates
        Refuses what a tenant sends above its limits.
    has_authentication
        False in development alone.
    can_rent
        Whether the deployment has an account with a provider of GPUs.
    most_concurrency
        Most requests that a benchmark has under way.
    """

    clock: Clock
    jobs: JobService
    reports: Callable[[], ReportService]
    tenants: TenantSource
    limiter: Limiter
    token_uses: TokenUses
    rates: TenantRates
    address_policy: AddressPolicy
    open_server: OpenServer
    rentals: Callable[[], RentalService]
    links: Callable[[], LinkService]
    schedules: Callable[[], ScheduleService]
    webhooks: Callable[[], WebhookService]
    usage: Callable[[], UsageService]
    finops: Callable[[], FinopsService]
    estimates: Callable[[], EstimateService]
    baselines: Callable[[], BaselineService]
    suites: Callable[[], SuiteService]
    market: Callable[[], tuple[MarketRow, ...]]
    stopping: Callable[[], Stopping]
    can_rent: bool
    has_authentication: bool = True
    most_concurrency: int = PROCESS_CONCURRENCY


def services_of(request: Request) -> Services:
    """Return what the app was made with.

    A call and no dependency: FastAPI takes longer to resolve one than most routes take for all they do.
    """
    services: Services = request.app.state.services
    return services
