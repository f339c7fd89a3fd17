"""Command lines of the simulators: options that set numbers of a settings object."""

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from typing import Any


def add_numbers(parser: ArgumentParser, defaults: object, described: Mapping[str, str]) -> None:
    """Add an option for each named field of `defaults`, of the type and with the value that it has there."""
    for name, help_text in described.items():
        default = getattr(defaults, name)
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=type(default),
            default=default,
            help=f"{help_text} (%(default)s)",
        )


def read_numbers(chosen: Namespace, described: Mapping[str, str]) -> dict[str, Any]:
    """Return what a command line chose for the fields of `add_numbers`."""
    return {name: getattr(chosen, name) for name in described}


def add_port(parser: ArgumentParser, default: int) -> None:
    """Add `--port`."""
    parser.add_argument("--port", type=int, default=default, help="0 for any free one (%(default)s)")
