"""Changing and ending instances."""

from dataclasses import replace

from local.simulators.vastai.boots import Moment, gone, plan_restart, stopped
from local.simulators.vastai.contracts import Contract
from local.simulators.vastai.faults import VastaiFaultKind
from local.simulators.vastai.wire import JsonValue, VastAnswer, failure, success
from local.simulators.vastai.world import VastaiCall, World

MAX_LABEL_CHARS = 1_024
QUEUED_TEXT = "Required resources are currently unavailable, state change queued."


def manage(world: World, call: VastaiCall) -> VastAnswer:
    """Label, stop or start one instance."""
    contract = world.find(call.number)
    if contract is None:
        return no_such_instance(404, call.number)
    if "label" in call.body:
        return _label(contract, call.body["label"])
    return _set_state(world, call, contract, call.body.get("state"))


def change_bid(world: World, call: VastaiCall) -> VastAnswer:
    """Change the bid of an interruptible instance; a bid below the minimum stops it."""
    contract = world.find(call.number)
    if contract is None:
        return no_such_instance(404, call.number)
    price = call.body.get("price")
    if isinstance(price, bool) or not isinstance(price, (int, float)) or price <= 0:
        return failure(400, "invalid_price", "price must be a positive number")
    if contract.order.bid_usd_per_hour is None:
        return failure(400, "invalid_args", f"Instance {call.number} is not interruptible.")
    contract.order = replace(contract.order, bid_usd_per_hour=float(price))
    contract.reprice(call.now, float(price))
    if price < contract.listing.offer.min_bid:
        contract.replan(call.now, [stopped(call.now, intended="running")])
    world.account.touch(call.now)
    return success()


def destroy(world: World, call: VastaiCall) -> VastAnswer:
    """End one instance and its bill."""
    contract = world.find(call.number)
    if contract is None:
        return no_such_instance(world.settings.gone_instance_status, call.number)
    _end(world, call, contract)
    return success(msg=f"destroying instance {call.number}.")


def destroy_many(world: World, call: VastaiCall) -> VastAnswer:
    """End the instances named by `instance_ids`, also when some of them do not exist."""
    missing: list[int] = []
    for number in read_ids(call.body.get("instance_ids")):
        contract = world.find(number)
        if contract is None:
            missing.append(number)
        else:
            _end(world, call, contract)
    return no_such_instance(world.settings.gone_instance_status, missing[0]) if missing else success()


def no_such_instance(status: int, number: int | None) -> VastAnswer:
    """Return the answer about an instance that does not exist."""
    return failure(status, "no_such_instance", f"Instance {number} not found.")


def read_ids(value: JsonValue) -> list[int]:
    """Return the whole numbers of a list."""
    return [item for item in value if isinstance(item, int)] if isinstance(value, list) else []


def _label(contract: Contract, label: JsonValue) -> VastAnswer:
    if not isinstance(label, str):
        return failure(400, "invalid_args", "label must be text")
    if len(label) > MAX_LABEL_CHARS:
        return failure(400, "label_too_long", f"label is longer than {MAX_LABEL_CHARS} characters")
    contract.label = label
    return success(msg=f"label for {contract.contract_id} set to '{label}'")


def _set_state(world: World, call: VastaiCall, contract: Contract, state: JsonValue) -> VastAnswer:
    moment = contract.moment(call.now)
    if state == "stopped":
        # This also cancels a queued start.
        if moment.actual != "stopped" or moment.intended != "stopped":
            world.account.replan(contract, call.now, [stopped(call.now)])
        return success()
    if state != "running":
        return failure(400, "invalid_args", f"error 400/3467: Invalid args: state {state}")
    return success() if moment.actual != "stopped" else _start(world, call, contract)


def _start(world: World, call: VastaiCall, contract: Contract) -> VastAnswer:
    if call.now >= contract.listing.ends_at:
        return failure(400, "invalid_args", "The host's offer has ended.")
    if world.account.credit_usd(call.now) <= 0:
        return failure(400, "missing_billing", "Your account lacks credit.")
    machine_id = contract.listing.offer.machine_id
    taken = world.faults.take_effect(
        VastaiFaultKind.GPU_TAKEN, call.endpoint, machine_id, contract.contract_id
    )
    if taken is None:
        world.account.replan(contract, call.now, _start_plan(contract, call.now))
        return success()
    waiting = replace(stopped(call.now, intended="running"), following="running")
    planned = [waiting, *_start_plan(contract, call.now + taken.delay_seconds)]
    world.account.replan(contract, call.now, planned)
    return failure(200, "resources_unavailable", QUEUED_TEXT)


def _start_plan(contract: Contract, at: float) -> list[Moment]:
    return plan_restart(contract.boot, at, contract.usd_per_hour, contract.order.image)


def _end(world: World, call: VastaiCall, contract: Contract) -> None:
    if contract.destroyed_by is not None:
        return
    machine_id, contract_id = contract.listing.offer.machine_id, contract.contract_id
    if world.faults.take_effect(VastaiFaultKind.DESTROY_IGNORED, call.endpoint, machine_id, contract_id):
        return
    contract.destroyed_by = call.identity.kind
    slow = world.faults.take_effect(VastaiFaultKind.DESTROY_SLOW, call.endpoint, machine_id, contract_id)
    if slow is None:
        world.account.replan(contract, call.now, [gone(call.now)])
        return
    unloading = replace(contract.moment(call.now), at=call.now, intended="stopped", following="unloaded")
    world.account.replan(contract, call.now, [unloading, gone(call.now + slow.delay_seconds)])
