"""Which model servers a tenant may use in the operator's name: with which key, and which of Amazon Bedrock.

A credential belongs to one origin (scheme, host and port). A request that names it beside another address is
refused, so that no caller can have a key sent to a server of his own. Bedrock bills the operator's account. It is
used only where both the deployment and the tenant's document say so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from rune.errors import AddressRefusedError, InvalidRequestError
from rune.llm.bedrock_address import bedrock_region, bedrock_url, not_bedrocks
from rune.net.addresses import AddressPolicy, BackendUrl, parse_backend_url
from rune.tenants.document import BedrockSettings

_EVERYWHERE = AddressPolicy.parse("0.0.0.0/0, ::/0")

type Origin = tuple[str, str, int]
"""Scheme, host and port."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A key, and the server that gets it."""

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


class NamedBackend(Protocol):
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
    choice: NamedBackend,
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
    url = _judge(choice, policy, pointer)
    _find_credential(backends, choice, url, pointer)
    return url.url


def api_key_for(backends: TenantBackends, choice: NamedBackend, *, model: str | None = None) -> str | None:
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
    return _find_credential(backends, choice, _judge(choice, _EVERYWHERE, ""), "")


def _check_bedrock(backends: TenantBackends, choice: NamedBackend, model: str | None, pointer: str) -> str:
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


def _judge(choice: NamedBackend, policy: AddressPolicy, pointer: str) -> BackendUrl:
    if choice.backend_url is None:
        raise InvalidRequestError(
            "Name a running model server in backend_url.",
            pointer=f"{pointer}/backend_url",
            code="backend_url_missing",
        )
    try:
        # As the opener of servers judges it.
        return parse_backend_url(choice.backend_url, policy, may_name_version=choice.backend_type == "openai")
    except AddressRefusedError as error:
        raise InvalidRequestError(error.sentence, pointer=f"{pointer}/backend_url", code=error.code) from None


def _find_credential(
    backends: TenantBackends, choice: NamedBackend, url: BackendUrl, pointer: str
) -> str | None:
    name = choice.backend_credential
    if name is None:
        return None
    credential = backends.credentials.get(name)
    if credential is None:
        raise InvalidRequestError(
            # The name is not repeated: people paste a key where its name belongs.
            "Your tenant has no credential of this name.",
            pointer=f"{pointer}/backend_credential",
            code="credential_unknown",
        )
    if credential.origin != origin_of(url):
        raise InvalidRequestError(
            f"The credential {name!r} belongs to another server than the one in backend_url.",
            pointer=f"{pointer}/backend_credential",
            code="credential_wrong_server",
        )
    return credential.api_key


def origin_of(url: BackendUrl) -> Origin:
    """Return the origin of an address."""
    # example.com. and example.com are one name.
    return url.scheme, url.host.removesuffix("."), url.port
