"""A simulated HolmesGPT server: the HTTP protocol of the real one, with no cluster and no model behind it.

Written from HolmesGPT's HTTP reference and its server.py (read 2026-11). Its answers are made up and say so. Not
simulated, because RUNE does not use it: streaming, images, tool approval.
"""

from local.simulators.holmes.app import create_app
from local.simulators.holmes.faults import HolmesFault, HolmesFaultKind
from local.simulators.holmes.state import HolmesSettings, SimulatedHolmes

__all__ = [
    "HolmesFault",
    "HolmesFaultKind",
    "HolmesSettings",
    "SimulatedHolmes",
    "create_app",
]
