"""A simulated driver server: RUNE's remote driver protocol, with answers that are made up and say so.

Written from the protocol as clients and drivers in the field have it (read 2026-11). Not simulated, because RUNE
does not use it: the action `info`, and drivers over standard input.
"""

from local.simulators.driver.app import create_app
from local.simulators.driver.state import (
    DriverFault,
    DriverFaultKind,
    DriverSettings,
    SimulatedDriver,
)

__all__ = ["DriverFault", "DriverFaultKind", "DriverSettings", "SimulatedDriver", "create_app"]
