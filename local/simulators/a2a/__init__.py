"""A simulated A2A 1.0 server with one agent, over JSON-RPC. Its answers are made up and say so.

Written from the specification and what its SDK 1.3.0 answered (run 2026-11). Not simulated, because RUNE does not
use it: streaming, push notifications, and other bindings than JSON-RPC.
"""

from local.simulators.a2a.app import create_app
from local.simulators.a2a.state import A2aFault, A2aFaultKind, A2aSettings, SimulatedA2a

__all__ = ["A2aFault", "A2aFaultKind", "A2aSettings", "SimulatedA2a", "create_app"]
