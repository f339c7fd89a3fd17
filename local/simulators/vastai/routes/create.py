"""Renting: `PUT /asks/{id}/`, and its refusals."""

from dataclasses import replace
from enum import StrEnum

from local.simulators.vastai.boots import Moment, plan_boot, stopped
from local.simulators.vastai.contracts import Contract, Order, Rise
from local.simulators.vastai.faults import VastaiFault, VastaiFaultKind
from local.simulators.vastai.market import Listing
from local.simulators.vastai.orders import OrderError, asks_cancel, read_order
from local.simulators.vastai.wire import VastAnswer, failure, success
from local.simulators.vastai.world import VastaiCall, World

_REFUSALS: dict[StrEnum, str] = {
    VastaiFaultKind.SPEND_RATE_LIMIT: "New accounts may only spend so much per hour.",
    VastaiFaultKind.MISSING_BILLING: "Please set up billing first.",
}


def create(world: World, call: VastaiCall) -> VastAnswer:
    """Rent the machine of an ask."""
    try:
        order = read_order(call.body, world.templates)
    except OrderError as error:
        return failure(400, error.code, f"error 400/3467: {error}")
    listing = world.market.find(call.number or 0)
    if listing is None or not listing.is_free(call.now) or listing.current_id(call.now) != call.number:
        return _gone(world.settings.gone_offer_status, call.number)
    refused = _refuse(world, call, listing, order)
    if refused is not None:
        return refused
    fault = world.faults.take_refusal_of_create(listing.offer.machine_id)
    if fault is not None:
        return _refuse_by_fault(world, call, listing, order, fault)
    contract = open_contract(world, call, listing, order)
    return success(new_contract=contract.contract_id, instance_api_key=contract.api_key)


def _refuse(world: World, call: VastaiCall, listing: Listing, order: Order) -> VastAnswer | None:
    if order.disk_gb > listing.offer.disk_space_gb:
        return failure(400, "invalid_args", "error 400/3467: Invalid args: disk is larger than the machine's")
    if world.account.credit_usd(call.now) <= 0:
        return _no_credit()
    if order.bid_usd_per_hour is not None and order.bid_usd_per_hour < listing.offer.min_bid:
        return _leave_low_bid(world, call, listing, order)
    return None


def _refuse_by_fault(
    world: World, call: VastaiCall, listing: Listing, order: Order, fault: VastaiFault
) -> VastAnswer:
    match fault.kind:
        case VastaiFaultKind.ASK_GONE:
            listing.withdraw()
            answer = _gone(fault.status or world.settings.gone_offer_status, call.number)
        case VastaiFaultKind.UNAVAILABLE if asks_cancel(call.body, order):
            listing.withdraw()
            answer = _gone(410, call.number)
        case VastaiFaultKind.UNAVAILABLE:
            contract = open_contract(world, call, listing, order, start=[_waiting(call.now)])
            answer = success(new_contract=contract.contract_id, instance_api_key=contract.api_key)
        case VastaiFaultKind.LOW_BID:
            answer = _leave_low_bid(world, call, listing, order, fault.status or 400)
        case VastaiFaultKind.INSUFFICIENT_CREDIT:
            answer = _no_credit(fault.status or 400)
        case _:
            text = fault.text or _REFUSALS[fault.kind]
            answer = failure(fault.status or 400, fault.kind.value, text)
    return answer


def open_contract(
    world: World, call: VastaiCall, listing: Listing, order: Order, *, start: list[Moment] | None = None
) -> Contract:
    """Make a contract, which boots unless `start` gives its states."""
    settings = world.settings
    machine_id = listing.offer.machine_id
    script = listing.offer.boot or settings.boot
    if fault := world.faults.take_effect(VastaiFaultKind.BOOT, call.endpoint, machine_id):
        script = replace(script, failure=fault.boot, status_text=fault.text)
    if fault := world.faults.take_effect(VastaiFaultKind.LOSS, call.endpoint, machine_id):
        script = replace(script, loss=fault.loss, lost_after_seconds=fault.delay_seconds)
    usd_per_hour = (
        listing.offer.gpu_usd_per_hour if order.bid_usd_per_hour is None else order.bid_usd_per_hour
    )
    if fault := world.faults.take_effect(VastaiFaultKind.DEARER, call.endpoint, machine_id):
        usd_per_hour *= fault.price_factor
    contract = Contract(
        contract_id=world.account.next_contract_id(),
        listing=listing,
        order=order,
        boot=script,
        label=order.label,
        usd_per_hour=usd_per_hour,
        created_at=call.now,
        moments=[],
        image_gb=settings.image_gb,
        public_ipaddr=settings.public_ipaddr or listing.offer.public_ipaddr,
        listed_at=call.now + settings.list_lag_seconds,
        hidden_reads_count=settings.read_lag_count,
        account_env=settings.account_env,
        bandwidth_ratio=listing.offer.bandwidth_ratio,
    )
    _spoil(world, call, contract)
    if start is None and order.is_stopped:
        start = [stopped(call.now)]
    contract.replan(call.now, start or plan_boot(script, call.now, usd_per_hour, order.image))
    world.account.open(contract, call.now)
    return contract


def _spoil(world: World, call: VastaiCall, contract: Contract) -> None:
    """Let a new contract have the faults that are due, besides those of its boot and its price."""

    def take(kind: VastaiFaultKind) -> VastaiFault | None:
        return world.faults.take_effect(kind, call.endpoint, contract.listing.offer.machine_id)

    if fault := take(VastaiFaultKind.READ_LAG):
        contract.listed_at = call.now + fault.delay_seconds
        contract.hidden_reads_count = fault.reads_count
    if fault := take(VastaiFaultKind.SLOW_HOST):
        contract.bandwidth_ratio = fault.bandwidth_ratio
    if fault := take(VastaiFaultKind.PRICE_RISE):
        contract.rise = Rise(call.now + fault.delay_seconds, contract.usd_per_hour * fault.price_factor)
    if fault := take(VastaiFaultKind.STORAGE_DEARER):
        contract.stopped_disk_factor = fault.price_factor


def _waiting(now: float) -> Moment:
    return stopped(now, intended="running", text="Required resources are currently unavailable.")


def _leave_low_bid(
    world: World, call: VastaiCall, listing: Listing, order: Order, status: int = 400
) -> VastAnswer:
    """Refuse a bid as Vast.ai does: with a stopped contract, whose disk bills until it is destroyed."""
    contract = open_contract(world, call, listing, order, start=[stopped(call.now, intended="running")])
    text = f"error {status}/3609: bid is lower than the minimum; instance created in stopped state."
    return failure(status, "invalid_price", text, new_contract=contract.contract_id)


def _no_credit(status: int = 400) -> VastAnswer:
    return failure(status, "insufficient_credit", "Your account lacks credit; see the billing page.")


def _gone(status: int, offer_id: int | None) -> VastAnswer:
    if status == 410:  # noqa: PLR2004 # the two documented answers differ in code and words
        text = f"error 410/3907: no_such_ask Instance type {offer_id} is no longer available."
        return failure(410, "no_such_ask", text, ask_id=offer_id)
    text = f"error {status}/3603: no_such_ask Instance type by id {offer_id} is not available."
    return failure(status, "invalid_args", text, ask_id=offer_id)
