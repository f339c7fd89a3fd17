"""A simulated machine asks for a key where its order's script and variables make the real one ask for it."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from local.simulators.serving import running_server
from local.simulators.vastai import BootScript, VastaiSettings
from local.simulators.vastai.app import create_app
from local.simulators.vastai.local_stack import LocalVastai, quick_settings
from rune.errors import ServerAccessError
from rune.llm.opener import ServerOpener
from rune.net.addresses import AddressPolicy
from rune.rentals import guard, self_destruct
from tests.functional.simulators.ollama_harness import FAST, TINY, wait_until
from tests.functional.simulators.test_vastai import OFFER

KEY = "of-this-machine"
BOOT = BootScript(null_seconds=0.05, loading_seconds=0.1, restart_seconds=0.05, slow_app_seconds=1.0)
SETTINGS = replace(quick_settings(VastaiSettings(offers=(OFFER,), rate_limits=False)), boot=BOOT)
ENV = {**guard.make_environment(KEY), "-p 11434:11434": "1"}
OPEN_ENV = {**ENV, guard.HOST_VARIABLE: "0.0.0.0:11434"}
GUARDED = guard.guard_start(self_destruct.START)
OPEN = self_destruct.START


@pytest.fixture
def api() -> Iterator[httpx.Client]:
    local = LocalVastai.create(SETTINGS, ollama=replace(FAST, pullable=(TINY,)))
    headers = {"Authorization": f"Bearer {SETTINGS.api_key}"}
    with (
        running_server(create_app(local)) as address,
        httpx.Client(base_url=address, headers=headers, timeout=10) as client,
    ):
        yield client


def order(script: str | None, env: dict[str, str]) -> dict[str, object]:
    args: dict[str, object] = {"args": ["serve"]}
    if script is not None:
        args = {"onstart": "/bin/sh", "args": ["-c", script]}
    return {"image": "ollama/ollama", "runtype": "args", "disk": 40, "env": env, **args}


def rent(api: httpx.Client, body: dict[str, object]) -> tuple[str, dict[str, Any]]:
    """Return the address of a machine, and how the API lists it."""
    contract_id = api.put("/api/v0/asks/111/", json=body).json()["new_contract"]

    def show() -> dict[str, Any]:
        shown: dict[str, Any] = api.get(f"/api/v0/instances/{contract_id}/").json()["instances"]
        return shown

    wait_until(lambda: show()["ports"])
    shown = show()
    return f"http://{shown['public_ipaddr']}:{shown['ports']['11434/tcp'][0]['HostPort']}", shown


@pytest.mark.parametrize("script", [GUARDED, self_destruct.make_script("https://console.vast.ai", GUARDED)])
def test_guarded_machine_answers_its_key_alone(api: httpx.Client, script: str) -> None:
    address, _ = rent(api, order(script, ENV))

    answers = [
        httpx.get(f"{address}{path}", headers={"Authorization": authorization})
        for path in ("/api/tags", "/", "/v1/models", "/api/version")
        for authorization in (f"Bearer {KEY}", "Bearer wrong", "", f"Basic {KEY}")
    ]

    assert [answer.status_code for answer in answers] == [200, 401, 401, 401] * 4
    assert {answer.headers["connection"] for answer in answers} == {"close"}


@pytest.mark.parametrize(
    ("script", "env"), [(OPEN, OPEN_ENV), (None, OPEN_ENV), (None, {"-p 11434:11434": "1"})]
)
def test_machine_is_open_where_its_script_starts_no_proxy(
    api: httpx.Client, script: str | None, env: dict[str, str]
) -> None:
    address, _ = rent(api, order(script, env))

    assert httpx.get(f"{address}/api/tags").status_code == 200


@pytest.mark.parametrize("script", [OPEN, None])
def test_machine_that_does_not_run_the_proxy_is_closed_and_not_open(
    api: httpx.Client, script: str | None
) -> None:
    address, _ = rent(api, order(script, ENV))

    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address}/api/tags", headers={"Authorization": f"Bearer {KEY}"})


def test_listing_shows_an_orders_variables_and_no_key(api: httpx.Client) -> None:
    _, shown = rent(api, order(GUARDED, ENV))

    assert [guard.DIGEST_VARIABLE, ENV[guard.DIGEST_VARIABLE]] in shown["extra_env"]
    assert KEY not in json.dumps(shown)


def test_server_is_used_with_the_key_and_refuses_who_has_none(api: httpx.Client) -> None:
    address, _ = rent(api, order(GUARDED, ENV))
    open_server = ServerOpener(AddressPolicy.parse("127.0.0.0/8"))

    async def list_models(key: str | None) -> tuple[str, ...]:
        server = open_server("ollama", address, key)
        try:
            return await server.list_models()
        finally:
            await server.aclose()

    assert asyncio.run(list_models(KEY)) == ()
    with pytest.raises(ServerAccessError):
        asyncio.run(list_models(None))
