"""`python -m tests.mutants [WORD …]`: run the mutants whose names contain one of the words, or all."""

import sys
import tempfile
import time
from pathlib import Path

from tests.mutants.listed import MUTANTS
from tests.mutants.mutant import TextNotFoundError
from tests.mutants.run import ROOT, copy_into, find_failures_without_mutants, run_all

AT_A_TIME = 2


def main(words: list[str]) -> int:
    """Print a line per mutant; return 1 if one survives, or cannot be run."""
    began = time.monotonic()
    mutants = [each for each in MUTANTS if not words or any(word in each.name for word in words)]
    try:
        for mutant in mutants:
            mutant.apply((ROOT / mutant.file).read_text())
    except TextNotFoundError as error:
        _tell(str(error))
        return 1
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copies = [copy_into(Path(folder) / str(number)) for number in range(AT_A_TIME)]
        tests = sorted({test for mutant in mutants for test in mutant.tests})
        failures = find_failures_without_mutants(tests, copies)
        if failures is not None:
            _tell(f"{failures}\nA test fails without any mutant.")
            return 1
        _tell(f"{time.monotonic() - began:4.0f} s  all named tests pass without a mutant")
        alive_count = 0
        for verdict in run_all(mutants, copies):
            alive_count += verdict.killed_by is None
            _tell(f"{verdict.seconds:4.0f} s  {verdict.mutant.name:<44} {verdict.told()}")
    _tell(
        f"{len(mutants)} mutants, {len(mutants) - alive_count} killed, in {time.monotonic() - began:.0f} s."
    )
    return 1 if alive_count else 0


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
