"""The simulator: one request in, one answer out, at the time of a given clock."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from local.simulators.request_log import Outcome, RequestLog, outcome_of
from local.simulators.vastai.access import identify, refuse_access
from local.simulators.vastai.account import Account
from local.simulators.vastai.bills import Bill
from local.simulators.vastai.boots import Loss, plan_loss
from local.simulators.vastai.contracts import Contract
from local.simulators.vastai.endpoints import CHANGES, Endpoint, find_endpoint, redirect_path
from local.simulators.vastai.faults import VastaiFault, VastaiFaults
from local.simulators.vastai.faulty_answers import faulty_answer
from local.simulators.vastai.foreign import plant_foreign
from local.simulators.vastai.logs import LOGS_PATH
from local.simulators.vastai.machines import MachineHost, Stream, Traffic
from local.simulators.vastai.offers import SimulatedOffer
from local.simulators.vastai.request_log import VastaiRequest
from local.simulators.vastai.routes.managing import read_ids
from local.simulators.vastai.routes.table import HANDLERS
from local.simulators.vastai.settings import VastaiSettings
from local.simulators.vastai.wire import Delivery, Json, VastAnswer, VastRequest, plain
from local.simulators.vastai.world import VastaiCall, World

_KEPT_BODIES = CHANGES | {Endpoint.SEARCH, Endpoint.CREATE}


class SimulatedVastai:
    """Vast.ai's API, its market and one account or more, without threads, timers or chance.

    Nothing happens between two calls: each first applies what is due by the clock. All times are epoch seconds.

    Parameters
    ----------
    now
        The clock; it may stop and jump ahead, but never goes back.
    host
        Runs the containers.
    """

    def __init__(
        self,
        settings: VastaiSettings | None = None,
        *,
        now: Callable[[], float],
        host: MachineHost,
    ) -> None:
        self.now = now
        self.world = World(settings or VastaiSettings(), now(), host)
        self._worlds = [self.world]
        self._host = host

    @property
    def settings(self) -> VastaiSettings:
        """Its settings, with the first account's present key."""
        return self.world.settings

    @property
    def faults(self) -> VastaiFaults:
        """The faults to come; they can be added at any time."""
        return self.world.faults

    @property
    def requests(self) -> RequestLog[VastaiRequest]:
        """The log of requests."""
        return self.world.requests

    @property
    def instances(self) -> dict[int, Contract]:
        """Every contract ever made in any account, by its id."""
        self.advance()
        return {number: c for world in self._worlds for number, c in world.account.instances.items()}

    @property
    def credit_usd(self) -> Decimal:
        """The prepaid credit left of the first account."""
        self.advance()
        return self.world.account.credit_usd(self.now())

    def add_credit(self, amount_usd: Decimal) -> None:
        """Add to the prepaid credit of the first account; a negative amount takes from it."""
        self.advance()
        self.world.account.add_credit(amount_usd, self.now())

    def bill(self, contract_id: int) -> Bill:
        """Return what a contract has cost so far.

        Raises
        ------
        KeyError
            No contract has had that id.
        """
        self.advance()
        return self._account_of(contract_id).bill(contract_id, self.now())

    def live(self) -> list[Contract]:
        """Return the contracts that exist, oldest first in each account."""
        self.advance()
        return [contract for world in self._worlds for contract in world.account.live.values()]

    def advance(self) -> None:
        """Apply everything that is due by now."""
        for world in self._worlds:
            world.account.advance(self.now())

    def next_change_at(self) -> float | None:
        """Return when an instance will next change by itself; None for never."""
        changes = (world.account.next_change_at() for world in self._worlds)
        return min((change for change in changes if change is not None), default=None)

    def change_key(self, api_key: str) -> None:
        """Give the first account another key; the present one is wrong from now on."""
        self.world.settings = replace(self.world.settings, api_key=api_key)

    def open_account(self, api_key: str, credit_usd: Decimal = Decimal(100)) -> None:
        """Add another account of the same market, with its own key, contracts, credit and user id."""
        number = len(self._worlds)
        self._worlds.append(self.world.other_account(api_key, credit_usd, self._host, number))

    def lose(self, contract_id: int, loss: Loss) -> None:
        """Take a machine away now.

        Raises
        ------
        KeyError
            No contract with that id exists.
        """
        self.advance()
        account, now = self._account_of(contract_id), self.now()
        account.replan(account.live[contract_id], now, [plan_loss(now, loss)])

    def raise_price(self, contract_id: int, factor: float) -> None:
        """Let a contract's GPUs cost that many times as much from now on, as after a rise that was accepted.

        Raises
        ------
        KeyError
            No contract with that id exists.
        """
        self.advance()
        account = self._account_of(contract_id)
        contract = account.live[contract_id]
        contract.reprice(self.now(), contract.usd_per_hour * factor)
        account.touch(self.now())

    def add_traffic(self, contract_id: int, traffic: Traffic, stream: Stream | None = None) -> None:
        """Let strangers use the open port of a machine: with so many bytes at once, and steadily from now on.

        Raises
        ------
        KeyError
            No contract with that id exists.
        """
        self.advance()
        account = self._account_of(contract_id)
        contract = account.live[contract_id]
        contract.foreign_traffic += traffic
        if stream is not None:
            contract.streams.append(stream)
        account.touch(self.now())

    def plant_foreign(
        self, label: str | None, *, offer: SimulatedOffer | None = None, account: int = 0
    ) -> int:
        """Return the id of a new running instance that another user rents, in the account of that number."""
        self.advance()
        return plant_foreign(self._worlds[account], self.now(), label, offer)

    def touched_foreign(self) -> list[VastaiRequest]:
        """Return the logged requests that named a foreign instance to change or end it."""
        foreign = {contract.contract_id for contract in self.instances.values() if contract.is_foreign}
        return [
            record
            for record in self.requests.records
            if record.endpoint in CHANGES and not foreign.isdisjoint(record.contract_ids)
        ]

    def read_log(self, path: str) -> str | None:
        """Return the log at a path that `request_logs` answered; None while it cannot be read."""
        return self.world.logs.read(path, self.now())

    def answer(self, request: VastRequest) -> VastAnswer:
        """Carry out a request and return its answer."""
        now = self.now()
        self.advance()
        world = self._world_of(request)
        endpoint, number = find_endpoint(request.method, request.path)
        identity = identify(world, request)
        record = world.requests.open(request.method, request.path, datetime.fromtimestamp(now, UTC))
        record.query, record.endpoint, record.key = dict(request.query), endpoint, identity.kind
        if endpoint is None:
            answer = self._answer_unknown(request)
        else:
            call = VastaiCall(request, endpoint, identity, now, number, _body_of(request))
            answer = _answer_known(world, call, record)
        record.status, record.ended_at = answer.status, record.started_at
        record.outcome = _OUTCOMES.get(answer.delivery) or outcome_of(answer.status)
        return answer

    def _account_of(self, contract_id: int) -> Account:
        for world in self._worlds:
            if contract_id in world.account.instances:
                return world.account
        raise KeyError(contract_id)

    def _world_of(self, request: VastRequest) -> World:
        """Return the world of the account whose key the request carries; a wrong key is the first one's."""
        if len(self._worlds) == 1:
            return self.world
        owners = (world for world in self._worlds if identify(world, request).kind not in {"none", "wrong"})
        return next(owners, self.world)

    def _answer_unknown(self, request: VastRequest) -> VastAnswer:
        if request.method == "GET" and request.path.startswith(LOGS_PATH):
            text = self.read_log(request.path)
            return plain(404, "NoSuchKey") if text is None else plain(200, text)
        location = redirect_path(request.method, request.path)
        if location is None:
            return plain(404, "<html><body><h1>404 Not Found</h1></body></html>", "text/html")
        return plain(308, "", "text/html", Location=location)


def _body_of(request: VastRequest) -> Json:
    return request.body if isinstance(request.body, dict) else {}


def _answer_known(world: World, call: VastaiCall, record: VastaiRequest) -> VastAnswer:
    request, endpoint, number = call.request, call.endpoint, call.number
    if endpoint is not Endpoint.CREATE:
        record.contract_ids = tuple(read_ids(call.body.get("instance_ids"))) if number is None else (number,)
    if endpoint in _KEPT_BODIES:
        record.body = request.body
    refused = refuse_access(world, call.identity, endpoint, request, number)
    if refused is None and world.settings.rate_limits:
        refused = world.limiter.refuse(endpoint, request, call.identity, call.now)
    if refused is not None:
        return refused
    machine_id = world.machine_of(endpoint, number) if world.faults.pending() else None
    contract_id = None if endpoint is Endpoint.CREATE else number
    fault = world.faults.take_answer(endpoint, machine_id, contract_id)
    record.fault = fault.kind if fault else None
    if fault is not None and not fault.after_effect:
        return faulty_answer(world, fault, call.now)
    answer = HANDLERS[endpoint](world, call)
    return answer if fault is None else _fail_delivery(world, fault, answer, call.now)


_OUTCOMES = {Delivery.DISCONNECTED: Outcome.DISCONNECTED, Delivery.HANG: Outcome.CANCELLED}


def _fail_delivery(world: World, fault: VastaiFault, answer: VastAnswer, now: float) -> VastAnswer:
    failed = faulty_answer(world, fault, now)
    if failed.delivery is Delivery.NORMAL:
        return failed
    return replace(answer, delivery=failed.delivery)
