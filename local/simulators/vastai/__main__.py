"""`python -m local.simulators.vastai`: one simulated Vast.ai until SIGTERM or SIGINT."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from local.simulators.ollama import OllamaSettings
from local.simulators.serving import serve
from local.simulators.vastai.app import create_app
from local.simulators.vastai.faults import Fault
from local.simulators.vastai.local_stack import LocalVastai, quick_settings
from local.simulators.vastai.settings import VastaiSettings

DEFAULT_PORT = 8470


def _read_faults(text: str) -> tuple[Fault, ...]:
    try:
        source = Path(text[1:]).read_bytes() if text.startswith("@") else text.encode()
        return TypeAdapter(tuple[Fault, ...]).validate_json(source)
    except (OSError, ValidationError) as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def parse_settings(
    arguments: Sequence[str] | None = None,
) -> tuple[VastaiSettings, OllamaSettings, int]:
    """Return the settings, those of the machines' servers, and the port that a command line asks for."""
    quick = quick_settings()
    ollama = OllamaSettings()
    parser = argparse.ArgumentParser(prog="python -m local.simulators.vastai", description=__doc__)
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0 for any free one (%(default)s)")
    parser.add_argument("--api-key", default=quick.api_key, help="the account's key (%(default)s)")
    parser.add_argument("--credit-usd", type=Decimal, default=quick.credit_usd, help="(%(default)s)")
    parser.add_argument(
        "--no-rate-limits", action="store_true", help="let everybody ask as often as they like"
    )
    parser.add_argument("--unauthorized-status", type=int, choices=(401, 404), default=404)
    parser.add_argument(
        "--boot-seconds",
        type=float,
        default=quick.boot.null_seconds + quick.boot.loading_seconds,
        help="from contract to running (%(default)s)",
    )
    parser.add_argument(
        "--download-bytes-per-second",
        type=float,
        default=quick.download_bytes_per_second,
        help="at which machines pull models (%(default)s)",
    )
    parser.add_argument(
        "--load-seconds", type=float, default=ollama.load_seconds, help="of a model (%(default)s)"
    )
    parser.add_argument(
        "--faults", type=_read_faults, default=(), metavar="JSON|@FILE", help="what goes wrong"
    )
    chosen = parser.parse_args(arguments)
    null_seconds = min(quick.boot.null_seconds, chosen.boot_seconds)
    boot = replace(quick.boot, null_seconds=null_seconds, loading_seconds=chosen.boot_seconds - null_seconds)
    settings = replace(
        quick,
        api_key=chosen.api_key,
        credit_usd=chosen.credit_usd,
        rate_limits=not chosen.no_rate_limits,
        unauthorized_status=chosen.unauthorized_status,
        boot=boot,
        download_bytes_per_second=chosen.download_bytes_per_second,
        faults=chosen.faults,
    )
    return settings, replace(ollama, load_seconds=chosen.load_seconds), chosen.port


def main() -> None:
    """Serve what the command line asks for."""
    settings, ollama, port = parse_settings()
    serve(create_app(LocalVastai.create(settings, ollama=ollama)), port=port)


if __name__ == "__main__":
    main()
