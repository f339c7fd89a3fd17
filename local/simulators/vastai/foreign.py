"""Instances of another user of the same account, which RUNE must not change."""

from local.simulators.vastai.boots import Moment
from local.simulators.vastai.contracts import Contract, Order
from local.simulators.vastai.market import Listing
from local.simulators.vastai.offers import SimulatedOffer
from local.simulators.vastai.world import World

_FIRST_OFFER_ID = 90_000_001


def plant_foreign(world: World, now: float, label: str | None, offer: SimulatedOffer | None) -> int:
    """Return the id of a new running instance, on a machine outside of the market."""
    contract_id = world.account.next_contract_id()
    offer = offer or SimulatedOffer(
        offer_id=_FIRST_OFFER_ID,
        machine_id=90_000 + contract_id % 10_000,
        gpu_name="RTX 3090",
        gpu_usd_per_hour=0.2,
        gpu_ram_mb=24_576,
    )
    contract = Contract(
        contract_id=contract_id,
        listing=Listing(offer, now, row=offer.describe()),
        order=Order(image="other/user:latest", runtype="ssh", disk_gb=20.0, label=label),
        boot=world.settings.boot,
        label=label,
        usd_per_hour=offer.gpu_usd_per_hour,
        created_at=now,
        moments=[],
        image_gb=world.settings.image_gb,
        public_ipaddr=world.settings.public_ipaddr or offer.public_ipaddr,
        is_foreign=True,
    )
    running = Moment(
        at=now,
        actual="running",
        text="success, running other/user_latest",
        gpu_usd_per_hour=offer.gpu_usd_per_hour,
        is_up=True,
        shows_ports=True,
        has_pulled=True,
    )
    contract.replan(now, [running])
    world.account.open(contract, now)
    return contract_id
