import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from local.simulators.ollama.models import card_for
from local.simulators.serving import running_server
from local.simulators.vastai import BootFailure, BootScript, SimulatedOffer, VastaiSettings
from local.simulators.vastai.__main__ import parse_settings
from local.simulators.vastai.app import create_app
from local.simulators.vastai.local_stack import LocalVastai, quick_settings
from tests.functional.simulators.ollama_harness import FAST, TINY, wait_until

OFFER = SimulatedOffer(
    offer_id=111,
    machine_id=27_111,
    gpu_name="RTX 4090",
    gpu_usd_per_hour=0.36,
    gpu_ram_mb=24_564,
    inet_down_usd_per_gb=0.01,
)
OFFERS = (OFFER, replace(OFFER, offer_id=112, machine_id=27_112))
BOOT = BootScript(null_seconds=0.05, loading_seconds=0.1, restart_seconds=0.05, slow_app_seconds=1.0)
SETTINGS = replace(quick_settings(VastaiSettings(offers=OFFERS, rate_limits=False)), boot=BOOT)
ORDER = {"image": "ollama/ollama", "runtype": "args", "disk": 40, "label": "rune-1"}
HEADERS = {"Authorization": f"Bearer {SETTINGS.api_key}"}


@pytest.fixture
def local() -> LocalVastai:
    return LocalVastai.create(SETTINGS, ollama=replace(FAST, pullable=(TINY, card_for("llama3.1:70b"))))


@pytest.fixture
def api(local: LocalVastai) -> Iterator[httpx.Client]:
    with (
        running_server(create_app(local)) as address,
        httpx.Client(base_url=address, headers=HEADERS, timeout=10) as client,
    ):
        yield client


def rent(api: httpx.Client, offer_id: int = 111) -> int:
    created = api.put(f"/api/v0/asks/{offer_id}/", json=ORDER).json()
    assert created["success"] is True
    assert isinstance(created["new_contract"], int)
    return created["new_contract"]


def show(api: httpx.Client, contract_id: int) -> dict[str, Any]:
    shown: dict[str, Any] = api.get(f"/api/v0/instances/{contract_id}/").json()["instances"]
    return shown


def wait_for_address(api: httpx.Client, contract_id: int) -> str:
    wait_until(lambda: show(api, contract_id)["ports"])
    shown = show(api, contract_id)
    return f"http://{shown['public_ipaddr']}:{shown['ports']['11434/tcp'][0]['HostPort']}"


def add_fault(api: httpx.Client, **fault: object) -> None:
    assert api.post("/_sim/faults", json=[fault]).status_code == 200


def test_life_of_an_instance_from_search_to_bill(api: httpx.Client) -> None:
    offer = api.post("/api/v0/bundles/", json={"num_gpus": {"eq": "1"}, "allocated_storage": 40}).json()[
        "offers"
    ][0]
    contract_id = rent(api, offer["id"])
    assert show(api, contract_id)["actual_status"] in {None, "loading"}
    address = wait_for_address(api, contract_id)
    assert httpx.get(f"{address}/api/tags").json() == {"models": []}
    pulled = httpx.post(f"{address}/api/pull", json={"model": "tiny:1b"}).text
    assert pulled.splitlines()[-1] == '{"status":"success"}'
    asked = {"model": "tiny:1b", "messages": [{"role": "user", "content": "Why?"}], "stream": False}
    assert httpx.post(f"{address}/api/chat", json=asked).json()["done"] is True

    assert api.request("DELETE", f"/api/v0/instances/{contract_id}/", json={}).json()["success"] is True
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address}/api/tags")
    assert api.get("/api/v1/instances/").json()["instances"] == []
    told = api.get("/_sim/instances").json()["instances"][0]
    assert (told["exists"], told["destroyed_by"], told["label"]) == (False, "account", "rune-1")
    # 1.9 GB of image and the model's megabyte, at a cent for a gigabyte.
    assert told["bill"]["download_usd"] == pytest.approx(0.01901, abs=2e-6)
    assert api.get("/_sim/bill").json()["total_usd"] == told["bill"]["total_usd"] < 0.03


def test_answers_of_a_machine_are_billed_as_uploads(api: httpx.Client, local: LocalVastai) -> None:
    contract_id = rent(api)
    address = wait_for_address(api, contract_id)
    before = local.host.traffic(contract_id)
    answered = httpx.get(f"{address}/api/tags").content
    assert local.host.traffic(contract_id).sent_bytes - before.sent_bytes == len(answered)

    stream = {"contract_id": contract_id, "received_bytes": 1_000_000_000, "sent_bytes": 500_000_000_000}
    bill = api.post("/_sim/traffic", json=stream).json()["bill"]
    assert (bill["upload_usd"], bill["download_usd"]) == (pytest.approx(1.0, abs=1e-4), pytest.approx(0.029))


def test_control_raises_a_price(api: httpx.Client) -> None:
    contract_id = rent(api)
    assert api.post("/_sim/price", json={"contract_id": contract_id, "price_factor": 2}).is_success
    assert show(api, contract_id)["dph_base"] == pytest.approx(0.72)
    assert api.post("/_sim/price", json={"contract_id": 1, "price_factor": 2}).status_code == 404


def test_models_stay_on_a_disk_that_is_stopped_and_not_on_one_that_is_destroyed(api: httpx.Client) -> None:
    contract_id = rent(api)
    address = wait_for_address(api, contract_id)
    httpx.post(f"{address}/api/pull", json={"model": "tiny:1b"}).raise_for_status()
    path = f"/api/v0/instances/{contract_id}/"
    api.put(path, json={"state": "stopped"})
    api.put(path, json={"state": "running"})
    restarted = wait_for_address(api, contract_id)
    assert httpx.get(f"{restarted}/api/tags").json()["models"][0]["name"] == "tiny:1b"
    api.request("DELETE", path, json={})
    other = wait_for_address(api, rent(api, 112))
    assert httpx.get(f"{other}/api/tags").json() == {"models": []}


def test_destroyed_machine_breaks_what_is_under_way(api: httpx.Client) -> None:
    contract_id = rent(api)
    address = wait_for_address(api, contract_id)
    with httpx.stream("POST", f"{address}/api/pull", json={"model": "llama3.1:70b"}, timeout=10) as pulling:
        lines = pulling.iter_lines()
        assert any('"completed"' in line for line in lines)
        api.request("DELETE", f"/api/v0/instances/{contract_id}/", json={})
        with pytest.raises(httpx.TransportError):
            list(lines)


def test_machines_start_by_themselves_without_a_request(api: httpx.Client, local: LocalVastai) -> None:
    contract_id = rent(api)
    contract = local.vastai.world.account.instances[contract_id]
    wait_until(lambda: contract.host_port)
    seconds_since_contract = time.time() - contract.created_at
    assert BOOT.null_seconds + BOOT.loading_seconds <= seconds_since_contract < 1
    assert local.vastai.requests.select(method="GET") == []


def test_slow_app_refuses_connections_until_it_opens(api: httpx.Client) -> None:
    add_fault(api, kind="boot", boot=BootFailure.SLOW_APP)
    address = wait_for_address(api, rent(api))
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address}/api/version")
    api.post("/_sim/clock", json={"advance_seconds": 2})

    def answers() -> bool:
        try:
            return httpx.get(f"{address}/api/version").is_success
        except httpx.ConnectError:
            return False

    wait_until(answers)


def test_wrong_port_refuses_connections(api: httpx.Client) -> None:
    add_fault(api, kind="boot", boot=BootFailure.WRONG_PORT)
    address = wait_for_address(api, rent(api))
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address}/api/version")


def test_search_answers_with_a_bare_content_type(api: httpx.Client) -> None:
    response = api.post("/api/v0/bundles/", json={})
    assert response.headers.get_list("content-type") == ["application/json"]


def test_search_refuses_a_body_that_is_no_json(api: httpx.Client) -> None:
    response = api.post("/api/v0/bundles/", content=b"{", headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()["msg"]) == (400, "Invalid json body")


def test_v0_list_is_gone(api: httpx.Client) -> None:
    response = api.get("/api/v0/instances/")
    assert (response.status_code, response.json()["error"]) == (410, "deprecated_endpoint")


def test_ask_is_taken_once(api: httpx.Client) -> None:
    rent(api)
    assert api.put("/api/v0/asks/111/", json=ORDER).json()["error"] == "invalid_args"
    assert [offer["id"] for offer in api.post("/api/v0/bundles/", json={}).json()["offers"]] == [112]


@pytest.mark.parametrize("after_effect", [False, True])
def test_lost_answer_breaks_the_connection(api: httpx.Client, *, after_effect: bool) -> None:
    add_fault(api, kind="disconnected", endpoint="create", after_effect=after_effect)
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        api.put("/api/v0/asks/111/", json=ORDER)
    listed = api.get("/api/v1/instances/", params={"select_filters": '{"label": {"eq": "rune-1"}}'}).json()
    assert listed["instances_found"] == int(after_effect)


def test_hanging_answer_is_held_until_the_client_leaves(api: httpx.Client) -> None:
    add_fault(api, kind="hang", endpoint="list")
    with pytest.raises(httpx.ReadTimeout):
        api.get("/api/v1/instances/", timeout=0.3)
    assert api.get("/api/v1/instances/").json()["total_instances"] == 0


@pytest.mark.parametrize(
    ("fault", "status", "content_type"),
    [
        ({"kind": "bad_gateway"}, 502, "text/html; charset=utf-8"),
        ({"kind": "too_frequent"}, 429, "text/plain; charset=utf-8"),
        ({"kind": "too_frequent", "retry_after_seconds": 3}, 429, "text/plain; charset=utf-8"),
        ({"kind": "server_error"}, 500, "application/json"),
    ],
)
def test_failure_arrives_as_sent(
    api: httpx.Client, fault: dict[str, Any], status: int, content_type: str
) -> None:
    add_fault(api, **fault)
    response = api.get("/api/v1/instances/")
    assert (response.status_code, response.headers["content-type"]) == (status, content_type)
    assert response.headers.get("retry-after") == ("3" if "retry_after_seconds" in fault else None)


def test_new_contract_is_not_readable_at_once_when_reads_lag(api: httpx.Client) -> None:
    add_fault(api, kind="read_lag", reads_count=1, delay_seconds=1_000)
    contract_id = rent(api)
    assert [show(api, contract_id) is None for _ in range(2)] == [True, False]
    assert api.get("/api/v1/instances/").json()["instances"] == []


def test_destroyed_instance_stays_listed_when_destruction_is_slow(api: httpx.Client) -> None:
    add_fault(api, kind="destroy_slow", delay_seconds=100)
    contract_id = rent(api)
    assert api.request("DELETE", f"/api/v0/instances/{contract_id}/", json={}).is_success
    assert api.get("/api/v1/instances/").json()["total_instances"] == 1
    api.post("/_sim/clock", json={"advance_seconds": 100})
    assert api.get("/api/v1/instances/").json()["total_instances"] == 0


def test_wrong_key_looks_like_nothing_found(api: httpx.Client) -> None:
    response = api.get("/api/v0/instances/1/", headers={"Authorization": "Bearer wrong"})
    assert (response.status_code, response.json()["error"]) == (404, "auth_error")


def test_calls_that_come_too_early_are_refused() -> None:
    limited = LocalVastai.create(replace(SETTINGS, rate_limits=True))
    with running_server(create_app(limited)) as address:
        statuses = [httpx.get(f"{address}/api/v1/instances/", headers=HEADERS).status_code for _ in range(2)]
    assert statuses == [200, 429]


def test_credit_that_is_used_up_stops_the_machine_and_its_server(api: httpx.Client) -> None:
    contract_id = rent(api)
    address = wait_for_address(api, contract_id)
    api.post("/_sim/clock", json={"advance_seconds": 400 * 3_600})
    assert show(api, contract_id)["actual_status"] == "stopped"
    assert api.get("/api/v0/users/current").json()["credit"] < 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address}/api/version")


def test_queued_start_is_told_in_words_alone(api: httpx.Client) -> None:
    contract_id = rent(api)
    path = f"/api/v0/instances/{contract_id}/"
    api.put(path, json={"state": "stopped"})
    add_fault(api, kind="gpu_taken", delay_seconds=1_000)
    queued = api.put(path, json={"state": "running"})
    assert (queued.status_code, "state change queued" in queued.json()["msg"]) == (200, True)


def test_wrong_slash_is_redirected(api: httpx.Client) -> None:
    response = api.get("/api/v1/instances")
    assert (response.status_code, response.headers["location"]) == (308, "/api/v1/instances/")


def test_log_appears_after_a_while(api: httpx.Client) -> None:
    contract_id = rent(api)
    wait_for_address(api, contract_id)
    asked = api.put(f"/api/v0/instances/request_logs/{contract_id}/", json={"tail": "5"}).json()
    assert httpx.get(asked["result_url"]).status_code == 404
    wait_until(lambda: httpx.get(asked["result_url"]).is_success)
    assert "Listening" in httpx.get(asked["result_url"]).text


def test_control_loses_a_machine_and_lists_what_named_a_foreign_one(api: httpx.Client) -> None:
    contract_id = rent(api)
    foreign = api.post("/_sim/foreign", json={"label": "other-user"}).json()["contract_id"]
    api.post("/_sim/instances", json={"contract_id": contract_id, "loss": "vanished"})
    assert [row["id"] for row in api.get("/api/v1/instances/").json()["instances"]] == [foreign]
    api.put(f"/api/v0/instances/{foreign}/", json={"label": "rune"})
    touched = api.get("/_sim/foreign").json()["touched"]
    assert [(record["method"], record["contract_ids"]) for record in touched] == [("PUT", [foreign])]
    created = api.get("/_sim/requests", params={"endpoint": "create"}).json()["requests"]
    assert [record["body"]["label"] for record in created] == ["rune-1"]


def test_control_changes_the_key_and_opens_another_account(api: httpx.Client) -> None:
    rent(api)
    api.post("/_sim/accounts", json={"api_key": "other", "credit_usd": 3}).raise_for_status()
    api.post("/_sim/key", json={"api_key": "new"}).raise_for_status()
    counts = {}
    for key in (SETTINGS.api_key, "new", "other"):
        headers = {"Authorization": f"Bearer {key}"}
        counts[key] = api.get("/api/v1/instances/", headers=headers).json().get("total_instances")
    assert counts == {SETTINGS.api_key: None, "new": 1, "other": 0}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/_sim/clock", {"advance_seconds": -1}),
        ("/_sim/faults", [{"kind": "nothing"}]),
        ("/_sim/foreign", {"lable": "x"}),
        ("/_sim/instances", {"contract_id": 1, "loss": "stolen"}),
        ("/_sim/traffic", {"contract_id": 1, "sent_bytes": -1}),
        ("/_sim/price", {"contract_id": 1, "price_factor": 0}),
        ("/_sim/key", {"api_key": ""}),
        ("/_sim/accounts", {"credit_usd": 1}),
    ],
)
def test_control_refuses_what_it_cannot_read(api: httpx.Client, path: str, body: object) -> None:
    assert api.post(path, json=body).status_code == 422


def test_boot_takes_some_three_seconds_and_a_pull_four_in_the_local_stack() -> None:
    settings, ollama, port = parse_settings(["--port", "0", "--no-rate-limits"])
    boot_seconds = settings.boot.null_seconds + settings.boot.loading_seconds
    assert settings.download_bytes_per_second is not None
    pull_seconds = 4_920_738_944 / settings.download_bytes_per_second
    assert (boot_seconds, round(pull_seconds), ollama.load_seconds, port) == (3.0, 4, 1.5, 0)
