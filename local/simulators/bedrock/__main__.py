"""`python -m local.simulators.bedrock`: one simulated region of Bedrock until SIGTERM or SIGINT."""

import argparse
from collections.abc import Sequence

from local.simulators.bedrock.app import create_app
from local.simulators.bedrock.catalog import INVESTIGATORS
from local.simulators.bedrock.settings import BedrockSettings
from local.simulators.bedrock.state import SimulatedBedrock
from local.simulators.command_line import add_numbers, add_port, read_numbers
from local.simulators.serving import serve

DEFAULT_PORT = 4577

_NUMBERS = {
    "first_token_seconds": "from the request to the first chunk",
    "output_tokens_per_second": "writing speed",
    "answer_tokens": "length of an answer",
    "reasoning_tokens": "length of the reasoning before it",
    "tokens_per_chunk": "tokens that arrive in one chunk",
    "cached_tokens": "tokens of each prompt that are reported as read from a cache",
}


def parse_settings(arguments: Sequence[str] | None = None) -> tuple[BedrockSettings, int]:
    """Return the settings and the port that a command line asks for; exits on a wrong one."""
    defaults = BedrockSettings()
    parser = argparse.ArgumentParser(prog="python -m local.simulators.bedrock", description=__doc__)
    add_port(parser, DEFAULT_PORT)
    parser.add_argument("--region", default=defaults.region, help="(%(default)s)")
    add_numbers(parser, defaults, _NUMBERS)
    chosen = parser.parse_args(arguments)
    models = (*defaults.models, *INVESTIGATORS)
    return BedrockSettings(region=chosen.region, models=models, **read_numbers(chosen, _NUMBERS)), chosen.port


def main() -> None:
    """Serve what the command line asks for."""
    settings, port = parse_settings()
    serve(create_app(SimulatedBedrock(settings)), port=port)


if __name__ == "__main__":
    main()
