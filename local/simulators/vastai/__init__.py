"""A simulated Vast.ai: its REST API with its known faults, a market, an account and its bills.

Written from Vast.ai's documentation (vast-ai/docs, August 2026), from requests of the official client, and from
reports of users of the API; checked with the official client (`vastai` 1.9.1). Not simulated, because RUNE does not
use it: volumes, making and editing templates, rebooting and recycling.
"""

from local.simulators.vastai.awkward_offers import OLD_OFFERS, OVERSTATED_OFFERS, SLICED_OFFERS
from local.simulators.vastai.bills import Bill
from local.simulators.vastai.boots import BootFailure, BootScript, Loss
from local.simulators.vastai.contracts import Contract
from local.simulators.vastai.default_market import DEFAULT_OFFERS, DEFAULT_TEMPLATES
from local.simulators.vastai.endpoints import Endpoint, Scope
from local.simulators.vastai.faults import Counted, RetryAfterIn, VastaiFault, VastaiFaultKind, VastaiFaults
from local.simulators.vastai.machines import MachineHost, RentedMachine, Stream, Traffic
from local.simulators.vastai.offers import SimulatedOffer
from local.simulators.vastai.request_log import VastaiRequest
from local.simulators.vastai.settings import VastaiSettings
from local.simulators.vastai.simulator import SimulatedVastai
from local.simulators.vastai.templates import SimulatedTemplate
from local.simulators.vastai.wire import Delivery, VastAnswer, VastRequest

__all__ = [
    "DEFAULT_OFFERS",
    "DEFAULT_TEMPLATES",
    "OLD_OFFERS",
    "OVERSTATED_OFFERS",
    "SLICED_OFFERS",
    "Bill",
    "BootFailure",
    "BootScript",
    "Contract",
    "Counted",
    "Delivery",
    "Endpoint",
    "Loss",
    "MachineHost",
    "RentedMachine",
    "RetryAfterIn",
    "Scope",
    "SimulatedOffer",
    "SimulatedTemplate",
    "SimulatedVastai",
    "Stream",
    "Traffic",
    "VastAnswer",
    "VastRequest",
    "VastaiFault",
    "VastaiFaultKind",
    "VastaiFaults",
    "VastaiRequest",
    "VastaiSettings",
]
