"""`python -m local.simulators.ollama`: one simulated Ollama server until SIGTERM or SIGINT."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from local.simulators.ollama.app import create_app
from local.simulators.ollama.faults import Fault
from local.simulators.ollama.models import GIB, ModelCard, card_for
from local.simulators.ollama.settings import OllamaSettings
from local.simulators.ollama.state import SimulatedOllama
from local.simulators.serving import serve

DEFAULT_PORT = 11434

_FLOATS = {
    "prompt_tokens_per_second": "reading speed",
    "output_tokens_per_second": "writing speed",
    "load_seconds": "time to load a model",
    "unload_seconds": "time to evict a model",
    "pull_bytes_per_second": "download speed",
    "keep_alive_seconds": "how long an idle model stays loaded",
}
_INTEGERS = {
    "answer_tokens": "length of an answer",
    "thinking_tokens": "length of the reasoning before it",
    "tokens_per_chunk": "tokens that arrive in one piece",
    "empty_chunk_interval": "every so manieth piece comes empty, 0 for never",
    "parallel_count": "requests that a model answers at a time",
    "queue_limit_count": "requests that may wait",
    "loaded_limit_count": "models in memory at a time",
    "context_tokens": "context of a request that asks for none (by default chosen by VRAM)",
}


def _read_card(text: str) -> ModelCard:
    name, _, size = text.partition("=")
    try:
        return card_for(name, size_bytes=int(size) if size else None)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _read_faults(text: str) -> tuple[Fault, ...]:
    try:
        source = Path(text[1:]).read_bytes() if text.startswith("@") else text.encode()
        return TypeAdapter(tuple[Fault, ...]).validate_json(source)
    except (OSError, ValidationError) as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def parse_settings(arguments: Sequence[str] | None = None) -> tuple[OllamaSettings, int]:
    """Return the settings and the port that a command line asks for; exits on a wrong one."""
    defaults = OllamaSettings()
    parser = argparse.ArgumentParser(prog="python -m local.simulators.ollama", description=__doc__)
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0 for any free one (%(default)s)")
    parser.add_argument(
        "--model",
        action="append",
        type=_read_card,
        metavar="NAME[=BYTES]",
        help="a model present from the start, instead of the usual ones; repeatable",
    )
    parser.add_argument(
        "--pullable",
        action="append",
        type=_read_card,
        metavar="NAME[=BYTES]",
        help="a model that can be pulled, besides the usual ones; repeatable",
    )
    parser.add_argument("--vram-gib", type=float, default=defaults.vram_bytes / GIB, help="(%(default)s)")
    parser.add_argument("--no-prompt-cache", action="store_true", help="read every prompt from its start")
    parser.add_argument(
        "--faults",
        type=_read_faults,
        default=(),
        metavar="JSON|@FILE",
        help='what goes wrong, for example \'[{"kind": "hang", "after_chunks": 3}]\'',
    )
    for kind, described in ((float, _FLOATS), (int, _INTEGERS)):
        for name, help_text in described.items():
            flag = f"--{name.replace('_', '-')}"
            parser.add_argument(
                flag, type=kind, default=getattr(defaults, name), help=f"{help_text} (%(default)s)"
            )
    chosen = parser.parse_args(arguments)
    settings = OllamaSettings(
        models=tuple(chosen.model or defaults.models),
        pullable=(*defaults.pullable, *(chosen.pullable or ())),
        vram_bytes=round(chosen.vram_gib * GIB),
        prompt_cache=not chosen.no_prompt_cache,
        faults=chosen.faults,
        **{name: getattr(chosen, name) for name in (*_FLOATS, *_INTEGERS)},
    )
    return settings, chosen.port


def main() -> None:
    """Serve what the command line asks for."""
    settings, port = parse_settings()
    serve(create_app(SimulatedOllama(settings)), port=port)


if __name__ == "__main__":
    main()
