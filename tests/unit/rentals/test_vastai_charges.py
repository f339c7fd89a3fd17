"""Charges as Vast.ai's client reads them: page by page, from answers and from the simulator at its unkindest."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import override

import pytest

from local.simulators.vastai import Scope, Traffic, VastRequest
from rune.errors import ProviderFailedError, ProviderKeyError
from rune.rentals import vastai
from rune.rentals.charges import Charges
from rune.rentals.vastai import Method, VastAi, VastaiTransport
from rune.rentals.vastai_responses import VastaiResponse
from tests.builders import NOW
from tests.unit.local.vastai_caller import BEGAN_AT, SETTINGS, Caller
from tests.unit.rentals.scripted import ScriptedTransport, an_answer

DAY_SECONDS = 86_400


class ToSimulator(VastaiTransport):
    """Asks the simulator."""

    def __init__(self, caller: Caller, api_key: str = "vastai-simulator-key") -> None:
        self._caller = caller
        self._api_key = api_key
        self.call_count = 0

    @override
    async def __call__(
        self,
        method: Method,
        path: str,
        *,
        timeout_seconds: float,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
    ) -> VastaiResponse:
        self.call_count += 1
        request = VastRequest(
            method=method,
            path=path,
            query=dict(query or {}),
            body=None,
            authorization=f"Bearer {self._api_key}",
        )
        answer = self._caller.vastai.answer(request)
        text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
        return VastaiResponse(answer.status, text)


async def no_pause(_seconds: float) -> None:
    return


def read(transport: VastaiTransport, until: datetime = NOW) -> Charges:
    since = datetime.fromtimestamp(BEGAN_AT - DAY_SECONDS, UTC)
    return asyncio.run(VastAi(transport, no_pause).read_charges(since, until))


def test_charges_of_many_days_and_pages_are_the_bill(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vastai, "CHARGES_PAGE_SIZE", 1)
    settings = replace(SETTINGS, charges_are_messy=True, charges_lag_seconds=0.0, credit_usd=Decimal(100))
    caller = Caller(settings)
    first, second = caller.rent(), caller.rent(112)
    caller.host.bytes[first] = Traffic(4_900_000_000, sent_bytes=2_000_000_000)
    caller.now += 2.5 * DAY_SECONDS
    caller.destroy(first)
    caller.destroy(second)

    transport = ToSimulator(caller)
    charges = read(transport, datetime.fromtimestamp(caller.now, UTC))

    assert transport.call_count == 2
    for number in (first, second):
        exact = caller.vastai.bill(number).total_usd * 1_000_000
        assert (
            abs(charges.by_contract[number].micro_usd - exact) <= 4 * 500
        )  # rounded in each of at most four rows


def test_key_without_the_right_is_told_apart() -> None:
    settings = replace(SETTINGS, scoped_keys={"narrow": frozenset({Scope.INSTANCE_READ, Scope.USER_READ})})

    with pytest.raises(ProviderKeyError):
        read(ToSimulator(Caller(settings), "narrow"))


@pytest.mark.parametrize(
    "answers",
    [
        [{"success": True}],
        [{"results": ["row"]}],
        [{"results": [], "next_token": "a"}, {"results": [], "next_token": "a"}],
        [{"results": [], "next_token": 7}],
        ["<html>"],
    ],
    ids=["without rows", "rows of text", "without an end", "odd token", "no JSON"],
)
def test_answer_that_is_not_complete_is_no_answer(answers: list[object]) -> None:
    with pytest.raises(ProviderFailedError):
        read(ScriptedTransport([an_answer(answer) for answer in answers]))


def test_charges_beyond_the_last_page_are_no_answer() -> None:
    numbers = range(20)
    transport = ScriptedTransport([an_answer({"results": [], "next_token": str(each)}) for each in numbers])

    with pytest.raises(ProviderFailedError):
        read(transport)
    assert len(transport.sent) == vastai.MAX_CHARGE_PAGES


def test_key_that_changes_between_two_pages_makes_no_answer() -> None:
    first = replace(an_answer({"results": [], "next_token": "a"}), key_mark="one")
    second = replace(an_answer({"results": []}), key_mark="two")

    with pytest.raises(ProviderFailedError):
        read(ScriptedTransport([first, second]))
