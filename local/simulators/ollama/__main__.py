"""`python -m local.simulators.ollama`: one simulated Ollama server until SIGTERM or SIGINT."""

import argparse
from collections.abc import Sequence

from local.simulators.command_line import add_numbers, add_port, read_numbers
from local.simulators.ollama.app import create_app
from local.simulators.ollama.models import INVESTIGATORS, ModelCard, card_for
from local.simulators.ollama.settings import OllamaSettings
from local.simulators.ollama.state import SimulatedOllama
from local.simulators.serving import serve

DEFAULT_PORT = 11434

_NUMBERS = {
    "prompt_tokens_per_second": "reading speed",
    "output_tokens_per_second": "writing speed",
    "load_seconds": "time to load a model",
    "pull_bytes_per_second": "download speed",
    "answer_tokens": "length of an answer",
    "thinking_tokens": "length of the reasoning before it",
    "tokens_per_chunk": "tokens that arrive in one chunk",
    "parallel_count": "requests that a model answers at a time",
}


def _read_card(text: str) -> ModelCard:
    name, _, size = text.partition("=")
    try:
        return card_for(name, size_bytes=int(size) if size else None)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def parse_settings(arguments: Sequence[str] | None = None) -> tuple[OllamaSettings, int]:
    """Return the settings and the port that a command line asks for; exits on a wrong one."""
    defaults = OllamaSettings()
    parser = argparse.ArgumentParser(prog="python -m local.simulators.ollama", description=__doc__)
    add_port(parser, DEFAULT_PORT)
    parser.add_argument(
        "--model",
        action="append",
        type=_read_card,
        metavar="NAME[=BYTES]",
        help="a model present from the start, instead of the usual ones; repeatable",
    )
    add_numbers(parser, defaults, _NUMBERS)
    chosen = parser.parse_args(arguments)
    models = tuple(chosen.model or (*defaults.models, *INVESTIGATORS))
    return OllamaSettings(models=models, **read_numbers(chosen, _NUMBERS)), chosen.port


def main() -> None:
    """Serve what the command line asks for."""
    settings, port = parse_settings()
    serve(create_app(SimulatedOllama(settings)), port=port)


if __name__ == "__main__":
    main()
