"""What an operator writes for one tenant: one JSON document, described here and printed in docs/tenants.md.

It holds keys, so no error and no `repr` made here shows one. `rune.tenants.reading` reads it entry by entry.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from rune.llm.bedrock_address import REGION
from rune.tenants.entries import NAME
from rune.tenants.tokens import Scope

MAX_URL_CHARS = 2048
MAX_CONTACT_CHARS = 200

DEFAULT_KEEP_LIMIT_SECONDS = 14_400
"""Four hours."""

MIN_KEEP_LIMIT_SECONDS = 60
MAX_KEEP_LIMIT_SECONDS = 604_800
"""The bounds of `keep_seconds` in a request."""

MIN_COST_USD = 0.01
MAX_COST_USD = 10_000.0
MAX_BUDGET_USD = 1_000_000.0
MAX_MACHINES = 1000
MAX_TOKEN_USD = 10_000.0
"""For a million tokens."""
MAX_WEIGHT = 100
MAX_JOBS = 1000
DEFAULT_MAX_WAITING_JOBS = 1000
MAX_WAITING_JOBS = 100_000
MAX_REQUESTS_PER_SECOND = 10_000
MIN_RUNTIME_SECONDS = 60
MAX_RUNTIME_SECONDS = 86_400

_URL = Annotated[str, Field(min_length=1, max_length=MAX_URL_CHARS)]
_EntryName = Annotated[str, Field(pattern=rf"^{NAME.pattern}$")]


class _Section(BaseModel):
    """A part of the document. Validators are built when the first document is read."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, hide_input_in_errors=True, defer_build=True
    )


def _listed(description: str, **more: Any) -> Any:  # noqa: ANN401  # as pydantic's own Field
    """Return a field for a JSON array, which strict pydantic takes for a list and not for a tuple."""
    return Field(description=description, strict=False, **more)


class TokenSettings(_Section):
    """A token that may not do everything, or not for ever."""

    hash: str = Field(description="`sha256:` and 64 hexadecimal digits.")
    scopes: tuple[str, ...] = _listed(
        "What it may do. A scope that is not understood gives nothing.",
        default=tuple(Scope),
    )
    expires_at: str | None = Field(
        None,
        description="From when on it opens nothing: date, time and time zone, as in `2027-01-31T00:00:00Z`.",
    )
    contact: Annotated[str, Field(min_length=1, max_length=MAX_CONTACT_CHARS)] | None = Field(
        None, description=f"Who has it, in at most {MAX_CONTACT_CHARS} characters. Only the operator sees it."
    )


class HolmesSettings(_Section):
    """A HolmesGPT server of the tenant's."""

    base_url: _URL = Field(description="Its address. A private network must be in `AllowedNetworks`.")
    api_key: SecretStr | None = Field(
        None, description="Its key, if it wants one: 8 to 4096 visible ASCII characters."
    )


class DriverSettings(_Section):
    """A server of the tenant's that speaks RUNE's remote driver protocol."""

    base_url: _URL = Field(description="Its address. A private network must be in `AllowedNetworks`.")
    token: SecretStr | None = Field(
        None, description="Its token, if it wants one: 8 to 4096 visible ASCII characters."
    )
    tenant: _EntryName = Field("default", description="The tenant there, as `X-Tenant-ID`.")
    action_timeout_seconds: int = Field(
        3600, ge=10, le=86_400, description="Seconds that an action may take there, at most."
    )


class A2aSettings(_Section):
    """An agent of the tenant's that speaks A2A 1.0."""

    base_url: _URL = Field(
        description="Its address, below which its card is. A private network must be in `AllowedNetworks`."
    )
    token: SecretStr | None = Field(
        None, description="Its bearer token, if it wants one: 8 to 4096 visible ASCII characters."
    )
    task_timeout_seconds: int = Field(
        3600, ge=10, le=86_400, description="Seconds that a task may take there, at most."
    )


class TenantAgents(_Section):
    """The agents of one tenant that need a setting."""

    holmes: HolmesSettings | None = Field(None, description="The agent `holmes`.")
    driver: DriverSettings | None = Field(None, description="The agent `driver`.")
    a2a: A2aSettings | None = Field(None, description="The agent `a2a`.")


class CredentialSettings(_Section):
    """A key, and the one server that gets it."""

    api_key: SecretStr = Field(description="The key: 8 to 4096 visible ASCII characters.")
    url: _URL = Field(
        description="The server: scheme, host and, where it is not the usual one, port. No path."
    )


class TokenPriceSettings(_Section):
    """What tokens of a model cost."""

    input_usd_per_million_tokens: float = Field(
        ge=0, le=MAX_TOKEN_USD, description="Dollars for a million tokens of prompts."
    )
    output_usd_per_million_tokens: float = Field(
        ge=0, le=MAX_TOKEN_USD, description="Dollars for a million tokens of answers."
    )


class BedrockSettings(_Section):
    """What a tenant may use of Amazon Bedrock, which bills the operator's account."""

    regions: Annotated[tuple[Annotated[str, Field(pattern=rf"^{REGION}$")], ...], Field(min_length=1)] = (
        _listed("AWS regions.")
    )
    models: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=2048)], ...], Field(min_length=1)
    ] = _listed("Ids or ARNs of models and inference profiles; `*` stands for any characters.")
    max_tokens_per_job: int = Field(
        1_000_000,
        ge=1,
        le=1_000_000_000,
        description="Tokens that one job may take at most, in and out together.",
    )
    prices: dict[Annotated[str, Field(min_length=1, max_length=2048)], TokenPriceSettings] = Field(
        {},
        description="Prices that hold before RUNE's list prices, by the name of a model or profile as in requests; "
        "`*` as in `models`. The exact name holds first, and of several others that match the dearest.",
    )

    def allows_model(self, model: str) -> bool:
        """Return whether a model or an inference profile, by id or ARN, is among those named."""
        return any(_matches(pattern, model) for pattern in self.models)

    def stated_prices(self, model: str) -> tuple[TokenPriceSettings, ...]:
        """Return the prices that may hold for a model or an inference profile; the dearest of them does."""
        if model in self.prices:
            return (self.prices[model],)
        return tuple(price for pattern, price in self.prices.items() if _matches(pattern, model))


class ClusterSettings(_Section):
    """A Kubernetes cluster that the tenant's jobs may name. Its credentials stand in a parameter of their own."""

    namespaces: tuple[Annotated[str, Field(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$")], ...] = (
        _listed("Namespaces that may be read; none for all that the credentials open.", default=())
    )


class TenantDocument(_Section):
    """All that an operator decides for one tenant. Every field is optional."""

    suspended: bool = Field(
        default=False,
        description="true refuses the tenant's tokens, those of `RUNE_API_TOKENS` too, and ends its jobs at their "
        "next step. Anything but true and false counts as true, and so does a field with almost this name.",
    )
    tokens: dict[_EntryName, str | TokenSettings] = Field(
        {},
        description="Tokens by a name of your choice, which stands beside what is done with the token. As a text: "
        "the hash of a token that may do everything, `sha256:` and 64 hexadecimal digits.",
    )
    tenants_of_tokens: dict[str, _EntryName] = Field(
        {},
        description="In the document of the tenant `default` alone: other tenants' names by the hashes of tokens "
        "(`sha256:` and 64 hexadecimal digits) that may come without `X-Tenant-ID`. The tenant named must have the "
        "token.",
    )
    agents: TenantAgents = Field(default_factory=TenantAgents, description="Agents that need a setting.")
    credentials: dict[_EntryName, CredentialSettings] = Field(
        {}, description="Keys of model servers, by the name that requests give in `backend_credential`."
    )
    clusters: dict[_EntryName, ClusterSettings] = Field(
        {},
        description="Clusters by the name that requests give in `cluster`. The credentials of each are the "
        "parameter `<TenantsPath>/<tenant>/clusters/<name>` ([clusters](kubernetes.md)).",
    )
    bedrock: BedrockSettings | None = Field(
        None, description="The tenant's share of Amazon Bedrock; without it there is none."
    )
    templates: tuple[str, ...] = _listed(
        "Templates of Vast.ai, by hash, that requests may name in `template_hash`; for others the plain image "
        "runs. Vast.ai "
        "hands the account's own environment variables to every template.",
        default=(),
    )
    weight: int = Field(
        1,
        ge=1,
        le=MAX_WEIGHT,
        description="Its share of the jobs that run while others wait: a tenant with 2 has twice as many running "
        "as one with 1.",
    )
    max_running_jobs: int = Field(
        MAX_JOBS, ge=1, le=MAX_JOBS, description="Most of its jobs that run at the same time."
    )
    max_waiting_jobs: int = Field(
        DEFAULT_MAX_WAITING_JOBS,
        ge=1,
        le=MAX_WAITING_JOBS,
        description="Most of its jobs that wait at the same time. A further one is refused with 429.",
    )
    max_polls_per_second: int | None = Field(
        None,
        ge=1,
        le=MAX_REQUESTS_PER_SECOND,
        description="Requests that read (`GET`) that it may send, per second over ten seconds; without it the "
        "deployment's `TenantPollsPerSecond`. Further ones are refused with 429 `too_many_polls`.",
    )
    max_submits_per_second: int | None = Field(
        None,
        ge=1,
        le=MAX_REQUESTS_PER_SECOND,
        description="All other requests that it may send, in the same way; without it the deployment's "
        "`TenantSubmitsPerSecond`. Further ones are refused with 429 `too_many_submits`.",
    )
    max_runtime_seconds: int | None = Field(
        None,
        ge=MIN_RUNTIME_SECONDS,
        le=MAX_RUNTIME_SECONDS,
        description="Seconds that a job may run, unless its request asks for less; without it the deployment's "
        "`MaxRuntimeSeconds`.",
    )
    max_cost_usd: float | None = Field(
        None,
        ge=MIN_COST_USD,
        le=MAX_COST_USD,
        description="Dollars that one job may cost, unless its request asks for less; without it the deployment's "
        "`MaxCostUsd`. A value that is not understood counts as the least.",
    )
    daily_budget_usd: float | None = Field(
        None,
        ge=0,
        le=MAX_BUDGET_USD,
        description="Dollars that its jobs may cost together in a day (UTC), what they have reserved included; 0 "
        "is nothing. Without it the deployment's `TenantDailyBudgetUsd`. A value that is not understood counts as "
        "0.",
    )
    monthly_budget_usd: float | None = Field(
        None,
        ge=0,
        le=MAX_BUDGET_USD,
        description="The same in a month; without it the deployment's `TenantMonthlyBudgetUsd`.",
    )
    max_machines: int | None = Field(
        None,
        ge=0,
        le=MAX_MACHINES,
        description="Most rented machines that it has at the same time, kept ones included; without it the "
        "deployment's `MaxMachines`. A job that would need one more waits.",
    )
    max_usd_per_hour: float | None = Field(
        None,
        ge=0,
        le=MAX_BUDGET_USD,
        description="Most dollars that its machines cost an hour together; without it the deployment's "
        "`MaxUsdPerHour`. A job that would pass it waits.",
    )
    max_dph: float | None = Field(
        None,
        ge=0,
        le=MAX_BUDGET_USD,
        description="Most dollars that one machine costs an hour; without it the deployment's `MaxDph`. A request "
        "that asks for more is refused.",
    )
    keep_limit_seconds: int = Field(
        DEFAULT_KEEP_LIMIT_SECONDS,
        ge=MIN_KEEP_LIMIT_SECONDS,
        le=MAX_KEEP_LIMIT_SECONDS,
        description="Seconds that a rented machine may be kept after its job, at most. A value that is not "
        "understood counts as the least.",
    )
    guard_instances: bool = Field(
        default=False,
        description="Whether machines that an `llm-instance` hands over ask for a key, which `POST "
        "/v1/rentals/{id}/key` tells. A client that reads `backend_url` alone cannot use them. Machines of other "
        "jobs ask for one in any case.",
    )


def _matches(pattern: str, text: str) -> bool:
    """Return whether the pattern, in which `*` stands for any characters, is the whole text.

    Each part between stars is taken where it first stands. A regular expression tries all places, in a time that
    doubles with each star.
    """
    first, *others = pattern.split("*")
    if not others:
        return text == first
    *middle, last = others
    if not text.startswith(first):
        return False
    start = len(first)
    for part in middle:
        found = text.find(part, start)
        if found < 0:
            return False
        start = found + len(part)
    return len(text) - start >= len(last) and text.endswith(last)
