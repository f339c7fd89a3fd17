"""What RUNE knows of a tenant, and where it comes from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol, override

from rune.tenants.backends import NO_BACKENDS, TenantBackends
from rune.tenants.document import (
    DEFAULT_KEEP_LIMIT_SECONDS,
    DEFAULT_MAX_WAITING_JOBS,
    MAX_JOBS,
    ClusterSettings,
    TenantAgents,
)
from rune.tenants.tokens import Scope, Token, TokenBook, find_token

TEMPLATE_NOT_ALLOWED = "Your tenant may not name this template; the operator allows templates by hash."
"""Why a job fails whose template the operator no longer allows when the machine is ordered."""


@dataclass(frozen=True, slots=True)
class TenantSettings:
    """One tenant's settings, as understood.

    Attributes
    ----------
    is_suspended
        Whether its tokens open nothing and its jobs end at their next step.
    tokens
        From both sources: the tenant's document, then `RUNE_API_TOKENS`. Expired ones are among them.
    tenants_of_tokens
        Of the tenant `default`: which other tenant is meant, by the digest of a token that names none.
    clusters
        Clusters that its jobs may name, without their credentials.
    templates
        Templates of the provider that its requests may name.
    keep_limit
        How long it may keep a rented machine after its job, at most.
    weight
        Its share of the jobs that run while jobs wait.
    max_running_jobs, max_waiting_jobs
        Most of its jobs that run, and that wait, at the same time.
    max_polls_per_second, max_submits_per_second
        Requests that it may send, those that read and the others; None leaves each at the deployment's limit.
    max_runtime
        How long its jobs may run; None leaves it at the deployment's limit.
    max_cost_micro_usd
        What each of its jobs may cost; None leaves it at the deployment's limit.
    daily_budget_micro_usd, monthly_budget_micro_usd
        What its jobs may cost together in a day, and in a month; None leaves it, and those below, at the
        deployment's limit.
    max_machines, max_micro_usd_per_hour
        Most machines that it has at the same time, and most that they cost an hour together.
    max_dph_micro_usd
        Most that one of them costs an hour.
    guards_instances
        Whether machines that are handed over ask for a key.
    has_document
        Whether the operator has written a document for it. Without one, its tokens alone make it a tenant.
    """

    is_suspended: bool = False
    tokens: tuple[Token, ...] = ()
    tenants_of_tokens: Mapping[bytes, str] = field(default_factory=dict)
    # Without its validator, which is 10 ms of the first request and has nothing to validate here.
    agents: TenantAgents = field(default_factory=TenantAgents.model_construct)
    backends: TenantBackends = NO_BACKENDS
    clusters: Mapping[str, ClusterSettings] = field(default_factory=dict)
    templates: frozenset[str] = frozenset()
    keep_limit: timedelta = timedelta(seconds=DEFAULT_KEEP_LIMIT_SECONDS)
    weight: int = 1
    max_running_jobs: int = MAX_JOBS
    max_waiting_jobs: int = DEFAULT_MAX_WAITING_JOBS
    max_polls_per_second: int | None = None
    max_submits_per_second: int | None = None
    max_runtime: timedelta | None = None
    max_cost_micro_usd: int | None = None
    daily_budget_micro_usd: int | None = None
    monthly_budget_micro_usd: int | None = None
    max_machines: int | None = None
    max_micro_usd_per_hour: int | None = None
    max_dph_micro_usd: int | None = None
    guards_instances: bool = False
    has_document: bool = False

    def find_token(self, text: str) -> Token | None:
        """Return the tenant's token that the text is, an expired one too."""
        return find_token(self.tokens, text)

    def readers_digests(self, now: datetime) -> tuple[bytes, ...]:
        """Return the digests of the tokens that may read and have not expired."""
        closed = {
            token.digest for token in self.tokens if token.has_expired(now) or Scope.READ not in token.scopes
        }
        return tuple(token.digest for token in self.tokens if token.digest not in closed)


class TenantSource(Protocol):
    """Where the settings of this moment are."""

    def recall(self, tenant: str) -> TenantSettings | None:
        """Return the settings without a call; None where one would be needed."""
        ...

    def of(self, tenant: str) -> TenantSettings:
        """Return the settings; raises SettingsUnavailableError if they cannot be known now."""
        ...

    def reread(self, tenant: str) -> TenantSettings:
        """Return the settings after another look, since a server has refused a key that they hold.

        Raises
        ------
        SettingsUnavailableError
            They cannot be known now.
        """
        ...


class FixedTenants(TenantSource):
    """Settings that never change: those given, and for other tenants the tokens of a book alone."""

    def __init__(
        self, given: Mapping[str, TenantSettings] | None = None, book: TokenBook | None = None
    ) -> None:
        self._given = given or {}
        self._book = book or TokenBook()

    @override
    def recall(self, tenant: str) -> TenantSettings:
        return self._given.get(tenant) or TenantSettings(tokens=self._book.tokens_of(tenant))

    @override
    def of(self, tenant: str) -> TenantSettings:
        return self.recall(tenant)

    @override
    def reread(self, tenant: str) -> TenantSettings:
        return self.recall(tenant)
