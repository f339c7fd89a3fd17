"""Who may call, where the tokens live in SSM or in the environment."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.client import BaseClient
from botocore.exceptions import EndpointConnectionError

from rune.errors import SettingsError, StoreUnavailableError
from tests.builders import TOKEN, FakeClock
from tests.functional.functions.asking import (
    OF_ACME,
    UNAUTHORIZED,
    a_problem,
    assert_problem,
    get,
)
from tests.functional.functions.loading import loaded

if TYPE_CHECKING:
    from tests.cloud import Cloud

NAME = "/rune/test/tokens"
LIST = "/v1/jobs"
OLD = "old-token-of-default-0123456789-abcdef"
NEW = "new-token-of-default-0123456789-abcdef"
ACMES = "one-token-of-acme-0123456789-abcdefgh"


class Parameter:
    """The tokens, as the operator keeps them."""

    def __init__(self) -> None:
        self._client: Any = boto3.client("ssm")

    def write(self, *entries: str) -> None:
        self._client.put_parameter(Name=NAME, Value=",".join(entries), Type="SecureString", Overwrite=True)

    def delete(self) -> None:
        self._client.delete_parameter(Name=NAME)


@pytest.fixture
def parameter(cloud: Cloud) -> Parameter:
    held = Parameter()
    held.write(f"default:{OLD}", f"acme:{ACMES}")
    return held


@pytest.fixture
def api(cloud: Cloud, parameter: Parameter) -> Iterator[ModuleType]:
    """An API without tokens in its environment."""
    with loaded("api.handler", from_parameter(cloud)) as handler:
        yield handler


def from_parameter(cloud: Cloud) -> dict[str, str]:
    return {**cloud.environment, "RUNE_API_TOKENS": "", "RUNE_API_TOKENS_PARAMETER": NAME}


def admitted(api: ModuleType, address: str, headers: dict[str, str] | None = None) -> list[str]:
    tokens = {"old": OLD, "new": NEW, "acme's": ACMES}
    return [
        name
        for name, token in tokens.items()
        if get(api, LIST, headers, token=token, address=address).status == 200
    ]


def test_token_of_the_parameter_opens_its_tenant(api: ModuleType, address: str) -> None:
    assert admitted(api, address) == ["old"]
    assert admitted(api, address, OF_ACME) == ["acme's"]


def test_parameter_is_read_at_start_and_then_every_30_seconds(
    api: ModuleType, cloud: Cloud, clock: FakeClock, address: str
) -> None:
    cloud.calls.clear()
    for _ in range(3):
        get(api, LIST, token=OLD, address=address)
    clock.advance(30)
    for _ in range(3):
        get(api, LIST, token=OLD, address=address)

    assert cloud.operations.count("GetParameter") == 1


def test_tokens_rotate_without_a_moment_in_which_nobody_is_admitted(
    api: ModuleType, parameter: Parameter, clock: FakeClock, address: str
) -> None:
    parameter.write(f"default:{OLD}", f"default:{NEW}")
    clock.advance(30)
    both = admitted(api, address)
    parameter.write(f"default:{NEW}")
    clock.advance(30)

    assert (both, admitted(api, address)) == (["old", "new"], ["new"])


def test_revoked_token_is_refused_30_seconds_later(
    api: ModuleType, parameter: Parameter, clock: FakeClock, address: str
) -> None:
    get(api, LIST, token=OLD, address=address)
    parameter.write(f"default:{NEW}", f"acme:{ACMES}")
    clock.advance(29.999)
    before = admitted(api, address)
    clock.advance(0.001)
    response = get(api, LIST, token=OLD, address=address)

    assert before == ["old"]
    assert_problem(response, a_problem(401, "unauthorized", UNAUTHORIZED))
    assert admitted(api, address) == ["new"]


def test_token_may_be_kept_as_its_hash(
    api: ModuleType, parameter: Parameter, clock: FakeClock, address: str
) -> None:
    digest = hashlib.sha256(NEW.encode()).hexdigest()
    parameter.write(f"default:sha256:{digest}")
    clock.advance(30)

    assert admitted(api, address) == ["new"]
    assert get(api, LIST, token=f"sha256:{digest}", address=address).status == 401


def test_last_tokens_hold_while_the_parameter_is_broken_and_then_nobodys(
    api: ModuleType, parameter: Parameter, clock: FakeClock, address: str
) -> None:
    parameter.delete()
    clock.advance(329)
    during = admitted(api, address)
    clock.advance(1)
    response = get(api, LIST, token=OLD, address=address)

    assert during == ["old"]
    assert_problem(response, a_problem(503, "store_unavailable", "The tokens cannot be read now."))
    assert response.headers["retry-after"] == "1"


def test_nobody_is_counted_as_failing_while_tokens_cannot_be_known(
    api: ModuleType, parameter: Parameter, clock: FakeClock, cloud: Cloud, address: str
) -> None:
    parameter.delete()
    clock.advance(331)

    for _ in range(12):
        assert get(api, LIST, token=NEW, address=address).status == 503
    assert cloud.rows() == []


def test_start_is_refused_when_the_parameter_is_not_there(cloud: Cloud, parameter: Parameter) -> None:
    parameter.delete()

    with pytest.raises(StoreUnavailableError), loaded("api.handler", from_parameter(cloud)):
        pass


@pytest.mark.parametrize("text", [",", "default", "default:short", f"{OLD}:default"])
def test_start_is_refused_when_the_parameter_is_no_use(text: str, cloud: Cloud, parameter: Parameter) -> None:
    parameter.write(text)

    with pytest.raises(SettingsError, match=NAME) as raised, loaded("api.handler", from_parameter(cloud)):
        pass

    assert not {"short", OLD} & set(str(raised.value).replace(":", " ").split())


def test_start_is_refused_when_ssm_is_away(
    cloud: Cloud, parameter: Parameter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise EndpointConnectionError(endpoint_url="https://ssm")

    monkeypatch.setattr(BaseClient, "_make_api_call", fail)

    with pytest.raises(StoreUnavailableError), loaded("api.handler", from_parameter(cloud)):
        pass


@pytest.mark.parametrize("tokens", ["", " , ", "   "])
def test_start_is_refused_when_nobody_could_call(tokens: str, cloud: Cloud) -> None:
    with (
        pytest.raises(SettingsError, match="RUNE_API_TOKENS is empty"),
        loaded("api.handler", {**cloud.environment, "RUNE_API_TOKENS": tokens}),
    ):
        pass


@pytest.mark.parametrize(
    "tokens", ["default:a-token-of-31-characters-000000", f"{TOKEN}", f"default;{TOKEN}"]
)
def test_start_is_refused_when_a_token_is_no_use(tokens: str, cloud: Cloud) -> None:
    with (
        pytest.raises(SettingsError, match="RUNE_API_TOKENS holds an entry") as raised,
        loaded("api.handler", {**cloud.environment, "RUNE_API_TOKENS": tokens}),
    ):
        pass

    assert TOKEN not in str(raised.value)
    assert "a-token-of-31" not in str(raised.value)


def test_tenant_has_several_tokens_in_the_environment_too(cloud: Cloud, address: str) -> None:
    tokens = f"default:{OLD}, default:sha256:{hashlib.sha256(NEW.encode()).hexdigest()}"

    with loaded("api.handler", {**cloud.environment, "RUNE_API_TOKENS": tokens}) as handler:
        assert admitted(handler, address) == ["old", "new"]
