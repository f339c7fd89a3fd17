"""`python -m local.simulators.a2a`: one simulated server until SIGTERM or SIGINT."""

import argparse

from local.simulators.a2a.app import create_app
from local.simulators.a2a.state import A2aSettings, SimulatedA2a
from local.simulators.command_line import add_numbers, add_port, read_numbers
from local.simulators.serving import serve

DEFAULT_PORT = 5070

_NUMBERS = {"delay_seconds": "time that an answer takes"}


def main() -> None:
    """Serve what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m local.simulators.a2a", description=__doc__)
    add_port(parser, DEFAULT_PORT)
    parser.add_argument("--token", help="what callers must send; by default none is needed")
    add_numbers(parser, A2aSettings(), _NUMBERS)
    chosen = parser.parse_args()
    settings = A2aSettings(token=chosen.token, **read_numbers(chosen, _NUMBERS))
    serve(create_app(SimulatedA2a(settings)), port=chosen.port)


if __name__ == "__main__":
    main()
