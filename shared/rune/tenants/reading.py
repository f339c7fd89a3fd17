"""Reading a tenant's document entry by entry, so that one that is not understood disables itself alone."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from difflib import SequenceMatcher
from functools import partial
from typing import Any

from rune.amounts import to_micro_usd
from rune.net.addresses import AddressPolicy
from rune.tenants.backends import Credential, TenantBackends, origin_of
from rune.tenants.document import (
    MAX_BUDGET_USD,
    MAX_COST_USD,
    MAX_JOBS,
    MAX_KEEP_LIMIT_SECONDS,
    MAX_MACHINES,
    MAX_REQUESTS_PER_SECOND,
    MAX_RUNTIME_SECONDS,
    MAX_WAITING_JOBS,
    MAX_WEIGHT,
    MIN_COST_USD,
    MIN_KEEP_LIMIT_SECONDS,
    MIN_RUNTIME_SECONDS,
    A2aSettings,
    BedrockSettings,
    ClusterSettings,
    CredentialSettings,
    DriverSettings,
    HolmesSettings,
    TenantAgents,
    TenantDocument,
)
from rune.tenants.entries import NAME, TENANT, EntryError, RefusedEntry
from rune.tenants.keys import check_key, read_url
from rune.tenants.settings import TenantSettings
from rune.tenants.shapes import validate
from rune.tenants.token_entries import read_token_entry
from rune.tenants.tokens import Token, read_hash

type _AgentServer = HolmesSettings | DriverSettings | A2aSettings

_AGENT_SERVERS: Mapping[str, type[_AgentServer]] = {
    "holmes": HolmesSettings,
    "driver": DriverSettings,
    "a2a": A2aSettings,
}
"""By the name of the agent."""

_MAX_TEMPLATE_CHARS = 256
"""As in a request's `template_hash`."""

_ALMOST_RATIO = 0.6
"""How alike a field's name and `suspended` are, 0 to 1, that one counts as the other: `suspension` is 0.63."""


@dataclass(frozen=True, slots=True)
class DocumentContext:
    """What a document is judged by.

    Attributes
    ----------
    policy
        A key goes over plain HTTP only into networks that it allows by name.
    home_region
        The deployment's own.
    has_bedrock
        Whether the deployment may use Bedrock at all; without it no tenant may.
    """

    policy: AddressPolicy
    home_region: str = ""
    has_bedrock: bool = False


def read_document(
    json_text: str, context: DocumentContext
) -> tuple[TenantSettings, tuple[RefusedEntry, ...]]:
    """Return what is understood of a tenant's document, and what is not.

    A text that is no JSON object says nothing of the tenant, not even that it is not suspended: so it is.
    """
    try:
        members = json.loads(json_text, object_pairs_hook=_with_one_value_each)
    except (ValueError, RecursionError):
        members = None
    if not isinstance(members, dict):
        refused = RefusedEntry("document", "It is no JSON object, so the tenant is suspended.")
        return TenantSettings(is_suspended=True), (refused,)
    reader = _Reader(members, context)
    return reader.read(), tuple(reader.refused)


class _NoValue:
    """Stands for the value of a name that stands twice in its object, or beside null. No field takes it."""


def _with_one_value_each(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    members: dict[str, object] = {}
    for name, value in pairs:
        members[name] = _NoValue() if name in members or value is None else value
    return members


class _Reader:
    """Reads each entry by itself, and remembers those that it refuses."""

    def __init__(self, members: Mapping[str, object], context: DocumentContext) -> None:
        self._members = members
        self._context = context
        self.refused: list[RefusedEntry] = []

    def read(self) -> TenantSettings:
        """Return the settings that the understood entries make."""
        unknown = self._members.keys() - TenantDocument.model_fields.keys()
        meant_to_suspend = any(map(_is_almost_suspended, unknown))
        if unknown:
            # Not named: a name in the wrong place may be a key.
            self._refuse("…", f"{len(unknown)} fields have names that RUNE does not know.")
        if meant_to_suspend:
            self._refuse("suspended", "A field has almost this name, and suspends the tenant.")
        bedrock = self._read_one("bedrock", "bedrock", lambda value: validate(BedrockSettings, value))
        settings = TenantSettings(
            is_suspended=self._read_true_or_false("suspended") or meant_to_suspend,
            tokens=tuple(self._read_named("tokens", self._read_token).values()),
            tenants_of_tokens={
                read_hash(text): tenant
                for text, tenant in self._read_named("tenants_of_tokens", _read_tenant_of_token).items()
            },
            agents=self._read_agents(),
            backends=TenantBackends(
                self._read_named("credentials", self._read_credential),
                bedrock if self._context.has_bedrock else None,
                self._context.home_region,
            ),
            clusters=self._read_named("clusters", _read_cluster),
            templates=frozenset(self._read_templates()),
            guards_instances=self._read_true_or_false("guard_instances"),
        )
        return replace(settings, **self._read_limits())

    def _read_limits(self) -> dict[str, Any]:
        """Return the limits that stand in the document. One that is not understood counts as the least."""
        limits: dict[str, Any] = {}
        for name, (field, least, most) in _LIMITS.items():
            number = self._read_one(name, name, partial(_read_limit, least, most), otherwise=least)
            if number is not None:
                limits[field] = timedelta(seconds=number) if name.endswith("_seconds") else number
        cost = self._read_one(
            "max_cost_usd", "max_cost_usd", _read_cost, otherwise=to_micro_usd(MIN_COST_USD)
        )
        if cost is not None:
            limits["max_cost_micro_usd"] = cost
        for name, field in _AMOUNTS.items():
            amount = self._read_one(name, name, _read_amount, otherwise=0)
            if amount is not None:
                limits[field] = amount
        return limits

    def _read_true_or_false(self, name: str) -> bool:
        """Return an entry of which true is the safe direction."""
        value = self._members.get(name, False)
        if isinstance(value, bool):
            return value
        self._refuse(name, "It is neither true nor false, and counts as true.")
        return True

    def _read_token(self, name: str, value: object) -> Token:
        token, unknown_count = read_token_entry(name, value)
        if unknown_count:
            number = [*self._members["tokens"]].index(name) + 1  # type: ignore[misc]  # an object, as it has this entry
            self._refuse(f"tokens/{number}", "It names scopes that RUNE does not know, which give nothing.")
        return token

    def _read_agents(self) -> TenantAgents:
        agents = self._read_named("agents", self._read_agent)
        return TenantAgents().model_copy(update=agents)

    def _read_agent(self, name: str, value: object) -> _AgentServer:
        kind = _AGENT_SERVERS.get(name)
        if kind is None:
            raise EntryError("There is no such agent.")
        settings = validate(kind, value)
        url = read_url(settings.base_url)
        key = settings.api_key if isinstance(settings, HolmesSettings) else settings.token
        if key is not None:
            check_key(key.get_secret_value(), url, self._context.policy)
        return settings

    def _read_credential(self, name: str, value: object) -> Credential:
        if not NAME.fullmatch(name):
            raise EntryError("Its name is none: letters, digits, `_`, `.` and `-`, at most 64 of them.")
        credential = validate(CredentialSettings, value)
        url = read_url(credential.url)
        if url.url.count("/") > len("//"):
            raise EntryError("A credential belongs to a whole server: give no path in url.")
        api_key = credential.api_key.get_secret_value()
        check_key(api_key, url, self._context.policy)
        return Credential(origin_of(url), api_key)

    def _read_templates(self) -> Iterable[str]:
        values = self._members.get("templates", [])
        if not isinstance(values, list):
            self._refuse("templates", "It is no array.")
            return
        for number, value in enumerate(values, start=1):
            if isinstance(value, str) and 0 < len(value) <= _MAX_TEMPLATE_CHARS:
                yield value
            else:
                self._refuse(
                    f"templates/{number}", f"It is no text of 1 to {_MAX_TEMPLATE_CHARS} characters."
                )

    def _read_named[T](self, section: str, read: Callable[[str, object], T]) -> dict[str, T]:
        """Return the understood entries of a section that holds entries by name."""
        entries = self._members.get(section, {})
        if not isinstance(entries, dict):
            self._refuse(section, "It is no object that stands there once.")
            return {}
        found = {}
        for number, (name, value) in enumerate(entries.items(), start=1):
            try:
                found[name] = read(name, value)
            except EntryError as error:
                # By its number: where a name and a secret are exchanged, the name is the secret.
                self._refuse(f"{section}/{number}", error.sentence)
        return found

    def _read_one[T](
        self, name: str, place: str, read: Callable[[object], T], otherwise: T | None = None
    ) -> T | None:
        """Return an entry that stands for itself; None where there is none."""
        if name not in self._members:
            return None
        try:
            return read(self._members[name])
        except EntryError as error:
            self._refuse(place, error.sentence)
            return otherwise

    def _refuse(self, place: str, reason: str) -> None:
        self.refused.append(RefusedEntry(place, reason))


def _read_cluster(name: str, value: object) -> ClusterSettings:
    if not NAME.fullmatch(name):
        raise EntryError("Its name is none: letters, digits, `_`, `.` and `-`, at most 64 of them.")
    return validate(ClusterSettings, value)


def _is_almost_suspended(name: str) -> bool:
    return SequenceMatcher(None, "suspended", name.lower()).ratio() >= _ALMOST_RATIO


def _read_tenant_of_token(text: str, value: object) -> str:
    read_hash(text)
    if not isinstance(value, str) or not TENANT.fullmatch(value):
        raise EntryError("It is no tenant's name that stands there once.")
    return value


_LIMITS = {
    "keep_limit_seconds": ("keep_limit", MIN_KEEP_LIMIT_SECONDS, MAX_KEEP_LIMIT_SECONDS),
    "max_runtime_seconds": ("max_runtime", MIN_RUNTIME_SECONDS, MAX_RUNTIME_SECONDS),
    "max_machines": ("max_machines", 0, MAX_MACHINES),
    "max_polls_per_second": ("max_polls_per_second", 1, MAX_REQUESTS_PER_SECOND),
    "max_submits_per_second": ("max_submits_per_second", 1, MAX_REQUESTS_PER_SECOND),
    "max_running_jobs": ("max_running_jobs", 1, MAX_JOBS),
    "max_waiting_jobs": ("max_waiting_jobs", 1, MAX_WAITING_JOBS),
    "weight": ("weight", 1, MAX_WEIGHT),
}
"""Of each number in the document: its name in `TenantSettings`, the least and the most."""


_AMOUNTS = {
    "daily_budget_usd": "daily_budget_micro_usd",
    "monthly_budget_usd": "monthly_budget_micro_usd",
    "max_usd_per_hour": "max_micro_usd_per_hour",
    "max_dph": "max_dph_micro_usd",
}
"""Of each amount of dollars in the document: its name in `TenantSettings`."""


def _read_limit(least: int, most: int, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise EntryError(f"It is no whole number from {least} to {most}, and counts as {least}.")
    return value


def _read_amount(value: object) -> int:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= MAX_BUDGET_USD:
        raise EntryError(f"It is no number from 0 to {MAX_BUDGET_USD:g}, and counts as 0.")
    return to_micro_usd(value)


def _read_cost(value: object) -> int:
    if (
        not isinstance(value, int | float)
        or isinstance(value, bool)
        or not MIN_COST_USD <= value <= MAX_COST_USD
    ):
        raise EntryError(
            f"It is no number from {MIN_COST_USD:g} to {MAX_COST_USD:g}, and counts as {MIN_COST_USD:g}."
        )
    return to_micro_usd(value)
