"""Which agents a tenant may use, and where they are.

One JSON text for all tenants, from the environment or SSM:
`{"default": {"holmes": {"base_url": "https://holmes.example", "api_key": "…"}}}`. It holds keys, so no message
made here repeats any of it, and no `repr` shows one.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError

from rune.errors import AddressRefusedError, SettingsError
from rune.net.addresses import AddressPolicy, parse_backend_url
from rune.tenants.tokens import TENANT

_KEY = re.compile(r"[\x21-\x7e]{8,4096}")
"""What fits into a header. Not shorter: a key that is part of a word could not be kept out of an answer."""

_EVERYWHERE = AddressPolicy.parse("0.0.0.0/0, ::/0")


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class HolmesSettings(_Settings):
    """A HolmesGPT server, and the key it wants, if any."""

    base_url: Annotated[str, Field(min_length=1, max_length=2048)]
    api_key: SecretStr | None = None


class TenantAgents(_Settings):
    """The agents of one tenant that need a setting."""

    holmes: HolmesSettings | None = None


_BY_TENANT = TypeAdapter(dict[str, TenantAgents])


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """The agents of all tenants."""

    by_tenant: Mapping[str, TenantAgents] = field(default_factory=dict)

    @classmethod
    def parse(cls, json_text: str) -> Self:
        """Return the settings; a blank text means that no agent is set up for anybody.

        Raises
        ------
        SettingsError
            It is not JSON of that shape, or holds an address or a key that cannot be one. The message names the
            tenant and the field, never a value.
        """
        if not json_text.strip():
            return cls()
        try:
            by_tenant = _BY_TENANT.validate_json(json_text)
        except ValidationError as error:
            places = sorted({"/".join(str(part) for part in item["loc"]) for item in error.errors()})
            # Without its cause: pydantic's error carries the text itself.
            raise SettingsError(
                f"The settings of agents are wrong at: {', '.join(places)[:500] or 'the text'}."
            ) from None
        for tenant, agents in by_tenant.items():
            _check(tenant, agents)
        return cls(by_tenant)

    def of(self, tenant: str) -> TenantAgents:
        """Return what is set up for the tenant; nothing of one tenant serves another."""
        return self.by_tenant.get(tenant, TenantAgents())


def _check(tenant: str, agents: TenantAgents) -> None:
    if not TENANT.fullmatch(tenant):
        raise SettingsError("The settings of agents hold a name that is no tenant's.")
    if agents.holmes is None:
        return
    place = f"{tenant}/holmes"
    try:
        # The shape alone: whether RUNE may go there is the policy's matter, where the agent is opened.
        parse_backend_url(agents.holmes.base_url, _EVERYWHERE)
    except AddressRefusedError as error:
        raise SettingsError(
            f"The settings of agents are wrong at: {place}/base_url. {error.sentence}"
        ) from None
    if agents.holmes.api_key is not None and not _KEY.fullmatch(agents.holmes.api_key.get_secret_value()):
        raise SettingsError(
            f"The settings of agents are wrong at: {place}/api_key. A key is 8 to 4096 printable ASCII characters"
            " without spaces."
        )
