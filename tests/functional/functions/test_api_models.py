from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal
from types import ModuleType
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

import httpx
import pytest

from api.routes import models
from local.simulators.ollama import SimulatedOllama, create_app
from local.simulators.serving import running_server
from rune.agents.holmes import HINT
from rune.aws.market_store import DynamoMarketStore
from rune.errors import AddressUnresolvedError, BadResponseError, RuneError, ServerAccessError
from rune.llm.opener import ServerOpener
from rune.llm.protocol import ModelServer
from rune.net.addresses import AddressPolicy
from rune.rentals.market import MarketRow, Scope
from tests.builders import NOW
from tests.cloud import TABLE
from tests.functional.functions.asking import (
    Response,
    a_problem,
    a_refusal,
    a_wrong_field,
    assert_problem,
    get,
)
from tests.functional.simulators.ollama_harness import FAST, TINY
from tests.unit.rentals.scripted import a_wanted, an_offer

if TYPE_CHECKING:
    from tests.cloud import Cloud

MODELS = "/v1/llm/models"
ALIAS = "/v1/ollama/models"
OF_DEPRECATION = {"deprecation", "sunset", "link"}
both_names = pytest.mark.parametrize("path", [MODELS, ALIAS])


@pytest.fixture(scope="module")
def ollama() -> Iterator[str]:
    """A simulated Ollama with one model in memory."""
    with running_server(create_app(SimulatedOllama(FAST))) as address:
        httpx.post(f"{address}/api/generate", json={"model": "llama3.1:8b", "stream": False})
        httpx.post(f"{address}/api/pull", json={"model": TINY.name, "stream": False})
        yield address


@dataclass
class FakeServer:
    """Answers after a while, or fails."""

    error: RuneError | None = None
    seconds: float = 0.0
    opened: list[tuple[str, str, AddressPolicy, str | None]] = field(default_factory=list)
    close_count: int = 0

    def open(self, kind: str, url: str, policy: AddressPolicy, api_key: str | None) -> ModelServer:
        self.opened.append((kind, url, policy, api_key))
        return cast("ModelServer", self)

    async def list_models(self) -> tuple[str, ...]:
        await asyncio.sleep(self.seconds)
        if self.error:
            raise self.error
        return ("llama3.1:8b",)

    async def list_running(self) -> tuple[str, ...]:
        return ()

    async def aclose(self) -> None:
        self.close_count += 1


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    server = FakeServer()

    def open_fake(self: ServerOpener, kind: str, url: str, api_key: str | None = None) -> ModelServer:
        return server.open(kind, url, self.policy, api_key)

    monkeypatch.setattr(ServerOpener, "__call__", open_fake)
    return server


def offered_by(api: ModuleType, url: str, kind: str = "ollama", path: str = MODELS) -> Response:
    return get(api, f"{path}?backend_url={quote(url, safe='')}&backend_type={kind}")


# ---------------------------------------------------------------- catalog


def test_catalog_holds_the_models_that_clients_know(api: ModuleType, cloud: Cloud) -> None:
    response = get(api, "/v1/catalog/vastai-models")

    assert response.status == 200
    found = [(m["name"], m["vram_mb"], m["required_disk_gb"]) for m in response.document["models"]]
    assert response.document.keys() == {"models"}
    assert response.document["models"][-1] == {
        "name": "llama3.1:8b",
        "vram_mb": 8_000,
        "required_disk_gb": 41,
        "parameters_billions": 8.03,
        "quantisation": "Q4_K_M",
        "context_tokens": 8_192,
        "weights_gb": 4.9,
        "licence": "Llama 3.1 Community License",
        "note": None,
        "last_seen": None,
    }
    # Disk by hand: ceil(GiB of memory x 1.15) + 32.
    assert found == [
        ("llama3.1:405b", 260_000, 324),
        ("mixtral:8x22b", 95_000, 139),
        ("command-r-plus:104b", 75_000, 117),
        ("qwen2.5-coder:72b", 55_000, 94),
        ("llama3.1:70b", 50_000, 89),
        ("mixtral:8x7b", 32_000, 68),
        ("command-r:35b", 28_000, 64),
        ("llama3.1:8b", 8_000, 41),
    ]
    assert cloud.operations == ["GetItem", "Query"]


def test_agents_are_listed_with_what_they_need_and_a_hint_where_the_tenant_lacks_it(api: ModuleType) -> None:
    response = get(api, "/v1/catalog/agents")

    agents = {agent["name"]: agent for agent in response.document["agents"]}
    assert response.status == 200
    assert agents["ask"] == {
        "name": "ask",
        "description": "Puts the question to the model and returns its answer. It has no tools.",
        "needs": ["model_server"],
        "is_available": True,
        "hint": None,
        "is_default": True,
        "streams_progress": True,
        "works_in_turns": False,
    }
    holmes = agents["holmes"]
    assert (holmes["needs"], holmes["is_available"], holmes["hint"]) == (["setting"], False, HINT)
    kubernetes = agents["kubernetes"]
    assert (kubernetes["needs"], kubernetes["is_available"]) == (["model_server", "cluster"], False)
    assert "No cluster is set up" in kubernetes["hint"]
    assert [name for name, agent in agents.items() if agent["is_default"]] == ["ask"]
    in_turns = {name: agent["works_in_turns"] for name, agent in agents.items()}
    assert in_turns == {"ask": False, "kubernetes": True, "holmes": False, "driver": True, "a2a": True}


def test_catalog_tells_the_cheapest_offer_that_fits_as_last_seen(api: ModuleType, cloud: Cloud) -> None:
    wanted = a_wanted(vram_mb=8_000)
    offers = (
        an_offer(offer_id=1, machine_id=1, vram_mb=24_564, price_usd_per_hour=Decimal("0.4")),
        an_offer(offer_id=2, machine_id=2, vram_mb=8_799, price_usd_per_hour=Decimal("0.1")),
    )
    seen = MarketRow(Scope.of(wanted), NOW, offers, len(offers))
    DynamoMarketStore(cloud.dynamodb, TABLE).note(seen)

    prices = {
        each["name"]: each["last_seen"] for each in get(api, "/v1/catalog/vastai-models").document["models"]
    }

    smallest = offers[0].usd_per_hour(41).quantize(Decimal("0.0001"), ROUND_CEILING)
    assert prices["llama3.1:8b"] == {
        "usd_per_hour": float(smallest),
        "gpu": offers[0].gpu_name,
        "gpu_count": 1,
        "as_of": NOW.isoformat().replace("+00:00", "Z"),
    }
    assert prices["command-r:35b"] is None


# ---------------------------------------------------------------- what a server offers


@both_names
def test_models_of_an_ollama_are_sorted_and_those_in_memory_named(
    path: str, api: ModuleType, cloud: Cloud, ollama: str
) -> None:
    response = get(api, f"{path}?backend_url={ollama}")

    models_offered = response.document["models"]
    assert (response.status, response.document) == (
        200,
        {
            "backend_url": ollama,
            "backend_type": "ollama",
            "models": models_offered,
            "running_models": ["llama3.1:8b"],
        },
    )
    assert models_offered == sorted(models_offered)
    assert {"llama3.1:8b", TINY.name} <= set(models_offered)
    assert cloud.operations == ["GetItem"]


def test_models_of_an_openai_server_are_those_it_lists(api: ModuleType, cloud: Cloud, ollama: str) -> None:
    response = offered_by(api, ollama, "openai")

    assert response.status == 200
    assert "llama3.1:8b" in response.document["models"]
    assert (response.document["backend_type"], response.document["running_models"]) == ("openai", [])


def test_old_name_says_that_it_will_go_and_what_to_call_instead(
    api: ModuleType, cloud: Cloud, fake: FakeServer
) -> None:
    old, new = (offered_by(api, "http://127.0.0.1:1", path=path) for path in (ALIAS, MODELS))

    assert old.document == new.document
    assert {name: old.headers[name] for name in OF_DEPRECATION} == {
        "deprecation": "@1795392000",
        "sunset": "Tue, 23 Nov 2027 00:00:00 GMT",
        "link": '</v1/llm/models>; rel="successor-version"',
    }
    assert not OF_DEPRECATION & new.headers.keys()


def test_server_is_opened_under_the_operators_policy_and_closed(
    api: ModuleType, cloud: Cloud, fake: FakeServer
) -> None:
    response = offered_by(api, "HTTP://127.0.0.1:80/", "openai")

    assert response.document["backend_url"] == "http://127.0.0.1"
    assert fake.opened == [("openai", "http://127.0.0.1", AddressPolicy.parse("127.0.0.0/8"), None)]
    assert fake.close_count == 1


# ---------------------------------------------------------------- refusals


@both_names
def test_server_that_does_not_answer_is_a_bad_gateway(path: str, api: ModuleType, cloud: Cloud) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        response = offered_by(api, f"http://127.0.0.1:{unused.getsockname()[1]}", path=path)

    sentence = "No connection to the server could be made."
    assert_problem(response, a_problem(502, "server_unreachable", sentence))


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ServerAccessError("It wants a key."), 502),
        (BadResponseError("It is no model server."), 502),
        (AddressUnresolvedError("The name has no address."), 422),
    ],
    ids=lambda value: getattr(value, "code", str(value)),
)
def test_failure_of_the_server_is_told_with_its_name(
    error: RuneError, status: int, api: ModuleType, cloud: Cloud, fake: FakeServer
) -> None:
    fake.error = error

    assert_problem(offered_by(api, "http://127.0.0.1"), a_problem(status, error.code, error.sentence))
    assert fake.close_count == 1


def test_server_that_is_slow_is_given_up(
    api: ModuleType, cloud: Cloud, fake: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "LONGEST_WAIT_SECONDS", 0.01)
    fake.seconds = 30

    response = offered_by(api, "http://127.0.0.1")

    assert_problem(
        response, a_problem(502, "server_timeout", "The server did not answer within 0.01 seconds.")
    )
    assert fake.close_count == 1


REFUSED = {
    "no address": (
        "",
        a_refusal("backend_url_missing", "/backend_url", "Name a running model server in backend_url."),
    ),
    "empty": (
        "?backend_url=",
        a_refusal("backend_url_missing", "/backend_url", "Name a running model server in backend_url."),
    ),
    "long": (
        f"?backend_url=http://a.example/{'x' * 2048}",
        a_wrong_field("/backend_url", "String should have at most 2048 characters."),
    ),
    "kind": (
        "?backend_url=http://127.0.0.1&backend_type=sagemaker",
        a_wrong_field("/backend_type", "Input should be 'ollama', 'openai' or 'bedrock'."),
    ),
    "bedrock": (
        "?backend_type=bedrock",
        a_refusal("bedrock_not_allowed", "/backend_type", "Your tenant may not use Amazon Bedrock here."),
    ),
    "credential": (
        "?backend_url=http://127.0.0.1&backend_credential=lab",
        a_refusal("credential_unknown", "/backend_credential", "Your tenant has no credential of this name."),
    ),
    "private": (
        "?backend_url=http://10.1.2.3:11434",
        a_refusal(
            "address_refused",
            "/backend_url",
            "'10.1.2.3' is in a network to which RUNE does not connect.",
        ),
    ),
    "metadata": (
        "?backend_url=http://169.254.169.254/latest",
        a_refusal(
            "address_refused",
            "/backend_url",
            "'169.254.169.254' is in a network to which RUNE does not connect.",
        ),
    ),
}


@both_names
@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.usefixtures("cloud")
def test_address_is_refused_before_anything_is_sent(
    refused: tuple[str, dict[str, object]], path: str, api: ModuleType, fake: FakeServer
) -> None:
    query, problem = refused

    assert_problem(get(api, path + query), problem)
    assert fake.opened == []
