"""Which model servers a tenant may use in the operator's name: credentials by name, and Amazon Bedrock.

One JSON text for all tenants, from SSM:
`{"default": {"credentials": {"lab": {"api_key": "…", "url": "https://llm.example"}},
"bedrock": {"regions": ["us-east-1"], "models": ["anthropic.claude-*"]}}}`. It holds keys, so no message made here
repeats any of it, and no `repr` shows one.

A credential belongs to one origin (scheme, host and port): a request that names it beside another address is
refused, so that no caller can have a key sent to a server of his own. Bedrock bills the operator's account, so
nobody may use it unless both the deployment and the tenant's entry say so.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Annotated, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError

from rune.errors import AddressRefusedError, InvalidRequestError, SettingsError
from rune.llm.bedrock_address import REGION, bedrock_region, bedrock_url, not_bedrocks
from rune.net.addresses import AddressPolicy, BackendUrl, numeric_address, parse_backend_url
from rune.tenants.tokens import TENANT

_KEY = re.compile(r"[\x21-\x7e]{8,4096}")
"""What fits into a header; not shorter than what could stand in a sentence by chance."""

_EVERYWHERE = AddressPolicy.parse("0.0.0.0/0, ::/0")

type Origin = tuple[str, str, int]
"""Scheme, host and port."""


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class CredentialSettings(_Settings):
    """A key, and the one server that gets it: scheme, host and, where it is not the usual one, port."""

    api_key: SecretStr
    url: Annotated[str, Field(min_length=1, max_length=2048)]


class BedrockSettings(_Settings):
    """Where a tenant may use Bedrock, which models there (`*` in a name stands for anything), and how much."""

    regions: Annotated[tuple[Annotated[str, Field(pattern=rf"^{REGION}$")], ...], Field(min_length=1)]
    models: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=2048)], ...], Field(min_length=1)]
    max_tokens_per_job: Annotated[int, Field(ge=1, le=1_000_000_000)] = 1_000_000
    """That one job may take at most, in and out together; the operator pays for them."""

    def allows_model(self, model: str) -> bool:
        """Return whether a model or an inference profile, by id or ARN, is among those named."""
        return any(
            re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), model) for pattern in self.models
        )


class _TenantSettings(_Settings):
    credentials: dict[str, CredentialSettings] = {}
    bedrock: BedrockSettings | None = None


_BY_TENANT = TypeAdapter(dict[str, _TenantSettings])


@dataclass(frozen=True, slots=True)
class Credential:
    """A key and whose it is."""

    origin: Origin
    api_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TenantBackends:
    """What one tenant may use.

    Attributes
    ----------
    bedrock
        None where the tenant, or the whole deployment, may not use it.
    home_region
        The deployment's own, in which Bedrock is used where a request names no address.
    """

    credentials: Mapping[str, Credential] = field(default_factory=dict)
    bedrock: BedrockSettings | None = None
    home_region: str = ""


NO_BACKENDS = TenantBackends()


@dataclass(frozen=True, slots=True)
class BackendSettings:
    """What all tenants may use."""

    by_tenant: Mapping[str, TenantBackends] = field(default_factory=dict)

    @classmethod
    def parse(
        cls, json_text: str, policy: AddressPolicy, *, home_region: str = "", has_bedrock: bool = False
    ) -> Self:
        """Return the settings; a blank text means that nobody has anything.

        Parameters
        ----------
        policy
            A key goes over plain HTTP only into networks that it allows by name.
        has_bedrock
            Whether the deployment may use Bedrock at all; without it no tenant may.

        Raises
        ------
        SettingsError
            It is not JSON of that shape, or holds an address or a key that cannot be one. The message names the
            tenant and the field, never a value.
        """
        if not json_text.strip():
            return cls()
        try:
            given = _BY_TENANT.validate_json(json_text)
        except ValidationError as error:
            places = sorted({_place_of(item["type"], item["loc"]) for item in error.errors()})
            # Without its cause: pydantic's error carries the text itself.
            raise _wrong_at(", ".join(places)[:500] or "the text") from None
        return cls(
            {
                tenant: TenantBackends(
                    _read_credentials(tenant, settings, policy),
                    settings.bedrock if has_bedrock else None,
                    home_region,
                )
                for tenant, settings in given.items()
            }
        )

    def of(self, tenant: str) -> TenantBackends:
        """Return what the tenant may use; nothing of one tenant serves another."""
        return self.by_tenant.get(tenant, NO_BACKENDS)


class BackendChoice(Protocol):
    """What a request says of a model server that is there; `rune.contracts` has several such documents."""

    @property
    def backend_url(self) -> str | None:
        """Its address; Bedrock needs none."""
        ...

    @property
    def backend_type(self) -> str:
        """Its kind."""
        ...

    @property
    def backend_credential(self) -> str | None:
        """The name of the tenant's credential for it."""
        ...


def check_backend(
    backends: TenantBackends,
    choice: BackendChoice,
    policy: AddressPolicy,
    *,
    model: str | None = None,
    pointer: str = "",
) -> str:
    """Return the server's address in its one spelling, where the tenant may use the server as it wants to.

    Parameters
    ----------
    model
        What is to run on it; None asks for no model, as a list of models does.
    pointer
        JSON pointer of the document that holds the three fields, for the refusal.

    Raises
    ------
    InvalidRequestError
        No address; one that RUNE does not go to; a credential that the tenant does not have, or that belongs to
        another server; Bedrock, a region or a model there that the tenant may not use. The code tells which.
    """
    if choice.backend_type == "bedrock":
        return _check_bedrock(backends, choice, model, pointer)
    url = _judge(choice.backend_url, policy, pointer)
    _find_credential(backends, choice, url, pointer)
    return url.url


def api_key_for(backends: TenantBackends, choice: BackendChoice, *, model: str | None = None) -> str | None:
    """Return the key to be sent to the server that was chosen; None where none was named.

    Judges all but the address again: what the operator took away since the job was accepted is gone.

    Raises
    ------
    InvalidRequestError
        As `check_backend`.
    """
    if choice.backend_type == "bedrock":
        _check_bedrock(backends, choice, model, "")
        return None
    if choice.backend_credential is None:
        return None
    return _find_credential(backends, choice, _judge(choice.backend_url, _EVERYWHERE, ""), "")


def _check_bedrock(backends: TenantBackends, choice: BackendChoice, model: str | None, pointer: str) -> str:
    if choice.backend_credential is not None:
        raise InvalidRequestError(
            "Amazon Bedrock is used with the deployment's own account and takes no credential.",
            pointer=f"{pointer}/backend_credential",
            code="credential_wrong_server",
        )
    if backends.bedrock is None:
        raise InvalidRequestError(
            "Your tenant may not use Amazon Bedrock here.",
            pointer=f"{pointer}/backend_type",
            code="bedrock_not_allowed",
        )
    region = backends.home_region if choice.backend_url is None else bedrock_region(choice.backend_url)
    if region is None:
        raise not_bedrocks(f"{pointer}/backend_url")
    if region not in backends.bedrock.regions:
        raise InvalidRequestError(
            f"Your tenant may not use Amazon Bedrock in {region or 'an unknown region'}.",
            pointer=f"{pointer}/backend_url",
            code="bedrock_region_not_allowed",
        )
    if model is not None and not backends.bedrock.allows_model(model):
        raise InvalidRequestError(
            f"Your tenant may not use the model {model!r} on Amazon Bedrock.",
            pointer=f"{pointer}/model",
            code="bedrock_model_not_allowed",
        )
    return bedrock_url(region)


def _judge(url: str | None, policy: AddressPolicy, pointer: str) -> BackendUrl:
    if url is None:
        raise InvalidRequestError(
            "Name a running model server in backend_url.",
            pointer=f"{pointer}/backend_url",
            code="backend_url_missing",
        )
    try:
        return parse_backend_url(url, policy)
    except AddressRefusedError as error:
        raise InvalidRequestError(error.sentence, pointer=f"{pointer}/backend_url", code=error.code) from None


def _find_credential(
    backends: TenantBackends, choice: BackendChoice, url: BackendUrl, pointer: str
) -> str | None:
    name = choice.backend_credential
    if name is None:
        return None
    credential = backends.credentials.get(name)
    if credential is None:
        raise InvalidRequestError(
            f"Your tenant has no credential {name!r}.",
            pointer=f"{pointer}/backend_credential",
            code="credential_unknown",
        )
    if credential.origin != _origin_of(url):
        raise InvalidRequestError(
            f"The credential {name!r} belongs to another server than the one in backend_url.",
            pointer=f"{pointer}/backend_credential",
            code="credential_wrong_server",
        )
    return credential.api_key


def _read_credentials(tenant: str, settings: _TenantSettings, policy: AddressPolicy) -> dict[str, Credential]:
    if not TENANT.fullmatch(tenant):
        raise SettingsError("The settings of backends hold a name that is no tenant's.")
    return {
        name: _read_credential(f"{tenant}/credentials/{name}", name, credential, policy)
        for name, credential in settings.credentials.items()
    }


def _read_credential(
    place: str, name: str, settings: CredentialSettings, policy: AddressPolicy
) -> Credential:
    if not TENANT.fullmatch(name):
        raise SettingsError("The settings of backends hold a credential whose name is none.")
    try:
        # The shape alone: whether RUNE may go there is judged with every request that names it.
        url = parse_backend_url(settings.url, _EVERYWHERE)
    except AddressRefusedError as error:
        raise _wrong_at(f"{place}/url", error.sentence) from None
    if url.url.count("/") > len("//"):
        raise _wrong_at(f"{place}/url", "A credential belongs to a whole server: give no path.")
    if url.scheme != "https" and not _is_near(url.host, policy):
        raise _wrong_at(
            f"{place}/url", "A key travels over https, or by number into a network that the operator allows."
        )
    api_key = settings.api_key.get_secret_value()
    if not _KEY.fullmatch(api_key):
        raise _wrong_at(f"{place}/api_key", "A key is 8 to 4096 printable ASCII characters without spaces.")
    return Credential(_origin_of(url), api_key)


def _is_near(host: str, policy: AddressPolicy) -> bool:
    address = IPv4Address("127.0.0.1") if f".{host}".endswith(".localhost") else numeric_address(host)
    return address is not None and any(address in network for network in policy.allowed_networks)


def _origin_of(url: BackendUrl) -> Origin:
    # example.com. and example.com are one name.
    return url.scheme, url.host.removesuffix("."), url.port


def _place_of(problem: str, location: tuple[int | str, ...]) -> str:
    # The name of a field that RUNE does not know may be a key in the wrong place.
    known = (*location[:-1], "…") if problem == "extra_forbidden" else location
    return "/".join(str(part) for part in known)


def _wrong_at(place: str, why: str = "") -> SettingsError:
    return SettingsError(f"The settings of backends are wrong at: {place}.{why and ' '}{why}")
