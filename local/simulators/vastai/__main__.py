"""`python -m local.simulators.vastai`: one simulated Vast.ai until SIGTERM or SIGINT."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from local.simulators.command_line import add_numbers, add_port, read_numbers
from local.simulators.ollama import OllamaSettings
from local.simulators.serving import serve
from local.simulators.vastai.app import create_app
from local.simulators.vastai.local_stack import LocalVastai, quick_settings
from local.simulators.vastai.settings import VastaiSettings

DEFAULT_PORT = 8470

_NUMBERS = {"download_bytes_per_second": "of machines that pull models"}
_OLLAMA_NUMBERS = {"load_seconds": "time to load a model"}


def parse_settings(
    arguments: Sequence[str] | None = None,
) -> tuple[VastaiSettings, OllamaSettings, int]:
    """Return the settings, those of the machines' servers, and the port that a command line asks for."""
    quick = quick_settings()
    ollama = OllamaSettings()
    parser = argparse.ArgumentParser(prog="python -m local.simulators.vastai", description=__doc__)
    add_port(parser, DEFAULT_PORT)
    parser.add_argument("--api-key", default=quick.api_key, help="the account's key (%(default)s)")
    parser.add_argument("--credit-usd", type=Decimal, default=quick.credit_usd, help="(%(default)s)")
    parser.add_argument("--no-rate-limits", action="store_true", help="refuse no call for coming too early")
    parser.add_argument(
        "--boot-seconds",
        type=float,
        default=quick.boot.null_seconds + quick.boot.loading_seconds,
        help="from contract to running (%(default)s)",
    )
    add_numbers(parser, quick, _NUMBERS)
    add_numbers(parser, ollama, _OLLAMA_NUMBERS)
    chosen = parser.parse_args(arguments)
    null_seconds = min(quick.boot.null_seconds, chosen.boot_seconds)
    boot = replace(quick.boot, null_seconds=null_seconds, loading_seconds=chosen.boot_seconds - null_seconds)
    settings = replace(
        quick,
        api_key=chosen.api_key,
        credit_usd=chosen.credit_usd,
        rate_limits=not chosen.no_rate_limits,
        boot=boot,
        **read_numbers(chosen, _NUMBERS),
    )
    return settings, replace(ollama, **read_numbers(chosen, _OLLAMA_NUMBERS)), chosen.port


def main() -> None:
    """Serve what the command line asks for."""
    settings, ollama, port = parse_settings()
    serve(create_app(LocalVastai.create(settings, ollama=ollama)), port=port)


if __name__ == "__main__":
    main()
