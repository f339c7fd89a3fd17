from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from local.simulators.faults import FaultKind
from local.simulators.request_log import Outcome
from local.simulators.vastai import (
    BootFailure,
    Counted,
    Delivery,
    Endpoint,
    Loss,
    RetryAfterIn,
    VastaiFault,
    VastaiFaultKind,
    VastAnswer,
)
from tests.unit.local.vastai_caller import BOOT, OFFER, SETTINGS, Caller


def members(answer: VastAnswer) -> dict[str, Any]:
    assert isinstance(answer.body, dict)
    return answer.body


SPOILED = [
    (VastaiFault(kind=VastaiFaultKind.TOO_FREQUENT), 429, "text/plain", "API requests too frequent"),
    (VastaiFault(kind=VastaiFaultKind.SERVER_ERROR), 500, "application/json", "server_error"),
    (VastaiFault(kind=VastaiFaultKind.BAD_GATEWAY), 502, "text/html", "502 Bad Gateway"),
    (VastaiFault(kind=FaultKind.REFUSED, error="too_bad"), 200, "application/json", "too_bad"),
    (VastaiFault(kind=VastaiFaultKind.NO_MEMBERS), 200, "application/json", "success"),
    (VastaiFault(kind=FaultKind.NOT_JSON), 200, "text/html", "It works!"),
    (VastaiFault(kind=VastaiFaultKind.UNAUTHORIZED), 404, "application/json", "auth_error"),
    (VastaiFault(kind=VastaiFaultKind.FORBIDDEN), 403, "application/json", "not_authorized"),
]


@pytest.mark.parametrize(("fault", "status", "media_type", "words"), SPOILED)
def test_fault_spoils_one_answer(fault: VastaiFault, status: int, media_type: str, words: str) -> None:
    caller = Caller()
    caller.vastai.faults.add(fault)
    answer = caller.ask("GET", "/api/v1/instances/")
    assert (answer.status, answer.media_type, words in str(answer.body)) == (status, media_type, True)
    assert "instances" not in answer.body
    assert caller.listed_ids() == []


@pytest.mark.parametrize(
    ("where", "headers", "told_in_body"),
    [(RetryAfterIn.HEADER, {"Retry-After": "7"}, None), (RetryAfterIn.JSON, {}, 7)],
)
def test_429_says_how_long_to_wait_in_the_header_or_in_json(
    where: RetryAfterIn, headers: dict[str, str], told_in_body: int | None
) -> None:
    caller = Caller()
    fault = VastaiFault(kind=VastaiFaultKind.TOO_FREQUENT, retry_after_seconds=7, retry_after_in=where)
    caller.vastai.faults.add(fault)
    answer = caller.ask("GET", "/api/v1/instances/")
    body = answer.body if isinstance(answer.body, dict) else {}
    assert (answer.status, dict(answer.headers), body.get("retry_after")) == (429, headers, told_in_body)


def test_search_quota_ends_at_midnight_utc() -> None:
    caller = Caller()
    caller.vastai.faults.add(VastaiFault(kind=VastaiFaultKind.SEARCH_QUOTA))
    answer = caller.ask("POST", "/api/v0/bundles/", {})
    resets_at = int(answer.headers["X-RateLimit-Reset"])
    assert (members(answer)["error"], resets_at % 86_400) == ("search_quota_exceeded", 0)
    assert 0 < resets_at - caller.now <= 86_400


@pytest.mark.parametrize("kind", [FaultKind.DISCONNECTED, FaultKind.HANG, VastaiFaultKind.SERVER_ERROR])
@pytest.mark.parametrize("after_effect", [False, True])
def test_order_is_carried_out_only_when_its_answer_fails_afterwards(
    kind: FaultKind, after_effect: bool
) -> None:
    caller = Caller()
    caller.vastai.faults.add(VastaiFault(kind=kind, endpoint=Endpoint.CREATE, after_effect=after_effect))
    answer = caller.order()
    deliveries = {FaultKind.DISCONNECTED: Delivery.DISCONNECTED, FaultKind.HANG: Delivery.HANG}
    assert answer.delivery is deliveries.get(kind, Delivery.NORMAL)
    assert len(caller.listed_ids()) == int(after_effect)


REFUSED_ORDERS = [
    (VastaiFault(kind=VastaiFaultKind.ASK_GONE), 404, "invalid_args", "no_such_ask"),
    (VastaiFault(kind=VastaiFaultKind.ASK_GONE, status=410), 410, "no_such_ask", "no longer available"),
    (VastaiFault(kind=VastaiFaultKind.ASK_GONE, status=400), 400, "invalid_args", "no_such_ask"),
    (VastaiFault(kind=VastaiFaultKind.ASK_GONE, status=200), 200, "invalid_args", "no_such_ask"),
    (VastaiFault(kind=VastaiFaultKind.INSUFFICIENT_CREDIT), 400, "insufficient_credit", "credit"),
    (VastaiFault(kind=VastaiFaultKind.INSUFFICIENT_CREDIT, status=200), 200, "insufficient_credit", "credit"),
    (VastaiFault(kind=VastaiFaultKind.SPEND_RATE_LIMIT), 400, "spend_rate_limit", "per hour"),
    (VastaiFault(kind=VastaiFaultKind.MISSING_BILLING), 400, "missing_billing", "billing"),
]


@pytest.mark.parametrize(("fault", "status", "error", "words"), REFUSED_ORDERS)
def test_order_is_refused_without_a_contract(fault: VastaiFault, status: int, error: str, words: str) -> None:
    caller = Caller()
    caller.vastai.faults.add(fault)
    answer = caller.order()
    body = members(answer)
    assert (answer.status, body["success"], body["error"]) == (status, False, error)
    assert words in body["msg"]
    assert caller.vastai.instances == {}


def test_offer_that_another_account_took_is_not_found_again() -> None:
    caller = Caller()
    caller.vastai.faults.add(VastaiFault(kind=VastaiFaultKind.ASK_GONE))
    caller.order()
    assert [offer["id"] for offer in caller.offers()] == [112]


@pytest.mark.parametrize("body", [{"price": 0.05}, {}])
def test_low_bid_is_refused_and_leaves_a_stopped_contract_that_bills(body: dict[str, Any]) -> None:
    caller = Caller()
    if not body:
        caller.vastai.faults.add(VastaiFault(kind=VastaiFaultKind.LOW_BID))
    refused = members(caller.order(**body))
    assert refused["success"] is False
    caller.now += 36_000
    assert caller.status(refused["new_contract"]) == "stopped"
    assert caller.vastai.bill(refused["new_contract"]).total_usd == Decimal("0.1")


@pytest.mark.parametrize(
    ("body", "status", "contract_count"),
    [
        ({"cancel_unavail": True}, 410, 0),
        ({}, 410, 0),
        ({"cancel_unavail": False}, 200, 1),
        ({"price": 0.3}, 200, 1),
    ],
)
def test_machine_taken_while_starting_leaves_a_contract_unless_told_to_cancel(
    body: dict[str, Any], status: int, contract_count: int
) -> None:
    caller = Caller()
    caller.vastai.faults.add(VastaiFault(kind=VastaiFaultKind.UNAVAILABLE))
    answer = caller.order(**body)
    assert (answer.status, len(caller.listed_ids())) == (status, contract_count)


@pytest.mark.parametrize("by_fault", [True, False])
def test_new_contract_is_not_readable_at_once_when_reads_lag(by_fault: bool) -> None:
    lag = VastaiFault(kind=VastaiFaultKind.READ_LAG, reads_count=2, delay_seconds=5)
    lagging = replace(SETTINGS, read_lag_count=2, list_lag_seconds=5)
    caller = Caller(SETTINGS if by_fault else lagging)
    caller.vastai.faults.add(*([lag] if by_fault else []))
    contract_id = caller.rent()
    shown = [caller.show(contract_id) is not None for _ in range(3)]
    assert (shown, caller.listed_ids()) == ([False, False, True], [])
    caller.now += 5
    assert caller.listed_ids() == [contract_id]


def test_faults_of_a_boot_happen_on_their_machine_alone() -> None:
    caller = Caller()
    boot = VastaiFault(kind=VastaiFaultKind.BOOT, boot=BootFailure.EXITED, machine_id=27_112)
    loss = VastaiFault(kind=VastaiFaultKind.LOSS, loss=Loss.VANISHED, delay_seconds=20, machine_id=27_111)
    caller.vastai.faults.add(boot, loss)
    healthy, failing = caller.rent(111), caller.rent(112)
    caller.now += 60
    assert (caller.status(healthy), caller.status(failing)) == ("running", "exited")
    caller.now += 20
    assert (caller.listed_ids(), caller.vastai.faults.pending()) == ([failing], ())


def test_filters_are_ignored_once() -> None:
    caller = Caller()
    caller.vastai.faults.add(VastaiFault(kind=VastaiFaultKind.FILTERS_IGNORED))
    cheap = {"dph_total": {"lt": 0.5}}
    assert [len(caller.offers(**cheap)) for _ in range(2)] == [2, 1]


def test_destroy_answers_success_and_destroys_nothing_when_it_is_ignored() -> None:
    caller = Caller()
    contract_id = caller.rent()
    caller.vastai.faults.add(VastaiFault(kind=VastaiFaultKind.DESTROY_IGNORED))
    assert members(caller.destroy(contract_id))["success"] is True
    caller.now += 60
    assert caller.status(contract_id) == "running"
    caller.destroy(contract_id)
    assert caller.show(contract_id) is None


def test_destroy_can_take_its_time() -> None:
    caller = Caller()
    contract_id = caller.rent()
    caller.now += 60
    caller.vastai.faults.add(VastaiFault(kind=VastaiFaultKind.DESTROY_SLOW, delay_seconds=30))
    answers = [members(caller.destroy(contract_id))["success"] for _ in range(2)]
    caller.now += 29
    assert (answers, caller.listed_ids()) == ([True, True], [contract_id])
    caller.now += 1
    assert (caller.listed_ids(), caller.show(contract_id)) == ([], None)
    assert caller.vastai.bill(contract_id).gpu_usd == Decimal("0.003")


def test_machine_that_is_lost_while_it_is_destroyed_goes_all_the_same() -> None:
    caller = Caller()
    contract_id = caller.rent()
    caller.vastai.faults.add(VastaiFault(kind=VastaiFaultKind.DESTROY_SLOW, delay_seconds=30))
    caller.destroy(contract_id)
    caller.now += 10
    caller.vastai.lose(contract_id, Loss.OFFLINE)
    caller.now += 20
    assert caller.listed_ids() == []


def test_listing_can_show_fewer_instances_than_it_counts() -> None:
    caller = Caller()
    contract_id = caller.rent()
    caller.vastai.faults.add(VastaiFault(kind=VastaiFaultKind.ROWS_MISSING))
    page = members(caller.ask("GET", "/api/v1/instances/"))
    assert (page["instances"], page["total_instances"], page["next_token"]) == ([], 1, None)
    assert caller.listed_ids() == [contract_id]


@pytest.mark.parametrize(
    ("counted", "lost", "ids", "found", "total"),
    [
        (Counted.KEPT, 1, [12_345_678], 1, 2),
        (Counted.LOWERED, 1, [12_345_678], 1, 1),
        (Counted.LOWERED, None, [], 0, 0),
        (Counted.LOWERED, 7, [], 0, 0),
        (Counted.ABSENT, None, [], 0, None),
    ],
)
def test_listing_can_lose_rows_and_count_them_or_not(
    counted: Counted, lost: int | None, ids: list[int], found: int, total: int | None
) -> None:
    caller = Caller()
    caller.rent()
    caller.rent(112)
    fault = VastaiFault(kind=VastaiFaultKind.ROWS_MISSING, rows_count=lost, counted=counted)
    caller.vastai.faults.add(fault)

    page = caller.read("GET", "/api/v1/instances/")
    assert [row["id"] for row in page["instances"]] == ids
    assert (page["instances_found"], page.get("total_instances")) == (found, total)
    assert len(caller.listed_ids()) == 2


def test_single_read_can_miss_an_instance() -> None:
    caller = Caller()
    first, second = caller.rent(), caller.rent(112)
    caller.vastai.faults.add(VastaiFault(kind=VastaiFaultKind.NOT_SHOWN, contract_id=first))

    assert [caller.show(number) is None for number in (first, second, first)] == [True, False, False]


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (VastaiFaultKind.TOO_FREQUENT, 429),
        (VastaiFaultKind.FORBIDDEN, 403),
        (VastaiFaultKind.SERVER_ERROR, 500),
    ],
)
def test_api_can_refuse_listings_alone(kind: VastaiFaultKind, status: int) -> None:
    caller = Caller()
    contract_id = caller.rent()
    caller.vastai.faults.add(VastaiFault(kind=kind, endpoint=Endpoint.LIST, times=None))

    assert {caller.ask("GET", "/api/v1/instances/").status for _ in range(3)} == {status}
    assert (caller.show(contract_id) is None, caller.destroy(contract_id).status) == (False, 200)


def test_gpu_can_cost_more_than_its_offer_said() -> None:
    caller = Caller()
    caller.vastai.faults.add(VastaiFault(kind=VastaiFaultKind.DEARER, price_factor=2.0))
    contract_id = caller.rent()
    caller.now += 3660
    shown = caller.show(contract_id)
    assert shown is not None
    assert shown["dph_base"] == 2 * OFFER.gpu_usd_per_hour
    assert caller.vastai.bill(contract_id).gpu_usd == Decimal("0.72")


def test_destroy_can_fail_after_its_effect() -> None:
    caller = Caller()
    contract_id = caller.rent()
    fault = VastaiFault(kind=VastaiFaultKind.SERVER_ERROR, endpoint=Endpoint.DESTROY, after_effect=True)
    caller.vastai.faults.add(fault)
    assert (caller.destroy(contract_id).status, caller.show(contract_id)) == (500, None)


@pytest.mark.parametrize("status", [404, 200])
def test_destroying_what_is_gone_says_no_such_instance(status: int) -> None:
    caller = Caller(replace(SETTINGS, gone_instance_status=status))
    contract_id = caller.rent()
    caller.destroy(contract_id)
    answer = caller.destroy(contract_id)
    assert (answer.status, members(answer)["error"], members(answer)["success"]) == (
        status,
        "no_such_instance",
        False,
    )


def test_queued_start_bills_when_the_gpu_is_free_unless_it_is_stopped() -> None:
    caller = Caller()
    contract_id = caller.rent(target_state="stopped")
    path = f"/api/v0/instances/{contract_id}/"
    caller.vastai.faults.add(VastaiFault(kind=VastaiFaultKind.GPU_TAKEN, delay_seconds=100, times=2))
    queued = caller.read("PUT", path, {"state": "running"})
    assert (queued["success"], "state change queued" in queued["msg"]) == (False, True)
    caller.ask("PUT", path, {"state": "stopped"})
    caller.now += 200
    assert caller.status(contract_id) == "stopped"
    caller.ask("PUT", path, {"state": "running"})
    caller.now += 100 + BOOT.restart_seconds
    assert caller.status(contract_id) == "running"


def test_faults_strike_in_order_after_the_requests_that_they_let_pass() -> None:
    caller = Caller()
    caller.vastai.faults.add(
        VastaiFault(kind=VastaiFaultKind.BAD_GATEWAY, endpoint=Endpoint.LIST, after_requests=1, times=2),
        VastaiFault(kind=VastaiFaultKind.SERVER_ERROR, endpoint=Endpoint.SHOW),
    )
    statuses = [caller.ask("GET", "/api/v1/instances/").status for _ in range(4)]
    assert statuses == [200, 502, 502, 200]
    assert [fault.kind for fault in caller.vastai.faults.pending()] == [VastaiFaultKind.SERVER_ERROR]


def test_log_tells_what_was_asked_and_what_spoiled_it() -> None:
    caller = Caller()
    caller.vastai.faults.add(VastaiFault(kind=FaultKind.DISCONNECTED, endpoint=Endpoint.LIST))
    caller.ask("GET", "/api/v1/instances/")
    caller.show(1)
    log = caller.vastai.requests
    assert [(record.method, record.path, record.fault) for record in log.select()] == [
        ("GET", "/api/v1/instances/", FaultKind.DISCONNECTED),
        ("GET", "/api/v0/instances/1/", None),
    ]
    assert [record.path for record in log.select(endpoint=Endpoint.SHOW)] == ["/api/v0/instances/1/"]
    assert [record.outcome for record in log.select(method="GET")] == [
        Outcome.DISCONNECTED,
        Outcome.COMPLETED,
    ]
