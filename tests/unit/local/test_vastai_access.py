from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from local.simulators.vastai import Endpoint, Scope, VastaiSettings
from tests.unit.local.vastai_caller import SETTINGS, Caller

LIMITED = replace(SETTINGS, rate_limits=True)


@pytest.mark.parametrize("status", [404, 401])
@pytest.mark.parametrize("key", [None, "Bearer wrong", "vastai-simulator-key", "Basic vastai-simulator-key"])
def test_wrong_key_is_auth_error(status: int, key: str | None) -> None:
    caller = Caller(replace(SETTINGS, unauthorized_status=status))
    answer = caller.ask("GET", "/api/v0/instances/1/", key=key)
    expected = {"success": False, "error": "auth_error", "msg": "Invalid user key"}
    assert (answer.status, answer.body) == (status, expected)


@pytest.mark.parametrize(("key", "status"), [(None, 200), ("Bearer wrong", 404)])
def test_search_needs_no_key_but_refuses_a_wrong_one(key: str | None, status: int) -> None:
    assert Caller().ask("POST", "/api/v0/bundles/", {}, key=key).status == status


def test_key_may_stand_in_the_query() -> None:
    caller = Caller()
    answer = caller.ask("GET", "/api/v1/instances/", key=None, api_key=SETTINGS.api_key)
    assert answer.status == 200


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [
        (Scope.INSTANCE_READ, {Endpoint.LIST}),
        (Scope.INSTANCE_WRITE, {Endpoint.DESTROY}),
        (Scope.USER_READ, {Endpoint.USER}),
        (Scope.MISC, {Endpoint.SEARCH}),
    ],
)
def test_scoped_key_may_do_what_its_scope_allows(scope: Scope, allowed: set[Endpoint]) -> None:
    caller = Caller(replace(SETTINGS, scoped_keys={"narrow": frozenset({scope})}))
    requests = {
        Endpoint.LIST: ("GET", "/api/v1/instances/"),
        Endpoint.DESTROY: ("DELETE", "/api/v0/instances/1/"),
        Endpoint.USER: ("GET", "/api/v0/users/current"),
        Endpoint.SEARCH: ("POST", "/api/v0/bundles/"),
    }
    passed = {
        endpoint
        for endpoint, (method, path) in requests.items()
        if caller.ask(method, path, {}, key="Bearer narrow").status != 403
    }
    assert passed == allowed


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PUT", "/api/v0/instances/{own}/", {"state": "stopped"}, 200),
        ("DELETE", "/api/v0/instances/{own}/", {}, 200),
        ("PUT", "/api/v0/instances/{own}/", {"label": "mine"}, 403),
        ("GET", "/api/v0/instances/{own}/", None, 403),
        ("DELETE", "/api/v0/instances/{other}/", {}, 403),
        ("DELETE", "/api/v0/instances/", {"instance_ids": [12_345_679]}, 403),
        ("GET", "/api/v1/instances/", None, 403),
    ],
)
def test_key_of_an_instance_rules_over_that_instance_alone(
    method: str, path: str, body: object, status: int
) -> None:
    caller = Caller()
    created: Any = caller.order(111).body
    other = caller.rent(112)
    key = f"Bearer {created['instance_api_key']}"
    filled = path.format(own=created["new_contract"], other=other)
    assert caller.ask(method, filled, body, key=key).status == status


@pytest.mark.parametrize(
    ("method", "path", "body", "interval_seconds"),
    [
        ("GET", "/api/v1/instances/", None, 1.0),
        ("GET", "/api/v0/instances/1/", None, 2.0),
        ("DELETE", "/api/v0/instances/1/", {}, 3.0),
        ("GET", "/api/v0/template/", None, 3.0),
    ],
)
def test_endpoint_may_be_asked_once_in_its_interval(
    method: str, path: str, body: object, interval_seconds: float
) -> None:
    caller = Caller(LIMITED)
    statuses = []
    for wait_seconds in (0, interval_seconds / 2, interval_seconds / 2):
        caller.now += wait_seconds
        statuses.append(caller.ask(method, path, body).status == 429)
    assert statuses == [False, True, False]


def test_single_reads_of_several_instances_share_one_limit() -> None:
    caller = Caller(LIMITED)
    assert [caller.ask("GET", f"/api/v0/instances/{n}/").status for n in (1, 2)] == [200, 429]


def test_early_order_closes_ordering_for_its_penalty() -> None:
    caller = Caller(LIMITED)
    statuses = []
    for wait_seconds in (0, 4, 11, 12):
        caller.now += wait_seconds
        statuses.append(caller.order(112).status)
    assert statuses == [200, 429, 429, 404]


def test_address_may_search_ten_times_a_minute() -> None:
    caller = Caller(LIMITED)
    statuses = [caller.ask("POST", "/api/v0/bundles/", {}).status for _ in range(11)]
    assert statuses == [200] * 10 + [429]
    assert caller.ask("POST", "/api/v0/bundles/", {}, address="127.0.0.2").status == 200
    caller.now += 60
    assert caller.ask("POST", "/api/v0/bundles/", {}).status == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "location"),
    [
        ("GET", "/api/v1/instances", 308, "/api/v1/instances/"),
        ("POST", "/api/v0/bundles", 308, "/api/v0/bundles/"),
        ("PUT", "/api/v0/asks/111", 308, "/api/v0/asks/111/"),
        ("GET", "/api/v0/users/current", 200, None),
        ("GET", "/api/v0/users/current/", 200, None),
        ("DELETE", "/api/v1/instances/1/", 404, None),
        ("GET", "/api/v0/instances/", 410, None),
    ],
)
def test_path_is_answered_redirected_or_unknown(
    method: str, path: str, status: int, location: str | None
) -> None:
    answer = Caller().ask(method, path)
    assert (answer.status, answer.headers.get("Location")) == (status, location)


def rented(count: int) -> Caller:
    offer = SETTINGS.offers[0]
    offers = tuple(replace(offer, offer_id=1_000 + n, machine_id=n) for n in range(count))
    caller = Caller(replace(SETTINGS, offers=offers))
    for n in range(count):
        caller.rent(1_000 + n, label=f"rune-{n % 2}")
    return caller


@pytest.mark.parametrize(("order", "reverse"), [("[]", False), ('[{"col": "id", "dir": "desc"}]', True)])
def test_list_is_read_page_by_page_to_its_end(order: str, *, reverse: bool) -> None:
    caller = rented(60)
    found: list[int] = []
    sizes = []
    query = {"order_by": order}
    while True:
        page = caller.read("GET", "/api/v1/instances/", **query)
        found += [row["id"] for row in page["instances"]]
        sizes.append(len(page["instances"]))
        if page["next_token"] is None:
            break
        query["after_token"] = page["next_token"]
    assert sizes == [25, 25, 10]
    assert found == sorted(caller.vastai.instances, reverse=reverse)


@pytest.mark.parametrize(("limit", "count"), [("3", 3), ("100", 25), ("0", 5), ("-1", 5)])
def test_page_is_as_long_as_its_limit_allows(limit: str, count: int) -> None:
    assert len(rented(30).listed_ids(limit=limit)) == count


def test_list_counts_what_is_on_the_page_and_what_fits() -> None:
    caller = rented(5)
    page = caller.read("GET", "/api/v1/instances/", select_filters='{"label": {"eq": "rune-1"}}', limit="1")
    assert (page["instances_found"], page["total_instances"]) == (1, 2)
    assert (page["label_counts"], page["next_token"] is None) == ({"rune-0": 3, "rune-1": 2}, False)


def test_list_gives_the_columns_asked_for_and_null_for_others() -> None:
    rows = rented(1).read("GET", "/api/v1/instances/", select_cols='["id", "nothing"]')["instances"]
    assert rows == [{"id": 12_345_678, "nothing": None}]


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ({"after_token": "nonsense"}, "invalid_token"),
        ({"after_token": "e30="}, "invalid_token"),
        ({"select_filters": '{"dph_total": {"lt": 1}}'}, "invalid_request"),
        ({"select_filters": '{"label": {"like": "x"}}'}, "invalid_request"),
        ({"select_filters": "{"}, "invalid_request"),
        ({"select_filters": "[]"}, "invalid_request"),
        ({"order_by": '[{"col": "num_gpus", "dir": "asc"}]'}, "invalid_request"),
        ({"order_by": '[{"col": "id", "dir": "up"}]'}, "invalid_request"),
        ({"limit": "many"}, "invalid_request"),
    ],
)
def test_list_refuses_what_it_cannot_read(query: dict[str, str], error: str) -> None:
    answer = rented(2).ask("GET", "/api/v1/instances/", **query)
    assert isinstance(answer.body, dict)
    assert (answer.status, answer.body["error"]) == (400, error)


def test_foreign_instances_are_listed_and_requests_that_name_them_are_found() -> None:
    caller = Caller()
    foreign = caller.vastai.plant_foreign("other-user")
    own = caller.rent()
    assert caller.listed_ids() == [foreign, own]
    caller.destroy(own)
    assert caller.vastai.touched_foreign() == []
    caller.ask("DELETE", "/api/v0/instances/", {"instance_ids": [foreign]})
    assert [record.method for record in caller.vastai.touched_foreign()] == ["DELETE"]
    assert caller.vastai.instances[foreign].destroyed_by == "account"


def test_default_settings_limit_rates_and_hide_the_key() -> None:
    settings = VastaiSettings()
    assert settings.rate_limits
    assert settings.api_key not in repr(settings)


def test_key_can_be_changed_for_the_same_account() -> None:
    caller = Caller()
    contract_id = caller.rent()
    caller.vastai.change_key("new-key")

    assert caller.ask("GET", "/api/v1/instances/").status == 404
    listed = caller.ask("GET", "/api/v1/instances/", key="Bearer new-key").body
    assert isinstance(listed, dict)
    assert listed["total_instances"] == 1
    assert str(contract_id) in str(listed["instances"])


def test_key_of_another_account_sees_none_of_the_first_ones_machines() -> None:
    caller = Caller()
    contract_id = caller.rent()
    caller.vastai.open_account("other-key", Decimal(7))
    path = f"/api/v0/instances/{contract_id}/"

    def ask(method: str, path: str, body: object = None) -> dict[str, Any]:
        answer = caller.ask(method, path, body, key="Bearer other-key").body
        assert isinstance(answer, dict)
        return answer

    user = ask("GET", "/api/v0/users/current")
    assert (user["id"], user["credit"]) == (123_457, 7.0)
    assert ask("GET", "/api/v1/instances/")["total_instances"] == 0
    assert ask("GET", path) == {"instances": None}
    assert ask("DELETE", path, {})["error"] == "no_such_instance"
    assert caller.listed_ids() == [contract_id]


def test_accounts_share_the_market_and_pay_each_for_its_own() -> None:
    caller = Caller()
    caller.rent()
    caller.vastai.open_account("other-key")
    order = {"image": "ollama/ollama", "runtype": "args", "disk": 40}
    taken = caller.ask("PUT", "/api/v0/asks/111/", order, key="Bearer other-key")
    free = caller.ask("PUT", "/api/v0/asks/112/", order, key="Bearer other-key")
    caller.now += 3_660

    assert (taken.status, free.status) == (404, 200)
    assert isinstance(free.body, dict)
    assert free.body["new_contract"] == 13_345_678
    assert caller.vastai.bill(13_345_678).gpu_usd == Decimal("0.72")
    assert caller.vastai.credit_usd == Decimal(10) - caller.vastai.bill(12_345_678).total_usd
