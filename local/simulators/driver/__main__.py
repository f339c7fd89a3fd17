"""`python -m local.simulators.driver`: one simulated server until SIGTERM or SIGINT."""

import argparse

from local.simulators.command_line import add_numbers, add_port, read_numbers
from local.simulators.driver.app import create_app
from local.simulators.driver.state import DriverSettings, SimulatedDriver
from local.simulators.serving import serve

DEFAULT_PORT = 5060

_NUMBERS = {"delay_seconds": "time that an answer takes"}


def main() -> None:
    """Serve what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m local.simulators.driver", description=__doc__)
    add_port(parser, DEFAULT_PORT)
    parser.add_argument("--token", help="what callers must send; by default none is needed")
    add_numbers(parser, DriverSettings(), _NUMBERS)
    chosen = parser.parse_args()
    settings = DriverSettings(token=chosen.token, **read_numbers(chosen, _NUMBERS))
    serve(create_app(SimulatedDriver(settings)), port=chosen.port)


if __name__ == "__main__":
    main()
