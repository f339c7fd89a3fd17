import asyncio
from collections.abc import Awaitable
from decimal import Decimal

import pytest

from rune.errors import (
    ProviderBusyError,
    ProviderFailedError,
    ProviderKeyError,
    ProviderRefusedError,
    RentalError,
    SearchQuotaError,
)
from rune.rentals.provider import Account, OfferPage, Sight
from rune.rentals.vastai import CALL_TIMEOUT_SECONDS, RequestNotSentError, ResponseLostError, VastAi
from rune.rentals.vastai_responses import VastaiResponse
from tests.rental_builders import CONTRACT_ID
from tests.unit.rentals.scripted import ScriptedTransport, Sent, a_wanted, an_answer
from tests.unit.rentals.test_vastai_objects import INSTANCE, OFFER, TEMPLATE
from tests.unit.rentals.test_vastai_responses import BAD_KEY, HTML, NO_INSTANCE, QUOTA, REMOVED

HASH = "4e17788f74f075dd9aab7d0d4427968f"


async def _no_pause(seconds: float) -> None:
    raise AssertionError(f"nothing here waits, but {seconds} s were asked for")


def a_client(
    *answers: VastaiResponse | RequestNotSentError | ResponseLostError,
) -> tuple[VastAi, ScriptedTransport]:
    transport = ScriptedTransport(list(answers))
    return VastAi(transport, _no_pause), transport


def run[T](call: Awaitable[T]) -> T:
    async def main() -> T:
        return await call

    return asyncio.run(main())


def test_search_asks_for_everything_that_a_decision_looks_at() -> None:
    client, transport = a_client(an_answer({"offers": []}))

    assert run(client.search(a_wanted(), Decimal("0.1"))) == OfferPage(())
    assert transport.sent == [
        Sent(
            "POST",
            "/api/v0/bundles/",
            body={
                "verified": {"eq": True},
                "external": {"eq": False},
                "rentable": {"eq": True},
                "rented": {"eq": False},
                "gpu_total_ram": {"gte": 22_000},
                "disk_space": {"gte": 55},
                "dph_total": {"gte": 0.1, "lte": 0.5},
                "gpu_arch": {"eq": "nvidia"},
                "cpu_arch": {"eq": "amd64"},
                "compute_cap": {"gte": 500},
                "cuda_max_good": {"gte": 12.4},
                "reliability": {"gte": 0.99},
                "direct_port_count": {"gte": 1},
                "inet_down": {"gte": 23 * 8000 / 1200},
                "inet_down_cost": {"lte": 0.02},
                "duration": {"gte": 7200.0},
                "order": [["dph_total", "asc"]],
                "type": "on-demand",
                "limit": 64,
                "allocated_storage": 55.0,
            },
        )
    ]


def test_search_returns_offers_and_leaves_out_what_is_none() -> None:
    other = {**OFFER, "id": 2}
    client, _ = a_client(an_answer({"offers": [OFFER, {"id": 1}, None, "x", other]}))

    assert [offer.offer_id for offer in run(client.search(a_wanted(), Decimal(0))).offers] == [31_415_926, 2]


@pytest.mark.parametrize(("count", "is_full"), [(63, False), (64, True)])
def test_search_tells_whether_there_may_be_more_offers(count: int, is_full: bool) -> None:
    # One of them cannot be read, and counts.
    rows = [{"id": 1}, *({**OFFER, "id": 2 + number} for number in range(count - 1))]
    client, _ = a_client(an_answer({"offers": rows}))

    assert run(client.search(a_wanted(), Decimal(0))).is_full is is_full


def test_search_takes_a_single_offer_for_a_list_of_one() -> None:
    client, _ = a_client(an_answer({"offers": OFFER}))

    assert [offer.machine_id for offer in run(client.search(a_wanted(), Decimal(0))).offers] == [27_182]


def test_template_is_asked_for_by_its_hash() -> None:
    client, transport = a_client(an_answer({"success": True, "templates": [TEMPLATE]}))

    template = run(client.find_template(HASH))

    assert template is not None
    assert template.image == "ollama/ollama:0.9.0"
    assert transport.sent == [
        Sent(
            "GET",
            "/api/v0/template/",
            {"select_cols": '["*"]', "select_filters": f'{{"hash_id": {{"eq": "{HASH}"}}}}'},
        )
    ]


@pytest.mark.parametrize("templates", [[], [{**TEMPLATE, "hash_id": "other"}], [None]])
def test_template_is_none_when_no_row_has_exactly_that_hash(templates: list[object]) -> None:
    client, _ = a_client(an_answer({"templates": templates}))

    assert run(client.find_template(HASH)) is None


@pytest.mark.parametrize(
    ("body", "account"),
    [
        ({"id": 7, "credit": 25.5, "balance": 1}, Account("", 7, Decimal("25.5"))),
        ({"balance": 1}, Account()),
        ({"id": "seven", "credit": None}, Account()),
    ],
)
def test_account_has_its_number_and_the_prepaid_money(body: object, account: Account) -> None:
    client, transport = a_client(an_answer(body))

    assert run(client.read_account()) == account
    assert transport.sent == [Sent("GET", "/api/v0/users/current/")]


@pytest.mark.parametrize(("status", "body"), [(403, {"error": "not_authorized"}), (404, BAD_KEY)])
def test_account_is_unknown_when_the_key_may_not_know(status: int, body: object) -> None:
    client, _ = a_client(an_answer(body, status))

    assert run(client.read_account()) == Account()


def test_show_returns_the_machine() -> None:
    client, transport = a_client(an_answer({"instances": INSTANCE}))

    shown = run(client.show(CONTRACT_ID)).instance

    assert shown is not None
    assert shown.contract_id == 12_345_678
    assert transport.sent == [Sent("GET", f"/api/v0/instances/{CONTRACT_ID}/")]


@pytest.mark.parametrize(("status", "body"), [(200, {"instances": None}), (404, NO_INSTANCE)])
def test_show_returns_none_when_the_provider_shows_none(status: int, body: object) -> None:
    client, _ = a_client(an_answer(body, status))

    assert run(client.show(CONTRACT_ID)) == Sight(None)


@pytest.mark.parametrize("body", [{"success": True}, {"instances": []}, {"instances": "none"}])
def test_show_takes_nothing_else_for_none(body: object) -> None:
    client, _ = a_client(an_answer(body))

    with pytest.raises(ProviderFailedError):
        run(client.show(CONTRACT_ID))


@pytest.mark.parametrize(("status", "body"), [(200, {"success": True}), (404, NO_INSTANCE)])
def test_destroy_many_names_all_machines_in_one_order(status: int, body: object) -> None:
    client, transport = a_client(an_answer(body, status))

    assert run(client.destroy_many([1, 2]))
    assert transport.sent == [Sent("DELETE", "/api/v0/instances/", None, {"instance_ids": [1, 2]})]


def test_label_names_the_machine() -> None:
    client, transport = a_client(an_answer({"success": True, "msg": "label set"}))

    run(client.label(CONTRACT_ID, "rune-x"))

    assert transport.sent == [Sent("PUT", f"/api/v0/instances/{CONTRACT_ID}/", body={"label": "rune-x"})]


@pytest.mark.parametrize(
    ("status", "body", "is_taken"),
    [
        (200, {"success": True}, True),
        (404, NO_INSTANCE, False),
        (200, NO_INSTANCE, False),
        (404, {"success": False, "error": "not_found", "msg": "Instance not found."}, False),
    ],
)
def test_destroy_tells_a_machine_that_goes_from_one_that_nobody_knows(
    status: int, body: object, is_taken: bool
) -> None:
    client, transport = a_client(an_answer(body, status))

    assert run(client.destroy(CONTRACT_ID)) is is_taken
    assert transport.sent == [Sent("DELETE", f"/api/v0/instances/{CONTRACT_ID}/", body={})]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (an_answer(BAD_KEY, 404), ProviderKeyError),
        (an_answer(BAD_KEY, 200), ProviderKeyError),
        (an_answer({"error": "not_found", "msg": "Invalid user key"}, 404), ProviderKeyError),
        (an_answer(HTML, 404), ProviderFailedError),
        (an_answer("", 404), ProviderFailedError),
        (an_answer(NO_INSTANCE, 503), ProviderFailedError),
        (an_answer({"success": False}, 200), ProviderRefusedError),
        (an_answer("", 200), ProviderFailedError),
        (an_answer(HTML, 200), ProviderFailedError),
        (an_answer("API requests too frequent", 429), ProviderBusyError),
        (RequestNotSentError(), ProviderFailedError),
        (ResponseLostError(), ProviderFailedError),
    ],
)
def test_destroy_fails_when_the_answer_does_not_say_that_the_machine_goes(
    answer: VastaiResponse | RequestNotSentError | ResponseLostError, error: type[RentalError]
) -> None:
    client, transport = a_client(answer)

    with pytest.raises(error):
        run(client.destroy(CONTRACT_ID))

    assert len(transport.sent) == 1


READS = {
    "search": lambda client: client.search(a_wanted(), Decimal(0)),
    "find_template": lambda client: client.find_template(HASH),
    "show": lambda client: client.show(1),
    "destroy_many": lambda client: client.destroy_many([1, 2]),
    "label": lambda client: client.label(1, "x"),
    "read_log_url": lambda client: client.read_log_url(1, 50),
}


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (RequestNotSentError(), ProviderFailedError),
        (ResponseLostError(), ProviderFailedError),
        (an_answer(HTML, 200), ProviderFailedError),
        (an_answer(HTML, 502), ProviderFailedError),
        (an_answer([], 200), ProviderFailedError),
        (an_answer(BAD_KEY, 404), ProviderKeyError),
        (an_answer(QUOTA, 429), SearchQuotaError),
        (an_answer(REMOVED, 410), ProviderRefusedError),
        (an_answer(REMOVED, 200), ProviderRefusedError),
    ],
)
def test_call_fails_and_is_not_repeated_when_the_answer_is_none(
    name: str, answer: VastaiResponse | RequestNotSentError | ResponseLostError, error: type[RentalError]
) -> None:
    client, transport = a_client(answer)

    with pytest.raises(error):
        run(READS[name](client))

    assert (len(transport.sent), transport.timeouts_seconds) == (1, [CALL_TIMEOUT_SECONDS])


@pytest.mark.parametrize("name", ["search", "find_template", "read_log_url"])
def test_call_fails_when_a_success_lacks_what_it_was_asked_for(name: str) -> None:
    client, _ = a_client(an_answer({"success": True}))

    with pytest.raises(ProviderFailedError):
        run(READS[name](client))


def test_log_is_asked_for_by_its_last_lines() -> None:
    client, transport = a_client(an_answer({"success": True, "result_url": "https://s3.example/x.log"}))

    assert run(client.read_log_url(7, 50)) == "https://s3.example/x.log"
    assert transport.sent == [Sent("PUT", "/api/v0/instances/request_logs/7/", body={"tail": "50"})]
