"""`python -m local.simulators.holmes`: one simulated HolmesGPT server until SIGTERM or SIGINT."""

import argparse
from collections.abc import Sequence

from local.simulators.holmes.app import create_app
from local.simulators.holmes.state import SimulatedHolmes, SimulatedHolmesSettings
from local.simulators.serving import serve

DEFAULT_PORT = 5050
"""HolmesGPT's own."""


def parse_settings(arguments: Sequence[str] | None = None) -> tuple[SimulatedHolmesSettings, int]:
    """Return the settings and the port that a command line asks for; exits on a wrong one."""
    defaults = SimulatedHolmesSettings()
    parser = argparse.ArgumentParser(prog="python -m local.simulators.holmes", description=__doc__)
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0 for any free one (%(default)s)")
    parser.add_argument(
        "--model",
        action="append",
        metavar="NAME",
        help="a name in its modelList, instead of the usual; repeatable",
    )
    parser.add_argument("--api-key", help="what callers must send; none by default, and then anybody may ask")
    parser.add_argument("--delay-seconds", type=float, default=defaults.delay_seconds, help="(%(default)s)")
    chosen = parser.parse_args(arguments)
    settings = SimulatedHolmesSettings(
        models=tuple(chosen.model or defaults.models),
        api_key=chosen.api_key,
        delay_seconds=chosen.delay_seconds,
    )
    return settings, chosen.port


def main() -> None:
    """Serve what the command line asks for."""
    settings, port = parse_settings()
    serve(create_app(SimulatedHolmes(settings)), port=port)


if __name__ == "__main__":
    main()
