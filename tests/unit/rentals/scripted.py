"""Vast.ai as tests need it: one that plays back answers, and one that holds machines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import override

from rune.rentals.charges import Charges
from rune.rentals.instance import Instance, Listing
from rune.rentals.offers import Offer, Requirements
from rune.rentals.provider import Account, OfferPage, Order, Provider, Sight, Template
from rune.rentals.vastai import Method, RequestNotSentError, ResponseLostError, VastaiTransport
from rune.rentals.vastai_responses import VastaiResponse
from tests.rental_builders import ACCOUNT_ID, CONTRACT_ID, an_instance


@dataclass(frozen=True)
class Sent:
    """One request as it went over the wire."""

    method: Method
    path: str
    query: Mapping[str, str] | None = None
    body: Mapping[str, object] | None = None


@dataclass
class ScriptedTransport(VastaiTransport):
    """A `VastaiTransport` that plays its answers in order, and keeps what was sent."""

    answers: list[VastaiResponse | RequestNotSentError | ResponseLostError]
    sent: list[Sent] = field(default_factory=list)
    timeouts_seconds: list[float] = field(default_factory=list)

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
        self.sent.append(Sent(method, path, query, body))
        self.timeouts_seconds.append(timeout_seconds)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def an_answer(body: object, status: int = 200, retry_after: str = "") -> VastaiResponse:
    """Return an answer: a text as it is, anything else as JSON."""
    return VastaiResponse(status, body if isinstance(body, str) else json.dumps(body), retry_after)


@dataclass
class ScriptedMarket(Provider):
    """A `Provider` that holds machines; what is named in `errors` fails, as often as there are errors for it.

    Attributes
    ----------
    page_size
        Offers that one search returns.
    is_destroying
        Whether machines go when they are destroyed; else they go on being listed.
    is_shown_at_once
        Whether listings show a machine as soon as it is made.
    unlisted
        Contracts of machines that listings leave out.
    """

    instances: list[Instance] = field(default_factory=list)
    offers: tuple[Offer, ...] = ()
    templates: dict[str, Template] = field(default_factory=dict)
    credit_usd: Decimal | None = Decimal(25)
    errors: dict[str, list[Exception]] = field(default_factory=dict)
    page_size: int = 64
    is_destroying: bool = True
    is_shown_at_once: bool = True
    unlisted: frozenset[int] = frozenset()
    log_text: str = ""
    account_id: int | None = ACCOUNT_ID
    charges: Charges = field(default_factory=Charges)
    calls: list[tuple[str, object]] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)

    def called(self, name: str) -> list[object]:
        """Return the arguments of all calls of one kind."""
        return [argument for called, argument in self.calls if called == name]

    @override
    async def search(self, requirements: Requirements, from_usd_per_hour: Decimal) -> OfferPage:
        self._note("search", requirements)
        found = [each for each in self.offers if each.price_usd_per_hour >= from_usd_per_hour]
        found.sort(key=lambda each: each.price_usd_per_hour)
        return OfferPage(tuple(found[: self.page_size]), len(found) > self.page_size)

    @override
    async def find_template(self, template_hash: str) -> Template | None:
        self._note("find_template", template_hash)
        return self.templates.get(template_hash)

    @override
    async def read_account(self) -> Account:
        self._note("read_account", None)
        return Account("key", self.account_id, self.credit_usd)

    @override
    async def read_charges(self, since: datetime, until: datetime) -> Charges:
        self._note("read_charges", (since, until))
        return self.charges

    @override
    async def create(self, order: Order) -> int:
        self.orders.append(order)
        self._note("create", order.offer_id)
        contract_id = CONTRACT_ID + len(self.orders) - 1
        if self.is_shown_at_once:
            self.instances.append(
                an_instance(
                    contract_id=contract_id, label=order.label, actual_status="loading", host_ports={}
                )
            )
        return contract_id

    @override
    async def list_instances(self, begun_at: datetime) -> Listing:
        self._note("list", begun_at)
        listed = (each for each in self.instances if each.contract_id not in self.unlisted)
        return Listing(begun_at, tuple(listed), "key")

    @override
    async def show(self, contract_id: int) -> Sight:
        self._note("show", contract_id)
        shown = (each for each in self.instances if each.contract_id == contract_id)
        return Sight(next(shown, None), "key")

    @override
    async def label(self, contract_id: int, label: str) -> None:
        self._note("label", contract_id)
        self.instances = [
            replace(each, label=label) if each.contract_id == contract_id else each for each in self.instances
        ]

    @override
    async def destroy(self, contract_id: int) -> bool:
        self._note("destroy", contract_id)
        is_known = any(each.contract_id == contract_id for each in self.instances)
        if self.is_destroying:
            self.instances = [each for each in self.instances if each.contract_id != contract_id]
        return is_known

    @override
    async def read_log(self, contract_id: int, tail_lines: int) -> str:
        self._note("read_log", contract_id)
        return self.log_text

    @override
    async def destroy_many(self, contract_ids: Sequence[int]) -> bool:
        self._note("destroy_many", tuple(contract_ids))
        if self.is_destroying:
            self.instances = [each for each in self.instances if each.contract_id not in contract_ids]
        return True

    def _note(self, name: str, argument: object) -> None:
        self.calls.append((name, argument))
        if self.errors.get(name):
            raise self.errors[name].pop(0)


def an_offer(**overrides: object) -> Offer:
    """Return an offer without a flaw for `a_wanted()`."""
    offer = Offer(
        offer_id=31_415_926,
        machine_id=27_182,
        gpu_name="RTX 4090",
        gpu_count=1,
        vram_mb=24_564,
        price_usd_per_hour=Decimal("0.3578"),
        gpu_usd_per_hour=Decimal("0.3467"),
        storage_usd_per_gb_month=Decimal("0.2"),
        download_usd_per_gb=Decimal("0.002"),
        disk_gb=812.4,
        reliability_ratio=0.9961,
        is_verified=True,
        port_count=249,
        download_mbit_per_second=912.3,
        time_left=timedelta(days=170),
        memory_gb_per_second=1008.0,
        disk_mb_per_second=2900.0,
        compute_capability=890,
        cuda_version=12.8,
        gpu_maker="nvidia",
        cpu_architecture="amd64",
        place="Quebec, CA",
        is_rentable=True,
    )
    return replace(offer, **overrides)  # type: ignore[arg-type]  # replace() refuses unknown names


def a_wanted(**overrides: object) -> Requirements:
    """Return what a job with a model of 20 GB asks for; its offers must state 22,000 MB and 153.33 Mbit/s."""
    requirements = Requirements(
        vram_mb=20_000,
        disk_gb=55,
        download_gb=23,
        min_usd_per_hour=Decimal("0.1"),
        max_usd_per_hour=Decimal("0.5"),
        reliability_ratio=0.99,
        port_count=1,
        time_needed=timedelta(hours=2),
    )
    return replace(requirements, **overrides)  # type: ignore[arg-type]  # replace() refuses unknown names
