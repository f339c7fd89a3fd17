"""A simulated HolmesGPT server: the HTTP protocol of the real one, with no cluster and no model behind it.

Written from HolmesGPT's HTTP reference and its server.py (read 2026-11), and from version 0.45.0, run then. Its
answers are made up and say so. `streams` and `reports_costs` false make it one of the servers before. Not
simulated, because RUNE does not use it: images, tool approval.
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
