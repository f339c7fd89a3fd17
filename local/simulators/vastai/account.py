"""The account: its contracts, what they cost, and what happens when its credit is used up."""

import math
from collections.abc import Sequence
from decimal import Decimal

from local.simulators.vastai.bills import Bill
from local.simulators.vastai.boots import Moment, stopped
from local.simulators.vastai.contracts import Contract
from local.simulators.vastai.machines import CLOSED_PORT, MachineHost
from local.simulators.vastai.market import Market

FIRST_CONTRACT_ID = 12_345_678
_SECONDS_PER_HOUR = 3_600
_EXHAUSTION_STEPS = 50


class Account:
    """All contracts ever made, and the credit that pays for them.

    Time passes only in `advance`, which applies every planned state that is due.

    Attributes
    ----------
    instances
        Every contract by its id, also ended ones.
    live
        Contracts that exist.
    """

    def __init__(
        self,
        credit_usd: Decimal,
        market: Market,
        host: MachineHost,
        *,
        download_bytes_per_second: float | None = None,
        first_contract_id: int = FIRST_CONTRACT_ID,
    ) -> None:
        self.instances: dict[int, Contract] = {}
        self.live: dict[int, Contract] = {}
        self._market = market
        self._host = host
        self._download_bytes_per_second = download_bytes_per_second
        self._prepaid_usd = credit_usd
        self._closed_usd = Decimal(0)
        self._next_contract_id = first_contract_id
        self._changes_at = math.inf
        self._checked_at = -math.inf
        self._solvent_until = math.inf

    def next_contract_id(self) -> int:
        """Return a new id."""
        self._next_contract_id += 1
        return self._next_contract_id - 1

    def open(self, contract: Contract, now: float) -> None:
        """Add a contract; its machine leaves the market."""
        self.instances[contract.contract_id] = contract
        self.live[contract.contract_id] = contract
        contract.listing.contract_id = contract.contract_id
        self.touch(now)

    def replan(self, contract: Contract, now: float, planned: Sequence[Moment]) -> None:
        """Change the states that a contract will go through from now on."""
        contract.replan(now, planned)
        self.touch(now)

    def add_credit(self, amount_usd: Decimal, now: float) -> None:
        """Add to the prepaid credit; a negative amount takes from it."""
        self._prepaid_usd += amount_usd
        self.touch(now)

    def touch(self, now: float) -> None:
        """Compute everything again after a change that time did not cause."""
        self._solvent_until = self._changes_at = -math.inf
        self.advance(now)

    def next_change_at(self) -> float | None:
        """Return when a contract's state will next change by itself; None for never."""
        return None if math.isinf(self._changes_at) else self._changes_at

    def bill(self, contract_id: int, now: float) -> Bill:
        """Return what a contract has cost so far.

        Raises
        ------
        KeyError
            No contract has had that id.
        """
        contract = self.instances[contract_id]
        self._count_traffic(contract)
        return contract.bill(now)

    def credit_usd(self, now: float) -> Decimal:
        """Return the prepaid credit left; it falls below zero when disks go on billing."""
        spent_usd = self._closed_usd + self._running_costs_usd(now)
        return self._prepaid_usd - spent_usd

    def advance(self, now: float) -> None:
        """Apply everything that is due by now."""
        if now >= self._solvent_until:
            self._check_credit(now)
        if now < self._changes_at:
            return
        for contract in list(self.live.values()):
            if contract.rise is not None and contract.rise.at <= now:
                rise, contract.rise = contract.rise, None
                contract.reprice(rise.at, rise.usd_per_hour)
            self._apply(contract, now)
        planned = [
            contract.moments[contract.applied_count].at
            for contract in self.live.values()
            if contract.applied_count < len(contract.moments)
        ]
        planned += [contract.rise.at for contract in self.live.values() if contract.rise is not None]
        self._changes_at = min(planned, default=math.inf)

    def _running_costs_usd(self, now: float) -> Decimal:
        total = Decimal(0)
        for contract in self.live.values():
            self._count_traffic(contract)
            total += contract.bill(now).total_usd
        return total

    def _count_traffic(self, contract: Contract) -> None:
        if contract.contract_id in self.live:
            contract.traffic = self._host.traffic(contract.contract_id)

    def _apply(self, contract: Contract, now: float) -> None:
        moments = contract.moments
        while contract.applied_count < len(moments) and moments[contract.applied_count].at <= now:
            moment = moments[contract.applied_count]
            contract.applied_count += 1
            # Of several states passed at once, only the latest has an effect.
            if contract.applied_count < len(moments) and moments[contract.applied_count].at <= now:
                continue
            self._enter(contract, moment)

    def _enter(self, contract: Contract, moment: Moment) -> None:
        if moment.is_up and contract.host_port is None:
            contract.host_port = self._start(contract, moment.at)
        elif not moment.is_up and contract.host_port is not None:
            self._count_traffic(contract)
            if contract.serves:
                self._host.stop(contract.contract_id)
            contract.host_port = None
        if not moment.exists:
            self._close(contract)

    def _start(self, contract: Contract, started_at: float) -> int:
        if not contract.serves:
            return CLOSED_PORT
        return self._host.start(contract.machine(started_at, self._download_bytes_per_second))

    def _close(self, contract: Contract) -> None:
        self._count_traffic(contract)
        self._host.forget(contract.contract_id)
        contract.destroyed_by = contract.destroyed_by or "provider"
        self._closed_usd += contract.bill(contract.moments[-1].at).total_usd
        del self.live[contract.contract_id]
        if contract.listing.contract_id == contract.contract_id:
            self._market.release(contract.listing)

    def _check_credit(self, now: float) -> None:
        credit_usd = self.credit_usd(now)
        if credit_usd > 0:
            usd_per_second = sum(self._top_usd_per_second(contract) for contract in self.live.values())
            lasts_seconds = float(credit_usd) / usd_per_second if usd_per_second else math.inf
            self._checked_at, self._solvent_until = now, now + lasts_seconds
            return
        exhausted_at = self._exhausted_at(now)
        for contract in self.live.values():
            moment = contract.moment(exhausted_at)
            if moment.exists and moment.actual != "stopped":
                contract.replan(exhausted_at, [stopped(exhausted_at, text="credit exhausted")])
        self._solvent_until, self._changes_at = math.inf, -math.inf

    def _top_usd_per_second(self, contract: Contract) -> float:
        """Return the highest cost of a contract per second, with its network at full speed in both directions."""
        machine = contract.machine(0.0, self._download_bytes_per_second)
        offer = contract.listing.offer
        received = machine.download_bytes_per_second + sum(
            s.received_bytes_per_second for s in contract.streams
        )
        sent = offer.inet_up_mbit_per_second * 125_000 + sum(
            s.sent_bytes_per_second for s in contract.streams
        )
        traffic_usd = (received * offer.inet_down_usd_per_gb + sent * offer.inet_up_usd_per_gb) / 1e9
        gpu_usd = max(contract.usd_per_hour, contract.rise.usd_per_hour if contract.rise else 0.0)
        disk_usd = offer.disk_usd_per_hour(contract.order.disk_gb) * max(1.0, contract.stopped_disk_factor)
        return (gpu_usd + disk_usd) / _SECONDS_PER_HOUR + traffic_usd

    def _exhausted_at(self, now: float) -> float:
        """Return when the credit reached zero, between the latest check and now."""
        low = max(self._checked_at, min((c.created_at for c in self.live.values()), default=now))
        high = now
        for _ in range(_EXHAUSTION_STEPS):
            middle = (low + high) / 2
            if self.credit_usd(middle) > 0:
                low = middle
            else:
                high = middle
        return high
