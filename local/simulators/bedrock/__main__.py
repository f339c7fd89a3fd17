"""`python -m local.simulators.bedrock`: one simulated region of Bedrock until SIGTERM or SIGINT."""

import argparse
from collections.abc import Sequence

from local.simulators.bedrock.app import create_app
from local.simulators.bedrock.settings import BedrockSettings
from local.simulators.bedrock.state import SimulatedBedrock
from local.simulators.serving import serve

DEFAULT_PORT = 4577

_NUMBERS = {
    "first_token_seconds": (float, "from the request to the first piece"),
    "output_tokens_per_second": (float, "writing speed"),
    "answer_tokens": (int, "length of an answer"),
    "reasoning_tokens": (int, "length of the reasoning before it"),
    "tokens_per_chunk": (int, "tokens that arrive in one piece"),
    "cached_tokens": (int, "that every prompt claims to have found in a cache"),
}


def parse_settings(arguments: Sequence[str] | None = None) -> tuple[BedrockSettings, int]:
    """Return the settings and the port that a command line asks for; exits on a wrong one."""
    defaults = BedrockSettings()
    parser = argparse.ArgumentParser(prog="python -m local.simulators.bedrock", description=__doc__)
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0 for any free one (%(default)s)")
    parser.add_argument("--region", default=defaults.region, help="(%(default)s)")
    for name, (kind, help_text) in _NUMBERS.items():
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(
            flag, type=kind, default=getattr(defaults, name), help=f"{help_text} (%(default)s)"
        )
    chosen = parser.parse_args(arguments)
    settings = BedrockSettings(region=chosen.region, **{name: getattr(chosen, name) for name in _NUMBERS})
    return settings, chosen.port


def main() -> None:
    """Serve what the command line asks for."""
    settings, port = parse_settings()
    serve(create_app(SimulatedBedrock(settings)), port=port)


if __name__ == "__main__":
    main()
