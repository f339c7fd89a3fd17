"""Volumes: list, search, create, delete."""

import re

from local.simulators.vastai.filters import FilterError, matches
from local.simulators.vastai.market import Listing, volume_offer_id
from local.simulators.vastai.volumes import FREEING_SECONDS, Volume
from local.simulators.vastai.wire import Json, VastAnswer, failure, success
from local.simulators.vastai.world import Call, World

_NAME = re.compile(r"[A-Za-z0-9_]{1,64}")
_OPTIONS = {"order", "limit", "allocated_storage", "type"}
_MAX_OFFERS = 64


def list_volumes(world: World, call: Call) -> VastAnswer:
    """Return the account's volumes."""
    rows = [
        volume.describe(is_in_use=_is_in_use(world, volume, call.now))
        for volume in world.volumes.volumes.values()
    ]
    return VastAnswer(status=200, body={"volumes": [*rows]})


def search(world: World, call: Call) -> VastAnswer:
    """Return what can be had as a volume: half of every free machine's disk."""
    conditions = {name: value for name, value in call.body.items() if name not in _OPTIONS}
    try:
        rows = [_describe_offer(listing, call.now) for listing in world.market.free(call.now)]
        found = [
            row for row in rows if all(matches(row.get(name), test) for name, test in conditions.items())
        ]
    except FilterError as error:
        return failure(400, "invalid_request", str(error))
    return VastAnswer(status=200, body={"offers": [*found[:_MAX_OFFERS]]})


def create(world: World, call: Call) -> VastAnswer:
    """Make a volume on the machine of a volume offer."""
    number, size, name = call.body.get("id"), call.body.get("size"), call.body.get("name")
    if name is not None and (not isinstance(name, str) or not _NAME.fullmatch(name)):
        return failure(422, "invalid_args", "name must be 1 to 64 of A-Z a-z 0-9 _")
    listing = next(
        (entry for entry in world.market.free(call.now) if volume_offer_id(entry.offer) == number), None
    )
    if listing is None:
        return failure(404, "no_such_ask", f"no_such_ask Volume offer {number} is not available.")
    if isinstance(size, bool) or not isinstance(size, (int, float)) or size <= 0:
        return failure(400, "invalid_args", "size must be a positive number of GB")
    volume = world.volumes.add(listing.offer, float(size), name, call.now)
    world.account.touch(call.now)
    return success(volume_name=volume.name)


def delete(world: World, call: Call) -> VastAnswer:
    """Delete a volume that nothing mounts; its id stands in the query or in the body."""
    text = call.request.query.get("id") or call.body.get("id")
    try:
        number = int(text) if isinstance(text, (str, int)) else 0
    except ValueError:
        number = 0
    volume = world.volumes.volumes.get(number)
    if volume is None:
        return failure(404, "no_such_volume", f"Volume {text} not found.")
    if _is_in_use(world, volume, call.now):
        return failure(400, "invalid_args", f"Volume {number} is in use.")
    world.volumes.remove(volume, call.now)
    world.account.touch(call.now)
    return success()


def _is_in_use(world: World, volume: Volume, now: float) -> bool:
    contract = world.account.instances.get(volume.contract_id or 0)
    if contract is None:
        return False
    moment = contract.moment(now)
    return moment.exists or now < moment.at + FREEING_SECONDS


def _describe_offer(listing: Listing, now: float) -> Json:
    row = listing.row
    offer = listing.offer
    return {
        "id": volume_offer_id(offer),
        "verified": offer.verification == "verified",
        "external": bool(row["external"]),
        "disk_space": offer.disk_space_gb / 2,
        "storage_cost": offer.storage_usd_per_gb_month,
        "start_date": listing.began_at,
        "end_date": listing.ends_at,
        "duration": listing.ends_at - now,
        "score": offer.disk_bw_mb_per_second / 100,
        **{
            name: row[name]
            for name in (
                "machine_id",
                "host_id",
                "geolocation",
                "reliability2",
                "disk_bw",
                "disk_name",
                "inet_up",
                "inet_down",
                "cuda_max_good",
                "driver_version",
                "verification",
                "hosting_type",
            )
        },
    }
