"""A simulated HolmesGPT server: the HTTP protocol of the real one, with no cluster and no model behind it.

Written from HolmesGPT's HTTP reference and its server.py (read 2026-11). Its answers are made up and say so. What
RUNE does not use is left out: streaming, images, tool approval.
"""

from local.simulators.holmes.app import create_app
from local.simulators.holmes.faults import Fault, FaultKind, Outcome, RequestRecord
from local.simulators.holmes.state import SimulatedHolmes, SimulatedHolmesSettings

__all__ = [
    "Fault",
    "FaultKind",
    "Outcome",
    "RequestRecord",
    "SimulatedHolmes",
    "SimulatedHolmesSettings",
    "create_app",
]
