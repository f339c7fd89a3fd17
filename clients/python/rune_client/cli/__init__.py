"""The command line `rune`."""

import sys


def main() -> int:
    """Run the command line of this process and return its exit code."""
    from rune_client.cli.entry import run  # noqa: PLC0415  # an import of this package alone costs nothing

    return run(sys.argv[1:])
