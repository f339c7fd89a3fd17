from dataclasses import asdict
from datetime import timedelta
from decimal import Decimal

import pytest

from rune.errors import (
    ProviderFailedError,
)
from rune.rentals.instance import Instance
from rune.rentals.provider import Template
from rune.rentals.vastai_responses import (
    read_instance,
    read_int,
    read_money,
    read_offer,
    read_template,
)
from tests.unit.rentals.scripted import an_offer

OFFER: dict[str, object] = {
    "id": 31_415_926,
    "ask_contract_id": 31_415_926,
    "machine_id": 27_182,
    "gpu_name": "RTX 4090",
    "num_gpus": 1,
    "gpu_ram": 24_564,
    "gpu_total_ram": 24_564,
    "cpu_cores": None,
    "disk_space": 812.4,
    "inet_down": 912.3,
    "inet_down_cost": 0.002,
    "dph_base": 0.3467,
    "dph_total": 0.3578,
    "storage_cost": 0.2,
    "reliability": 0.9961,
    "reliability2": 0.5,
    "gpu_mem_bw": 1008.0,
    "disk_bw": 2900.0,
    "compute_cap": 890,
    "cuda_max_good": 12.8,
    "gpu_arch": "nvidia",
    "cpu_arch": "amd64",
    "direct_port_count": 249,
    "geolocation": "Quebec,\n CA",
    "verification": "verified",
    "rentable": True,
    "rented": False,
    "external": None,
    "duration": timedelta(days=170).total_seconds(),
}


def test_offer_is_read_field_by_field() -> None:
    assert read_offer(OFFER) == an_offer()


def test_offer_is_read_when_numbers_come_as_texts() -> None:
    texts = {name: str(value) if type(value) in (int, float) else value for name, value in OFFER.items()}

    assert read_offer(texts) == an_offer()


@pytest.mark.parametrize("name", ["id", "machine_id", "dph_total"])
@pytest.mark.parametrize("value", [None, "", "x", True, float("nan"), float("inf"), [], {}])
def test_offer_is_none_when_it_lacks_what_a_decision_needs(name: str, value: object) -> None:
    assert read_offer({**OFFER, name: value}) is None
    assert read_offer({member: given for member, given in OFFER.items() if member != name}) is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"gpu_total_ram": None, "num_gpus": 2}, {"vram_mb": 49_128, "gpu_count": 2}),
        ({"reliability": None}, {"reliability_ratio": 0.5}),
        ({"verification": "deverified"}, {"is_verified": False}),
        ({"verification": None}, {"is_verified": False}),
        ({"rentable": False}, {"is_rentable": False}),
        ({"rented": True}, {"is_rentable": False}),
        ({"direct_port_count": None}, {"port_count": 0}),
        ({"direct_port_count": -1}, {"port_count": -1}),
        ({"duration": None}, {"time_left": timedelta(0)}),
        ({"duration": -5}, {"time_left": timedelta(seconds=-5)}),
        ({"duration": 1e300}, {"time_left": timedelta(seconds=1e9)}),
        ({"disk_space": None}, {"disk_gb": 0.0}),
        ({"inet_down": None}, {"download_mbit_per_second": 0.0}),
        ({"gpu_mem_bw": None}, {"memory_gb_per_second": 0.0}),
        ({"disk_bw": None}, {"disk_mb_per_second": 0.0}),
        ({"compute_cap": None}, {"compute_capability": 0}),
        ({"cuda_max_good": None}, {"cuda_version": 0.0}),
        ({"gpu_arch": None, "cpu_arch": None}, {"gpu_maker": "", "cpu_architecture": ""}),
        ({"gpu_name": None}, {"gpu_name": "unknown"}),
        ({"geolocation": None}, {"place": ""}),
        ({"dph_base": None}, {"gpu_usd_per_hour": Decimal("0.3578")}),
    ],
    ids=str,
)
def test_offer_is_read_at_its_worst_when_a_field_is_missing(
    given: dict[str, object], expected: dict[str, object]
) -> None:
    assert read_offer({**OFFER, **given}) == an_offer(**expected)


INSTANCE: dict[str, object] = {
    "id": 12_345_678,
    "machine_id": 27_182,
    "label": "proj-prod-job42-1",
    "actual_status": "running",
    "intended_status": "running",
    "cur_state": "running",
    "next_state": "running",
    "status_msg": "success, running ollama/ollama_latest",
    "public_ipaddr": " 203.0.113.42\n",
    "dph_total": 0.3578001,
    "ports": {"11434/tcp": [{"HostIp": "0.0.0.0", "HostPort": "40123"}, {"HostIp": "::", "HostPort": "1"}]},  # noqa: S104  # docker's own words
}


def test_instance_is_read_field_by_field() -> None:
    instance = read_instance(INSTANCE)

    assert instance == Instance(
        contract_id=12_345_678,
        label="proj-prod-job42-1",
        machine_id=27_182,
        actual_status="running",
        intended_status="running",
        cur_state="running",
        next_state="running",
        status_text="success, running ollama/ollama_latest",
        address="203.0.113.42",
        host_ports={"11434/tcp": 40_123},
        micro_usd_per_hour=357_801,
    )
    assert instance.url(11434) == "http://203.0.113.42:40123"


def test_instance_is_read_when_nothing_but_its_id_is_known() -> None:
    nulls = dict.fromkeys(INSTANCE) | {"id": "7"}

    assert asdict(read_instance(nulls)) == asdict(Instance(7, None))
    assert asdict(read_instance({"id": 7})) == asdict(Instance(7, None))


@pytest.mark.parametrize("price", [None, "", "x", True, -0.1, 10_000, 1e300, float("nan"), float("inf"), []])
def test_instance_has_no_price_when_what_stands_there_is_none(price: object) -> None:
    assert read_instance({**INSTANCE, "dph_total": price}).micro_usd_per_hour is None


@pytest.mark.parametrize("given", [{}, {"id": None}, {"id": "x"}, {"id": True}, {"id": [7]}])
def test_instance_without_an_id_spoils_the_listing(given: dict[str, object]) -> None:
    with pytest.raises(ProviderFailedError):
        read_instance({**{k: v for k, v in INSTANCE.items() if k != "id"}, **given})


@pytest.mark.parametrize(
    "ports",
    [
        None,
        [40_123],
        {},
        {"11434/tcp": None},
        {"11434/tcp": []},
        {"11434/tcp": [None]},
        {"11434/tcp": [{}]},
        {"11434/tcp": [{"HostPort": ""}]},
        {"11434/tcp": [{"HostPort": "0"}]},
        {"11434/tcp": [{"HostPort": "65536"}]},
        {"11434/tcp": {"HostPort": "40123"}},
    ],
)
def test_instance_has_no_port_when_none_is_mapped(ports: object) -> None:
    assert read_instance({**INSTANCE, "ports": ports}).url(11434) is None


TEMPLATE: dict[str, object] = {
    "id": 334_548,
    "hash_id": "4e17788f74f075dd9aab7d0d4427968f",
    "image": "ollama/ollama",
    "tag": "0.9.0",
    "env": "-e OLLAMA_HOST=0.0.0.0 -p 11434:11434",
    "onstart": "",
    "runtype": "args",
    "recommended_disk_space": 40,
}


def test_template_is_read_field_by_field() -> None:
    assert read_template(TEMPLATE) == Template(
        template_hash="4e17788f74f075dd9aab7d0d4427968f",
        image="ollama/ollama:0.9.0",
        flags="-e OLLAMA_HOST=0.0.0.0 -p 11434:11434",
        disk_gb=40,
        starts_itself=True,
    )


@pytest.mark.parametrize(
    ("given", "starts_itself"),
    [
        ({"runtype": None}, True),
        ({"args_str": ""}, True),
        ({"runtype": "ssh"}, False),
        ({"runtype": "jupyter"}, False),
        ({"onstart": "./run.sh"}, False),
        ({"args_str": "serve"}, False),
    ],
)
def test_template_starts_itself_only_when_nothing_but_its_image_decides(
    given: dict[str, object], starts_itself: bool
) -> None:
    assert read_template({**TEMPLATE, **given}).starts_itself is starts_itself


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (7, 7),
        ("7", 7),
        (7.0, 7),
        ("7.9", 7),
        (True, None),
        (None, None),
        ("x", None),
        ([7], None),
        ("inf", None),
    ],
)
def test_whole_number_is_read_or_missing(value: object, number: int | None) -> None:
    assert read_int({"n": value}, "n") == number


@pytest.mark.parametrize(
    ("value", "amount"),
    [
        (25.0, Decimal("25.0")),
        ("0.1", Decimal("0.1")),
        (-3, Decimal(-3)),
        (None, None),
        (True, None),
        ("x", None),
    ],
)
def test_amount_is_read_or_missing(value: object, amount: Decimal | None) -> None:
    assert read_money({"credit": value}, "credit") == amount
    assert read_money({}, "credit") is None
