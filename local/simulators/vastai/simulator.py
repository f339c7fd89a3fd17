"""The simulator: one request in, one answer out, at the time of a given clock."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from local.simulators.request_log import Outcome, RequestLog, outcome_of
from local.simulators.vastai.access import identify, refuse_access
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
from local.simulators.vastai.rate_limits import Identity
from local.simulators.vastai.request_log import VastaiRequest
from local.simulators.vastai.routes.managing import read_ids
from local.simulators.vastai.routes.table import HANDLERS
from local.simulators.vastai.settings import VastaiSettings
from local.simulators.vastai.wire import Delivery, VastAnswer, VastRequest, plain
from local.simulators.vastai.world import VastaiCall, World

_KEPT_BODIES = CHANGES | {Endpoint.SEARCH, Endpoint.CREATE}


class SimulatedVastai:
    """Vast.ai's API, its market and one account, without threads, timers or chance.

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
        self.settings = settings or VastaiSettings()
        self.now = now
        self.world = World(self.settings, now(), host)

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
        """Every contract ever made, by its id."""
        self.advance()
        return self.world.account.instances

    @property
    def credit_usd(self) -> Decimal:
        """The prepaid credit left."""
        self.advance()
        return self.world.account.credit_usd(self.now())

    def add_credit(self, amount_usd: Decimal) -> None:
        """Add to the prepaid credit; a negative amount takes from it."""
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
        return self.world.account.bill(contract_id, self.now())

    def live(self) -> list[Contract]:
        """Return the contracts that exist, oldest first."""
        self.advance()
        return list(self.world.account.live.values())

    def advance(self) -> None:
        """Apply everything that is due by now."""
        self.world.account.advance(self.now())

    def next_change_at(self) -> float | None:
        """Return when an instance will next change by itself; None for never."""
        return self.world.account.next_change_at()

    def lose(self, contract_id: int, loss: Loss) -> None:
        """Take a machine away now.

        Raises
        ------
        KeyError
            No contract with that id exists.
        """
        self.advance()
        contract = self.world.account.live[contract_id]
        now = self.now()
        self.world.account.replan(contract, now, [plan_loss(now, loss)])

    def raise_price(self, contract_id: int, factor: float) -> None:
        """Let a contract's GPUs cost that many times as much from now on, as after a rise that was accepted.

        Raises
        ------
        KeyError
            No contract with that id exists.
        """
        self.advance()
        contract = self.world.account.live[contract_id]
        contract.reprice(self.now(), contract.usd_per_hour * factor)
        self.world.account.touch(self.now())

    def add_traffic(self, contract_id: int, traffic: Traffic, stream: Stream | None = None) -> None:
        """Let strangers use the open port of a machine: with so many bytes at once, and steadily from now on.

        Raises
        ------
        KeyError
            No contract with that id exists.
        """
        self.advance()
        contract = self.world.account.live[contract_id]
        contract.foreign_traffic += traffic
        if stream is not None:
            contract.streams.append(stream)
        self.world.account.touch(self.now())

    def plant_foreign(self, label: str | None, *, offer: SimulatedOffer | None = None) -> int:
        """Return the id of a new running instance that another user of this account rents."""
        self.advance()
        return plant_foreign(self.world, self.now(), label, offer)

    def touched_foreign(self) -> list[VastaiRequest]:
        """Return the logged requests that named a foreign instance to change or end it."""
        foreign = {c.contract_id for c in self.world.account.instances.values() if c.is_foreign}
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
        world = self.world
        world.account.advance(now)
        endpoint, number = find_endpoint(request.method, request.path)
        identity = identify(world, request)
        record = world.requests.open(request.method, request.path, datetime.fromtimestamp(now, UTC))
        record.query, record.endpoint, record.key = dict(request.query), endpoint, identity.kind
        if endpoint is None:
            answer = self._answer_unknown(request)
        else:
            answer = self._answer_known(request, endpoint, number, identity, record)
        record.status, record.ended_at = answer.status, record.started_at
        record.outcome = _OUTCOMES.get(answer.delivery) or outcome_of(answer.status)
        return answer

    def _answer_unknown(self, request: VastRequest) -> VastAnswer:
        if request.method == "GET" and request.path.startswith(LOGS_PATH):
            text = self.read_log(request.path)
            return plain(404, "NoSuchKey") if text is None else plain(200, text)
        location = redirect_path(request.method, request.path)
        if location is None:
            return plain(404, "<html><body><h1>404 Not Found</h1></body></html>", "text/html")
        return plain(308, "", "text/html", Location=location)

    def _answer_known(
        self,
        request: VastRequest,
        endpoint: Endpoint,
        number: int | None,
        identity: Identity,
        record: VastaiRequest,
    ) -> VastAnswer:
        world, now = self.world, self.now()
        body = request.body if isinstance(request.body, dict) else {}
        if endpoint is not Endpoint.CREATE:
            record.contract_ids = tuple(read_ids(body.get("instance_ids"))) if number is None else (number,)
        if endpoint in _KEPT_BODIES:
            record.body = request.body
        refused = refuse_access(world, identity, endpoint, request, number)
        if refused is None and self.settings.rate_limits:
            refused = world.limiter.refuse(endpoint, request, identity, now)
        if refused is not None:
            return refused
        machine_id = world.machine_of(endpoint, number) if world.faults.pending() else None
        contract_id = None if endpoint is Endpoint.CREATE else number
        fault = world.faults.take_answer(endpoint, machine_id, contract_id)
        record.fault = fault.kind if fault else None
        if fault is not None and not fault.after_effect:
            return faulty_answer(world, fault, now)
        answer = HANDLERS[endpoint](world, VastaiCall(request, endpoint, identity, now, number, body))
        return answer if fault is None else _fail_delivery(world, fault, answer, now)


_OUTCOMES = {Delivery.DISCONNECTED: Outcome.DISCONNECTED, Delivery.HANG: Outcome.CANCELLED}


def _fail_delivery(world: World, fault: VastaiFault, answer: VastAnswer, now: float) -> VastAnswer:
    failed = faulty_answer(world, fault, now)
    if failed.delivery is Delivery.NORMAL:
        return failed
    return replace(answer, delivery=failed.delivery)
