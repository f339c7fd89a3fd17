"""Changing and ending instances."""

from dataclasses import replace

from local.simulators.vastai.boots import Moment, gone, plan_restart, stopped
from local.simulators.vastai.contracts import Contract
from local.simulators.vastai.faults import FaultKind
from local.simulators.vastai.wire import Json, JsonValue, VastAnswer, failure, success
from local.simulators.vastai.world import Call, World

MAX_LABEL_CHARS = 1_024
QUEUED_TEXT = "Required resources are currently unavailable, state change queued."


def manage(world: World, call: Call) -> VastAnswer:
    """Label, stop or start one instance."""
    contract = world.find(call.number)
    if contract is None:
        return no_such_instance(404, call.number)
    if "label" in call.body:
        return _label(contract, call.body["label"])
    return _set_state(world, call, contract, call.body.get("state"))


def manage_many(world: World, call: Call) -> VastAnswer:
    """Stop or start the instances named by `ids`."""
    answer = success()
    for number in read_ids(call.body.get("ids")):
        contract = world.find(number)
        if contract is None:
            return no_such_instance(404, number)
        answer = _set_state(world, call, contract, call.body.get("state"))
    return answer


def reboot(world: World, call: Call) -> VastAnswer:
    """Stop and start the container, on the same machine."""
    return _restart(world, call, "rebooting")


def recycle(world: World, call: Call) -> VastAnswer:
    """Make the container anew from its image, which is here already."""
    return _restart(world, call, "loading")


def change_bid(world: World, call: Call) -> VastAnswer:
    """Change what an interruptible instance pays from now on; below the minimum it is stopped."""
    contract = world.find(call.number)
    if contract is None:
        return no_such_instance(404, call.number)
    price = call.body.get("price")
    if isinstance(price, bool) or not isinstance(price, (int, float)) or price <= 0:
        return failure(400, "invalid_price", "price must be a positive number")
    if contract.order.bid_usd_per_hour is None:
        return failure(400, "invalid_args", f"Instance {call.number} is not interruptible.")
    contract.usd_per_hour = float(price)
    contract.order = replace(contract.order, bid_usd_per_hour=float(price))
    if price < contract.listing.offer.min_bid:
        world.account.replan(contract, call.now, [stopped(call.now, intended="running")])
    else:
        planned = [replace(contract.moment(call.now), at=call.now), *_later(contract, call.now)]
        world.account.replan(contract, call.now, [_repriced(moment, float(price)) for moment in planned])
    return success()


def update_template(world: World, call: Call) -> VastAnswer:
    """Give an instance another template or image for its next start."""
    contract = world.find(call.number)
    if contract is None:
        return no_such_instance(404, call.number)
    hash_id = call.body.get("template_hash_id")
    template = world.templates.templates.get(hash_id) if isinstance(hash_id, str) else None
    if hash_id is not None and template is None:
        return failure(400, "invalid_args", f"no template with hash_id {hash_id}")
    image = call.body.get("image")
    contract.order = replace(
        contract.order,
        image=image if isinstance(image, str) else template.full_image if template else contract.order.image,
        template_id=template.template_id if template else contract.order.template_id,
        template_hash=template.hash_id if template else contract.order.template_hash,
    )
    return success()


def destroy(world: World, call: Call) -> VastAnswer:
    """End one instance and its bill."""
    contract = world.find(call.number)
    if contract is None:
        return no_such_instance(world.settings.gone_instance_status, call.number)
    _end(world, call, contract)
    return success(msg=f"destroying instance {call.number}.")


def destroy_many(world: World, call: Call) -> VastAnswer:
    """End the instances named by `instance_ids`; those that are not there do not keep it from the others."""
    missing: list[int] = []
    for number in read_ids(call.body.get("instance_ids")):
        contract = world.find(number)
        if contract is None:
            missing.append(number)
        else:
            _end(world, call, contract)
    return no_such_instance(world.settings.gone_instance_status, missing[0]) if missing else success()


def no_such_instance(status: int, number: int | None) -> VastAnswer:
    """Return the answer about an instance that is not there."""
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


def _set_state(world: World, call: Call, contract: Contract, state: JsonValue) -> VastAnswer:
    moment = contract.moment(call.now)
    if state == "stopped":
        # A queued start counts as one: it is cancelled.
        if moment.actual != "stopped" or moment.intended != "stopped":
            world.account.replan(contract, call.now, [stopped(call.now)])
        return success()
    if state != "running":
        return failure(400, "invalid_args", f"error 400/3467: Invalid args: state {state}")
    return success() if moment.actual != "stopped" else _start(world, call, contract)


def _start(world: World, call: Call, contract: Contract) -> VastAnswer:
    if call.now >= contract.listing.ends_at:
        return failure(400, "invalid_args", "The host's offer has ended.")
    if world.account.credit_usd(call.now) <= 0:
        return failure(400, "missing_billing", "Your account lacks credit.")
    machine_id = contract.listing.offer.machine_id
    taken = world.faults.take_effect(FaultKind.GPU_TAKEN, call.endpoint, machine_id, contract.contract_id)
    if taken is None:
        world.account.replan(contract, call.now, _start_plan(contract, call.now))
        return success()
    waiting = replace(stopped(call.now, intended="running"), following="running")
    planned = [waiting, *_start_plan(contract, call.now + taken.delay_seconds)]
    world.account.replan(contract, call.now, planned)
    return failure(200, "resources_unavailable", QUEUED_TEXT)


def _start_plan(contract: Contract, at: float) -> list[Moment]:
    return plan_restart(contract.boot, at, contract.usd_per_hour, contract.order.image)


def _restart(world: World, call: Call, actual: str) -> VastAnswer:
    contract = world.find(call.number)
    if contract is None:
        return no_such_instance(404, call.number)
    if not contract.moment(call.now).is_up:
        return failure(400, "invalid_args", f"Instance {call.number} is not running.")
    plan = plan_restart(contract.boot, call.now, contract.usd_per_hour, contract.order.image, actual=actual)
    world.account.replan(contract, call.now, plan)
    return success()


def _end(world: World, call: Call, contract: Contract) -> None:
    if contract.destroyed_by is not None:
        return
    machine_id, contract_id = contract.listing.offer.machine_id, contract.contract_id
    if world.faults.take_effect(FaultKind.DESTROY_LIE, call.endpoint, machine_id, contract_id):
        return
    contract.destroyed_by = call.identity.kind
    slow = world.faults.take_effect(FaultKind.DESTROY_SLOW, call.endpoint, machine_id, contract_id)
    if slow is None:
        world.account.replan(contract, call.now, [gone(call.now)])
        return
    unloading = replace(contract.moment(call.now), at=call.now, intended="stopped", following="unloaded")
    world.account.replan(contract, call.now, [unloading, gone(call.now + slow.delay_seconds)])


def _later(contract: Contract, now: float) -> list[Moment]:
    return [moment for moment in contract.moments if moment.at > now]


def _repriced(moment: Moment, usd_per_hour: float) -> Moment:
    return replace(moment, gpu_usd_per_hour=usd_per_hour) if moment.gpu_usd_per_hour else moment


def describe_ids(body: Json) -> list[int]:
    """Return the instances that a request for many names."""
    return [*read_ids(body.get("ids")), *read_ids(body.get("instance_ids"))]
