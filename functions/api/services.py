"""What the routes work with, as the app was given it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from fastapi import Request

from rune.agents.settings import AgentSettings
from rune.net.addresses import AddressPolicy
from rune.rentals.settings import KeepLimits
from rune.services.admission.requests import Renting
from rune.services.jobs import JobService
from rune.tenants.backends import BackendSettings
from rune.tenants.tokens import TokenSource

if TYPE_CHECKING:
    # Made for rare routes; a cold start does without their modules.
    from rune.llm.opener import OpenServer
    from rune.services.rentals import RentalService
    from rune.services.reports import ReportService


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
    reports, rentals, open_server
        Called by the routes that need them.
    tokens
        None where authentication is off, which development alone may have.
    can_rent
        Whether the deployment has an account with a provider of GPUs.
    """

    jobs: JobService
    reports: Callable[[], ReportService]
    tokens: TokenSource | None
    limiter: Limiter
    address_policy: AddressPolicy
    agents: AgentSettings
    backends: BackendSettings
    open_server: OpenServer
    rentals: Callable[[], RentalService]
    can_rent: bool
    keep_limits: KeepLimits

    def renting_of(self, tenant: str) -> Renting:
        """Return what a tenant may rent."""
        return Renting(is_possible=self.can_rent, longest_keep=self.keep_limits.of(tenant))


def services_of(request: Request) -> Services:
    """Return what the app was made with.

    A call and no dependency: FastAPI takes longer to resolve one than most routes take for all they do.
    """
    services: Services = request.app.state.services
    return services
