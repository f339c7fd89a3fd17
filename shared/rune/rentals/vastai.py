"""Vast.ai's REST API (https://docs.vast.ai/api-reference, August 2026), as a `Provider`.

Listing is v1, everything else v0; slashes at the ends of paths matter. A mistake here leaves a machine that RUNE
does not know of: an order is never sent twice, and only a complete listing says what exists.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Literal, Protocol, override

from rune.errors import CreateLostError, ProviderFailedError, ProviderKeyError
from rune.rentals.charges import Charges, add_up
from rune.rentals.instance import Instance, Listing
from rune.rentals.offers import MAX_DOWNLOAD_USD_PER_GB, Requirements
from rune.rentals.provider import Account, OfferPage, Order, Provider, Sight, Template
from rune.rentals.vastai_responses import (
    Members,
    VastaiResponse,
    describe_failure,
    is_gone,
    read_instance,
    read_int,
    read_money,
    read_offer,
    read_template,
)

PAGE_SIZE = 25
"""Most that one page of a listing holds."""

MAX_PAGES = 100
CHARGES_PAGE_SIZE = 500
"""Contracts on one page of charges."""

MAX_CHARGE_PAGES = 10
"""5,000 contracts in a span of days."""

MAX_OFFERS = 64
"""Most that one search returns."""

CALL_TIMEOUT_SECONDS = 10.0
CREATE_TIMEOUT_SECONDS = 20.0

PAGE_INTERVAL_SECONDS = 1.1
"""Between two pages, which count as two calls: a listing may be asked for once a second
(https://docs.vast.ai/api-reference/rate-limits-and-errors)."""

type Pause = Callable[[float], Awaitable[None]]
"""Waits for so many seconds."""

type Method = Literal["GET", "POST", "PUT", "DELETE"]


type LogFetcher = Callable[[str], Awaitable[str | None]]
"""Returns the log at an address; None while it is not there."""

LOG_TRIES = 3
LOG_INTERVAL_SECONDS = 1.5
"""A log appears within seconds (the official client asks for nine). All of it takes 21 s at most, less than the
janitor reserves for what comes after."""


class RequestNotSentError(Exception):
    """No connection could be made, so Vast.ai has done nothing."""


class ResponseLostError(Exception):
    """The connection broke or timed out after the request was sent: it may have been carried out."""


class VastaiTransport(Protocol):
    """Sends one request with the key, and no second one."""

    async def __call__(
        self,
        method: Method,
        path: str,
        *,
        timeout_seconds: float,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
    ) -> VastaiResponse:
        """Return the response, of any status.

        Raises
        ------
        RequestNotSentError, ResponseLostError
            There is no response.
        """
        ...


class VastAi(Provider):
    """Vast.ai. The caller paces the calls, except for the pages of one listing.

    Parameters
    ----------
    pause
        Waits between pages. An account with more than 25 machines pays for a second of a function per page.
    fetch_log
        Reads logs; None for a process that reads none.
    """

    def __init__(self, transport: VastaiTransport, pause: Pause, fetch_log: LogFetcher | None = None) -> None:
        self._transport = transport
        self._pause = pause
        self._fetch_log = fetch_log

    @override
    async def search(self, requirements: Requirements, from_usd_per_hour: Decimal) -> OfferPage:
        """`POST /bundles/`: up to 64 on-demand offers, cheapest first."""
        body = _search_body(requirements, from_usd_per_hour)
        found = await self._call("POST", "/api/v0/bundles/", body=body)
        offers = found.get("offers")
        if isinstance(offers, dict):
            offers = [offers]
        if not isinstance(offers, list):
            raise ProviderFailedError("Vast.ai's answer to a search holds no offers.")
        read = (read_offer(members) for members in offers if isinstance(members, dict))
        return OfferPage(tuple(offer for offer in read if offer is not None), len(offers) >= MAX_OFFERS)

    @override
    async def find_template(self, template_hash: str) -> Template | None:
        """`GET /template/`; only the template with exactly that hash counts."""
        filters = json.dumps({"hash_id": {"eq": template_hash}})
        query = {"select_cols": '["*"]', "select_filters": filters}
        found = await self._call("GET", "/api/v0/template/", query=query)
        templates = found.get("templates")
        if not isinstance(templates, list):
            raise ProviderFailedError("Vast.ai's answer to a search for a template holds no templates.")
        rows = (row for row in templates if isinstance(row, dict) and row.get("hash_id") == template_hash)
        row = next(rows, None)
        return None if row is None else read_template(row)

    @override
    async def read_account(self) -> Account:
        """`GET /users/current/`; `credit` is the prepaid money, `balance` belongs to the invoices."""
        response = await self._send("GET", "/api/v0/users/current/")
        try:
            members = _require_success(response)
        except ProviderKeyError:
            # A key may lack this right alone; if it is wrong, the next call fails.
            return Account(response.key_mark)
        return Account(response.key_mark, read_int(members, "id"), read_money(members, "credit"))

    @override
    async def create(self, order: Order) -> int:
        """`PUT /asks/{id}/`."""
        path = f"/api/v0/asks/{order.offer_id}/"
        try:
            response = await self._transport(
                "PUT", path, timeout_seconds=CREATE_TIMEOUT_SECONDS, body=_create_body(order)
            )
        except RequestNotSentError:
            raise ProviderFailedError("No connection to Vast.ai could be made.") from None
        except ResponseLostError:
            raise CreateLostError("Vast.ai did not answer an order.") from None
        members = response.members()
        contract_id = read_int(members, "new_contract")
        if response.is_success and members.get("success") is True and contract_id is not None:
            return contract_id
        failure = describe_failure(response)
        # A failing gateway does not know whether the order was carried out.
        says_nothing = (
            response.is_success or response.is_from_gateway or isinstance(failure, ProviderFailedError)
        )
        if contract_id is None and says_nothing:
            raise CreateLostError(f"Vast.ai's answer to an order says nothing ({response.status}).")
        raise failure

    @override
    async def list_instances(self, begun_at: datetime) -> Listing:
        """`GET /api/v1/instances/`, page by page to the end."""
        found: list[Instance] = []
        token: str | None = None
        key_mark: str | None = None
        for _ in range(MAX_PAGES):
            response = await self._list_page(token)
            page = _require_success(response)
            if key_mark not in (None, response.key_mark):
                raise ProviderFailedError("The key changed during a listing.")
            key_mark = response.key_mark
            rows = page.get("instances")
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise ProviderFailedError("Vast.ai's listing holds no instances.")
            found += [read_instance(row) for row in rows]
            next_token = page.get("next_token")
            if not next_token:
                # New machines come on later pages, and one that goes lowers the count: it never exceeds what came.
                # `instances_found` would not do: it counts the page.
                total_count = read_int(page, "total_instances")
                if total_count is None or total_count > len(found):
                    raise ProviderFailedError(
                        "Vast.ai lists fewer machines than it counts, or does not count."
                    )
                return Listing(begun_at, tuple(found), key_mark)
            if not isinstance(next_token, str) or next_token == token:
                raise ProviderFailedError("Vast.ai's listing does not come to an end.")
            token = next_token
            await self._pause(PAGE_INTERVAL_SECONDS)
        raise ProviderFailedError("Vast.ai's listing does not come to an end.")

    @override
    async def show(self, contract_id: int) -> Sight:
        """`GET /instances/{id}/`; null and 404 both mean that the machine is not shown."""
        response = await self._send("GET", f"/api/v0/instances/{contract_id}/")
        if is_gone(response):
            return Sight(None, response.key_mark)
        members = _require_success(response)
        shown = members.get("instances")
        if "instances" not in members or not (shown is None or isinstance(shown, dict)):
            raise ProviderFailedError(
                "Vast.ai's answer shows no machine, and does not say that there is none."
            )
        return Sight(read_instance(shown) if shown else None, response.key_mark)

    @override
    async def read_charges(self, since: datetime, until: datetime) -> Charges:
        """`GET /charges/`, page by page to the end, oldest first: what is charged meanwhile comes last."""
        filters = {"day": {"gte": int(since.timestamp()), "lte": int(until.timestamp())}}
        query = {
            "select_filters": json.dumps({**filters, "type": {"in": ["instance"]}}),
            "latest_first": "false",
            "limit": str(CHARGES_PAGE_SIZE),
        }
        rows: list[Members] = []
        key_mark: str | None = None
        for _ in range(MAX_CHARGE_PAGES):
            response = await self._send("GET", "/api/v0/charges/", query=query)
            page = _require_success(response)
            if key_mark not in (None, response.key_mark):
                raise ProviderFailedError("The key changed while charges were read.")
            key_mark = response.key_mark
            found = page.get("results")
            if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
                raise ProviderFailedError("Vast.ai's answer holds no charges.")
            rows += found
            next_token = page.get("next_token")
            if not next_token:
                return add_up(rows)
            if not isinstance(next_token, str) or next_token == query.get("after_token"):
                break
            query = {**query, "after_token": next_token}
            await self._pause(PAGE_INTERVAL_SECONDS)
        raise ProviderFailedError("Vast.ai's charges do not come to an end.")

    @override
    async def label(self, contract_id: int, label: str) -> None:
        """`PUT /instances/{id}/`."""
        await self._call("PUT", f"/api/v0/instances/{contract_id}/", body={"label": label})

    @override
    async def destroy(self, contract_id: int) -> bool:
        """`DELETE /instances/{id}/`."""
        response = await self._send("DELETE", f"/api/v0/instances/{contract_id}/", body={})
        if is_gone(response):
            return False
        _require_success(response)
        return True

    @override
    async def destroy_many(self, contract_ids: Sequence[int]) -> bool:
        """`DELETE /instances/`; that one of them does not exist says nothing about the others."""
        body = {"instance_ids": [*contract_ids]}
        response = await self._send("DELETE", "/api/v0/instances/", body=body)
        if not is_gone(response):
            _require_success(response)
        return True

    @override
    async def read_log(self, contract_id: int, tail_lines: int) -> str:
        """`PUT /instances/request_logs/{id}/`, then the address that it answers, without the key."""
        if self._fetch_log is None:
            raise ProviderFailedError("This process reads no logs.")
        url = await self.read_log_url(contract_id, tail_lines)
        for _ in range(LOG_TRIES):
            await self._pause(LOG_INTERVAL_SECONDS)
            text = await self._fetch_log(url)
            if text is not None:
                return text
        raise ProviderFailedError("A machine's log did not appear.")

    async def read_log_url(self, contract_id: int, tail_lines: int) -> str:
        """Return where the machine's log will appear within seconds: `PUT /instances/request_logs/{id}/`.

        The log holds the container's output, secrets included: it is for operators, who have the key.
        """
        path = f"/api/v0/instances/request_logs/{contract_id}/"
        url = (await self._call("PUT", path, body={"tail": str(tail_lines)})).get("result_url")
        if not isinstance(url, str):
            raise ProviderFailedError("Vast.ai's answer names no log.")
        return url

    async def _list_page(self, token: str | None) -> VastaiResponse:
        query = {
            "select_filters": "{}",
            "order_by": '[{"col": "id", "dir": "asc"}]',
            "limit": str(PAGE_SIZE),
        }
        return await self._send(
            "GET", "/api/v1/instances/", query=query if token is None else {**query, "after_token": token}
        )

    async def _call(
        self,
        method: Method,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
    ) -> Members:
        return _require_success(await self._send(method, path, query=query, body=body))

    async def _send(
        self,
        method: Method,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
    ) -> VastaiResponse:
        try:
            return await self._transport(
                method, path, timeout_seconds=CALL_TIMEOUT_SECONDS, query=query, body=body
            )
        except RequestNotSentError:
            raise ProviderFailedError("No connection to Vast.ai could be made.") from None
        except ResponseLostError:
            raise ProviderFailedError("Vast.ai did not answer.") from None


def _require_success(response: VastaiResponse) -> Members:
    if not response.is_success:
        raise describe_failure(response)
    members = response.members()
    if not members:
        raise ProviderFailedError("Vast.ai answered with something other than JSON.")
    return members


def _search_body(requirements: Requirements, from_usd_per_hour: Decimal) -> dict[str, object]:
    return {
        "verified": {"eq": True},
        "external": {"eq": False},
        "rentable": {"eq": True},
        "rented": {"eq": False},
        "gpu_total_ram": {"gte": requirements.offered_vram_mb},
        "disk_space": {"gte": requirements.disk_gb},
        "dph_total": {"gte": float(from_usd_per_hour), "lte": float(requirements.max_usd_per_hour)},
        "gpu_arch": {"eq": "nvidia"},
        "cpu_arch": {"eq": "amd64"},
        # Both: with the second alone some GPUs are not shown (https://github.com/dstackai/gpuhunt/pull/142).
        "compute_cap": {"gte": requirements.gpu.compute_capability},
        "cuda_max_good": {"gte": requirements.gpu.cuda_version},
        "reliability": {"gte": requirements.reliability_ratio},
        "direct_port_count": {"gte": requirements.port_count},
        "inet_down": {"gte": requirements.download_mbit_per_second},
        "inet_down_cost": {"lte": float(MAX_DOWNLOAD_USD_PER_GB)},
        "duration": {"gte": requirements.time_needed.total_seconds()},
        "order": [["dph_total", "asc"]],
        "type": "on-demand",
        "limit": MAX_OFFERS,
        # Without it the quoted price includes a disk of another size.
        "allocated_storage": float(requirements.disk_gb),
    }


def _create_body(order: Order) -> dict[str, object]:
    body: dict[str, object] = {
        "client_id": "me",
        "label": order.label,
        "disk": order.disk_gb,
        # An object: this endpoint ignores the docker flags that the reference also shows.
        "env": {**{f"-p {port}:{port}": "1" for port in order.ports}, **order.env},
        "target_state": "running",
        # Without it a machine that cannot start at once remains as a stopped contract, which bills its disk.
        "cancel_unavail": True,
    }
    if order.template_hash is not None:
        body["template_hash_id"] = order.template_hash
    if order.image is not None:
        body["image"] = order.image
    if order.template_hash is None or order.script is not None:
        # `args` keeps the image's entrypoint; every other run type replaces it by an ssh server.
        body["runtype"] = "args"
    if order.script is not None:
        # As Vast.ai's own client passes an entrypoint (https://github.com/vast-ai/vast-cli).
        body |= {"onstart": "/bin/sh", "args": ["-c", order.script]}
    elif order.template_hash is None:
        body["args"] = ["serve"]
    return body
