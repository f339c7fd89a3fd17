from typing import Any

import pytest

from local.simulators.vastai import SimulatedTemplate
from local.simulators.vastai.orders import OrderError, read_order
from tests.unit.local.vastai_caller import Caller

TEMPLATE = SimulatedTemplate(
    template_id=7,
    hash_id="abc",
    name="worker",
    image="ollama/ollama",
    tag="0.9.0",
    env="-e OLLAMA_HOST=0.0.0.0 -e MODEL='two words' -p 11434:11434",
)
TEMPLATES = {TEMPLATE.hash_id: TEMPLATE}


def test_request_wins_over_its_template() -> None:
    order = read_order({"template_hash_id": "abc", "env": {"MODEL": "llama3"}, "disk": 40}, TEMPLATES)
    assert (order.image, order.runtype, order.template_id) == ("ollama/ollama:0.9.0", "args", 7)
    assert order.env == {"OLLAMA_HOST": "0.0.0.0", "MODEL": "llama3"}  # noqa: S104 # nothing is bound
    assert order.port_keys == ("11434/tcp",)


def test_nulls_of_the_official_client_count_as_not_given() -> None:
    nulls = dict.fromkeys(("image", "onstart", "label", "price", "runtype", "extra", "image_login"))
    order = read_order({"template_hash_id": "abc", "disk": 40, **nulls}, TEMPLATES)
    assert (order.image, order.bid_usd_per_hour, order.label) == ("ollama/ollama:0.9.0", None, None)


def test_flags_as_text_are_not_applied_to_an_order() -> None:
    order = read_order({"image": "nginx", "env": "-e A=1 -p 80:80"}, TEMPLATES)
    assert (order.env, order.port_keys, order.disk_gb) == ({}, (), 8.0)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"image": None}, "invalid_args"),
        ({"image": "x" * 1_025}, "invalid_args"),
        ({"image": 7}, "invalid_args"),
        ({"template_id": 7}, "invalid_args"),
        ({"volume_info": {"create_new": True, "size": 15}}, "invalid_args"),
        ({"template_hash_id": "unknown"}, "invalid_args"),
        ({"label": "x" * 257}, "invalid_args"),
        ({"disk": 7.9}, "invalid_args"),
        ({"disk": "40"}, "invalid_args"),
        ({"env": ["A=1"]}, "invalid_args"),
        ({"env": {"A": "x" * 257}}, "invalid_args"),
        ({"env": {f"A{n}": "x" * 256 for n in range(130)}}, "invalid_args"),
        ({"env": {f"-p {n}:{n}": "1" for n in range(1, 66)}}, "invalid_args"),
        ({"args": "serve"}, "invalid_args"),
        ({"onstart": "x" * 4_000, "args": ["x" * 97]}, "invalid_args"),
        ({"price": 0}, "invalid_price"),
        ({"price": 129}, "invalid_price"),
        ({"price": "0.2"}, "invalid_price"),
    ],
)
def test_order_is_refused_when_it_breaks_a_limit(changes: dict[str, Any], code: str) -> None:
    with pytest.raises(OrderError) as caught:
        read_order({"image": "ollama/ollama", "disk": 40, **changes}, TEMPLATES)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "hash_id", ["c166c11f035d3a97871a23bd32ca6aba", "...", "4e17788f74f075dd9aab7d0d4427968f"]
)
def test_templates_of_clients_in_the_field_are_there(hash_id: str) -> None:
    query = {"select_filters": f'{{"hash_id": {{"eq": "{hash_id}"}}}}'}
    found = Caller().read("GET", "/api/v0/template/", **query)
    assert (found["templates_found"], found["templates"][0]["image"]) == (1, "ollama/ollama")


def test_log_can_be_read_some_time_after_it_was_asked_for() -> None:
    caller = Caller()
    contract_id = caller.rent()
    caller.now += 60
    asked = caller.read("PUT", f"/api/v0/instances/request_logs/{contract_id}/", {"tail": "1"})
    path = asked["result_url"].removeprefix("http://vastai.invalid")
    assert caller.ask("GET", path, key=None).status == 404
    caller.now += 1
    log = caller.ask("GET", path, key=None)
    assert (log.status, str(log.body).endswith("Listening on [::]:11434 (version 0.33.0)\n")) == (200, True)


@pytest.mark.parametrize(
    ("label", "status", "told"),
    [
        ("rune-2", 200, {"success": True, "msg": "label for 12345678 set to 'rune-2'"}),
        ("x" * 1_025, 400, None),
    ],
)
def test_instance_is_labelled(label: str, status: int, told: dict[str, Any] | None) -> None:
    caller = Caller()
    answer = caller.ask("PUT", f"/api/v0/instances/{caller.rent()}/", {"label": label})
    assert (answer.status, told in (None, answer.body)) == (status, True)
