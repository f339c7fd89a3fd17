"""How long the command line takes to answer help and completion, beside bare programs of click and of Typer."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from local.settings import ROOT

BARE_CLICK = "import click\n@click.command()\n@click.option('--name')\ndef main(name): pass\nmain()\n"
BARE_TYPER = """\
import typer
app = typer.Typer()
@app.command()
def main(name: str = ''): pass
app(prog_name='bare')
"""
RUNE = ("-m", "rune_client.cli")
COMPLETION = {"_RUNE_COMPLETE": "bash_complete", "COMP_WORDS": "rune jobs can", "COMP_CWORD": "2"}

PROGRAMS: Mapping[str, tuple[Sequence[str], Mapping[str, str]]] = {
    "bare click, --help": (("-c", BARE_CLICK, "--help"), {}),
    "bare Typer, --help": (("-c", BARE_TYPER, "--help"), {}),
    "rune --help": ((*RUNE, "--help"), {}),
    "rune bench run --help": ((*RUNE, "bench", "run", "--help"), {}),
    "completion": (RUNE, COMPLETION),
    "rune completion bash": ((*RUNE, "completion", "bash"), {}),
    "rune --version": ((*RUNE, "--version"), {}),
    # What every other command takes before it has asked for anything.
    "a command, refused": ((*RUNE, "jobs", "list", "--limit", "none"), {}),
}


@dataclass(frozen=True, slots=True)
class ClientStart:
    """A program's shortest time of several runs, which took turns with those of the others."""

    program: str
    ms: float
    click_ratio: float
    typer_ratio: float


def measure_client_starts(runs: int) -> list[ClientStart]:
    """Return each program's time, in the order of `PROGRAMS`. Each has run before, so that bytecode is there."""
    shortest = dict.fromkeys(PROGRAMS, float("inf"))
    with tempfile.TemporaryDirectory() as cache:
        for name in PROGRAMS:
            _run_ms(name, Path(cache))
        for _ in range(runs):
            for name in PROGRAMS:
                shortest[name] = min(shortest[name], _run_ms(name, Path(cache)))
    click_ms, typer_ms, *_ = shortest.values()
    return [ClientStart(name, ms, ms / click_ms, ms / typer_ms) for name, ms in shortest.items()]


def _run_ms(name: str, cache: Path) -> float:
    words, variables = PROGRAMS[name]
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("RUNE_")},
        "PYTHONPATH": str(ROOT / "clients" / "python"),
        "XDG_CACHE_HOME": str(cache),
        **variables,
    }
    began = time.perf_counter()
    subprocess.run(  # noqa: S603  # our own programs
        [sys.executable, "-P", *words], env=environment, capture_output=True, check=False
    )
    return (time.perf_counter() - began) * 1000
