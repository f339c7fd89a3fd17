"""`python -m local.simulators.holmes`: one simulated HolmesGPT server until SIGTERM or SIGINT."""

import argparse
from collections.abc import Sequence

from local.simulators.command_line import add_numbers, add_port, read_numbers
from local.simulators.holmes.app import create_app
from local.simulators.holmes.state import HolmesSettings, SimulatedHolmes
from local.simulators.serving import serve

DEFAULT_PORT = 5050
"""HolmesGPT's own."""

_NUMBERS = {"delay_seconds": "time that an investigation takes"}


def parse_settings(arguments: Sequence[str] | None = None) -> tuple[HolmesSettings, int]:
    """Return the settings and the port that a command line asks for; exits on a wrong one."""
    defaults = HolmesSettings()
    parser = argparse.ArgumentParser(prog="python -m local.simulators.holmes", description=__doc__)
    add_port(parser, DEFAULT_PORT)
    parser.add_argument(
        "--model",
        action="append",
        metavar="NAME",
        help="a name in its modelList, instead of the usual; repeatable",
    )
    parser.add_argument("--api-key", help="what callers must send; by default none is needed")
    add_numbers(parser, defaults, _NUMBERS)
    chosen = parser.parse_args(arguments)
    settings = HolmesSettings(
        models=tuple(chosen.model or defaults.models),
        api_key=chosen.api_key,
        **read_numbers(chosen, _NUMBERS),
    )
    return settings, chosen.port


def main() -> None:
    """Serve what the command line asks for."""
    settings, port = parse_settings()
    serve(create_app(SimulatedHolmes(settings)), port=port)


if __name__ == "__main__":
    main()
