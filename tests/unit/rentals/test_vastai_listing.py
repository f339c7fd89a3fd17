import asyncio
import json
from dataclasses import replace

import pytest

from rune.errors import (
    ProviderBusyError,
    ProviderFailedError,
    ProviderKeyError,
    ProviderRefusedError,
    RentalError,
)
from rune.rentals.instance import Listing
from rune.rentals.vastai import RequestNotSentError, ResponseLostError, VastAi
from rune.rentals.vastai_responses import VastaiResponse
from tests.builders import NOW
from tests.unit.rentals.scripted import ScriptedTransport, Sent, an_answer
from tests.unit.rentals.test_vastai_objects import INSTANCE
from tests.unit.rentals.test_vastai_responses import BAD_KEY, HTML, REMOVED

QUERY = {"select_filters": "{}", "order_by": '[{"col": "id", "dir": "asc"}]', "limit": "25"}


class Account:
    """Lists an account and notes the pauses between its pages."""

    def __init__(self, *answers: VastaiResponse | RequestNotSentError | ResponseLostError) -> None:
        self.transport = ScriptedTransport(list(answers))
        self.pauses_seconds: list[float] = []

    def list(self) -> Listing:
        return asyncio.run(VastAi(self.transport, self._pause).list_instances(NOW))

    async def _pause(self, seconds: float) -> None:
        self.pauses_seconds.append(seconds)


def a_page(*ids: int, next_token: object = None, **members: object) -> VastaiResponse:
    rows = [{**INSTANCE, "id": number} for number in ids]
    counted = {"instances_found": len(ids), "total_instances": len(ids)}
    return an_answer({"success": True, "instances": rows, "next_token": next_token, **counted, **members})


def test_listing_asks_for_all_machines_in_the_order_of_their_ids() -> None:
    account = Account(a_page(1, 2))

    listing = account.list()

    assert listing.begun_at == NOW
    assert [each.contract_id for each in listing.instances] == [1, 2]
    assert account.transport.sent == [Sent("GET", "/api/v1/instances/", QUERY)]
    assert account.pauses_seconds == []


def test_listing_holds_every_page_and_pauses_between_two() -> None:
    account = Account(a_page(1, next_token="a"), a_page(2, next_token="b"), a_page(3))

    listing = account.list()

    assert [each.contract_id for each in listing.instances] == [1, 2, 3]
    assert [sent.query for sent in account.transport.sent] == [
        QUERY,
        {**QUERY, "after_token": "a"},
        {**QUERY, "after_token": "b"},
    ]
    assert account.pauses_seconds == [1.1, 1.1]


def test_listing_is_empty_only_when_the_provider_lists_nothing() -> None:
    assert Account(a_page()).list() == Listing(NOW, ())


@pytest.mark.parametrize(
    ("total", "is_whole"), [(None, False), ("x", False), (0, True), (1, True), (2, True), (3, False)]
)
def test_listing_is_whole_only_when_as_many_came_as_are_counted(total: object, is_whole: bool) -> None:
    account = Account(a_page(1, next_token="a", total_instances=9), a_page(2, total_instances=total))

    if is_whole:
        assert len(account.list().instances) == 2
    else:
        with pytest.raises(ProviderFailedError):
            account.list()


def test_listing_without_a_count_is_not_whole() -> None:
    with pytest.raises(ProviderFailedError, match="count"):
        Account(an_answer({"success": True, "instances": [], "instances_found": 7})).list()


def test_listing_fails_when_its_pages_were_read_with_two_keys() -> None:
    pages = (a_page(1, next_token="a"), a_page(2))
    account = Account(*(replace(page, key_mark=mark) for page, mark in zip(pages, "xy", strict=True)))

    with pytest.raises(ProviderFailedError, match="key"):
        account.list()


SPOILED: list[tuple[str, VastaiResponse | RequestNotSentError | ResponseLostError, type[RentalError]]] = [
    ("no instances", an_answer({"success": True, "instances_found": 0}), ProviderFailedError),
    ("null instances", an_answer({"success": True, "instances": None}), ProviderFailedError),
    ("an object", an_answer({"success": True, "instances": {}}), ProviderFailedError),
    ("a row that is none", an_answer({"instances": [INSTANCE, None]}), ProviderFailedError),
    ("a row without id", an_answer({"instances": [INSTANCE, {"label": "x"}]}), ProviderFailedError),
    ("a bare list", an_answer([INSTANCE]), ProviderFailedError),
    ("an empty object", an_answer({}), ProviderFailedError),
    ("nothing", an_answer(""), ProviderFailedError),
    ("a page for people", an_answer(HTML), ProviderFailedError),
    ("a gateway's failure", an_answer(HTML, 502), ProviderFailedError),
    ("half an answer", VastaiResponse(200, json.dumps({"instances": []})[:-2]), ProviderFailedError),
    ("failure with instances", an_answer({"success": False, "instances": []}), ProviderRefusedError),
    ("a wrong key", an_answer(BAD_KEY, 404), ProviderKeyError),
    ("a wrong key under 200", an_answer(BAD_KEY, 200), ProviderKeyError),
    ("a removed endpoint", an_answer(REMOVED, 410), ProviderRefusedError),
    ("a removed endpoint under 200", an_answer(REMOVED, 200), ProviderRefusedError),
    ("too often", an_answer("API requests too frequent", 429), ProviderBusyError),
    ("no connection", RequestNotSentError(), ProviderFailedError),
    ("no answer", ResponseLostError(), ProviderFailedError),
]


@pytest.mark.parametrize(("answer", "error"), [row[1:] for row in SPOILED], ids=[row[0] for row in SPOILED])
def test_listing_fails_rather_than_being_empty(
    answer: VastaiResponse | RequestNotSentError | ResponseLostError, error: type[RentalError]
) -> None:
    with pytest.raises(error):
        Account(answer).list()


@pytest.mark.parametrize(("answer", "error"), [row[1:] for row in SPOILED], ids=[row[0] for row in SPOILED])
def test_listing_fails_rather_than_ending_with_the_first_page(
    answer: VastaiResponse | RequestNotSentError | ResponseLostError, error: type[RentalError]
) -> None:
    with pytest.raises(error):
        Account(a_page(1, next_token="a"), answer).list()


@pytest.mark.parametrize("tokens", [["a", "a"], [7], [{"values": {"id": 1}}], [["a"]]])
def test_listing_fails_when_a_token_leads_nowhere(tokens: list[object]) -> None:
    account = Account(*(a_page(1, next_token=token) for token in tokens))

    with pytest.raises(ProviderFailedError, match="end"):
        account.list()


def test_listing_fails_when_it_has_no_end() -> None:
    account = Account(*(a_page(number, next_token=f"t{number}") for number in range(200)))

    with pytest.raises(ProviderFailedError, match="end"):
        account.list()

    assert len(account.transport.sent) == 100
