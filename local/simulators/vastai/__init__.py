"""A simulated Vast.ai: its REST API with the lies it is known for, a market, an account and its bills.

Written from Vast.ai's documentation (vast-ai/docs, August 2026), from what the official client sends, and from what
users of the API report; checked with the official client (`vastai` 1.9.1).
"""

from local.simulators.vastai.bills import Bill
from local.simulators.vastai.boots import BootFailure, BootScript, Loss
from local.simulators.vastai.contracts import Contract
from local.simulators.vastai.default_market import DEFAULT_OFFERS, DEFAULT_TEMPLATES
from local.simulators.vastai.endpoints import Endpoint, Scope
from local.simulators.vastai.faults import Fault, FaultKind, FaultScript, RetryAfterIn
from local.simulators.vastai.machines import MachineHost, RentedMachine
from local.simulators.vastai.offers import SimulatedOffer
from local.simulators.vastai.requests import RequestLog, RequestRecord
from local.simulators.vastai.settings import VastaiSettings
from local.simulators.vastai.simulator import SimulatedVastai
from local.simulators.vastai.templates import SimulatedTemplate
from local.simulators.vastai.wire import Delivery, VastAnswer, VastRequest

__all__ = [
    "DEFAULT_OFFERS",
    "DEFAULT_TEMPLATES",
    "Bill",
    "BootFailure",
    "BootScript",
    "Contract",
    "Delivery",
    "Endpoint",
    "Fault",
    "FaultKind",
    "FaultScript",
    "Loss",
    "MachineHost",
    "RentedMachine",
    "RequestLog",
    "RequestRecord",
    "RetryAfterIn",
    "Scope",
    "SimulatedOffer",
    "SimulatedTemplate",
    "SimulatedVastai",
    "VastAnswer",
    "VastRequest",
    "VastaiSettings",
]
