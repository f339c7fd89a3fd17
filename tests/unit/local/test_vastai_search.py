from dataclasses import replace
from typing import Any

import pytest

from local.simulators.vastai import DEFAULT_OFFERS, VastaiSettings
from tests.unit.local.vastai_caller import OFFER, SECOND_OFFER, SETTINGS, Caller

CHEAP, DEAR = 111, 112


@pytest.mark.parametrize(
    ("conditions", "ids"),
    [
        ({}, [CHEAP, DEAR]),
        ({"num_gpus": {"eq": "1"}}, [CHEAP, DEAR]),
        ({"gpu_name": {"eq": "RTX 4090"}}, [CHEAP]),
        ({"gpu_name": {"eq": "RTX_4090"}}, []),
        ({"gpu_name": {"in": ["H100 SXM", "H200"]}}, [DEAR]),
        ({"gpu_name": {"notin": ["H100 SXM"]}}, [CHEAP]),
        ({"gpu_name": {"neq": "H100 SXM"}}, [CHEAP]),
        ({"dph_base": {"gt": "0.36", "lte": 0.72}}, [DEAR]),
        ({"dph_base": {"gte": "0.36", "lt": 0.72}}, [CHEAP]),
        ({"reliability2": {"gt": "0.98"}}, [CHEAP, DEAR]),
        ({"verified": {"eq": True}, "external": {"eq": False}, "rentable": {"eq": True}}, [CHEAP, DEAR]),
        ({"datacenter": {"eq": True}}, [DEAR]),
        ({"geolocation": {"in": ["CA", "US"]}}, [CHEAP, DEAR]),
        ({"geolocation": {"notin": ["CA"]}}, []),
        ({"geolocation": {"eq": "Quebec, CA"}}, [CHEAP, DEAR]),
        ({"cpu_cores": {"gte": 1}}, [CHEAP]),
        ({"id": {"eq": CHEAP}}, []),
        ({"ask_contract_id": {"eq": CHEAP}}, [CHEAP]),
        ({"limit": 1}, [CHEAP]),
        ({"limit": "1", "order": [["dph_total", "desc"]]}, [DEAR]),
        ({"order": [["dlperf", "asc"], ["dph_total", "desc"]]}, [DEAR, CHEAP]),
    ],
)
def test_search_finds_what_fits(conditions: dict[str, Any], ids: list[int]) -> None:
    dear = replace(SECOND_OFFER, hosting_type=1, cpu_cores=None)
    caller = Caller(replace(SETTINGS, offers=(OFFER, dear)))
    assert [offer["id"] for offer in caller.offers(**conditions)] == ids


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {"gpu_name": "RTX 4090"},
        {"gpu_name": {"like": "RTX"}},
        {"vram": {"gt": 1}},
        {"type": "spot"},
    ],
)
def test_search_refuses_what_it_cannot_read(body: object) -> None:
    assert Caller().ask("POST", "/api/v0/bundles/", body).status == 400


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/v0/bundles/", {"limit": 1}),
        ("PUT", "/api/v0/search/asks/", {"select_cols": ["*"], "q": {"limit": 1}}),
    ],
)
def test_search_answers_in_both_its_forms(method: str, path: str, body: object) -> None:
    assert [offer["id"] for offer in Caller().read(method, path, body)["offers"]] == [CHEAP]


def test_search_never_returns_more_than_64() -> None:
    offers = tuple(replace(OFFER, offer_id=1_000 + n, machine_id=n) for n in range(70))
    caller = Caller(replace(SETTINGS, offers=offers))
    assert len(caller.offers(limit=3_000)) == 64


@pytest.mark.parametrize(
    ("options", "total_usd"), [({}, 0.362), ({"allocated_storage": 40.0}, 0.37), ({"type": "bid"}, 0.182)]
)
def test_price_holds_the_disk_that_was_asked_for(options: dict[str, Any], total_usd: float) -> None:
    assert Caller().offers(**options)[0]["dph_total"] == pytest.approx(total_usd)


@pytest.mark.parametrize("status", [404, 410, 400, 200])
def test_ask_can_be_taken_once(status: int) -> None:
    caller = Caller(replace(SETTINGS, gone_offer_status=status))
    caller.rent(CHEAP)
    again = caller.order(CHEAP)
    assert (again.status, "no_such_ask" in str(again.body)) == (status, True)
    assert [offer["id"] for offer in caller.offers()] == [DEAR]


def test_machine_comes_back_under_another_id() -> None:
    caller = Caller()
    caller.destroy(caller.rent(CHEAP))
    offer = caller.offers()[0]
    assert (offer["machine_id"], offer["id"]) == (27_111, 100_000_111)
    assert caller.order(CHEAP).status == 404
    assert caller.rent(offer["id"])


def test_ids_rotate_and_offers_leave_by_themselves() -> None:
    rotating = replace(OFFER, id_rotation_seconds=60)
    caller = Caller(replace(SETTINGS, offers=(rotating, replace(SECOND_OFFER, leaves_after_seconds=90))))
    caller.now += 60
    assert [offer["id"] for offer in caller.offers()] == [100_000_111, DEAR]
    caller.now += 30
    assert [offer["id"] for offer in caller.offers()] == [100_000_111]


def test_default_market_holds_what_is_wanted_among_its_traps() -> None:
    caller = Caller(VastaiSettings(rate_limits=False))
    wanted = caller.offers(
        verified={"eq": True},
        gpu_arch={"eq": "nvidia"},
        reliability={"gte": 0.99},
        direct_port_count={"gte": 1},
        inet_down={"gte": 200},
        inet_down_cost={"lte": 0.05},
        duration={"gte": 7_200},
        gpu_total_ram={"gte": 40_000},
        dph_total={"gte": 2.3, "lte": 3.0},
        allocated_storage=40.0,
    )
    assert sorted(offer["machine_id"] for offer in wanted) == [27_101, 27_102, 27_103, 27_104, 27_105]
    assert len(DEFAULT_OFFERS) == 29
    assert any(offer["gpu_total_ram"] >= 300_000 for offer in caller.offers())
