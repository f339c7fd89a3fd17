"""Running mutants: each in a copy of the repository, with only the tests that should see it."""

from __future__ import annotations

import os
import queue
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from tests.mutants.mutant import Mutant

ROOT = Path(__file__).parents[2]
COPIED = (
    "shared",
    "functions",
    "clients",
    "local",
    "tests",
    "docs",
    "events",
    "template.yaml",
    "pyproject.toml",
)
UNUSED_PLUGINS = ("cacheprovider", "schemathesis", "xdist", "xdist.looponfail")
"""No named test needs them; loading Schemathesis takes longer than most of the tests."""

PYTEST = (sys.executable, "-m", "pytest", "-x", "-q", *(f"-pno:{name}" for name in UNUSED_PLUGINS))

LONGEST_TEST_SECONDS = 20
"""Of a test beside a mutant, which may make a loop endless."""

_FAILED = re.compile(r"^(?:FAILED|ERROR) (tests/.+?)(?: - .*)?$", re.MULTILINE)
_PASSED, _TESTS_FAILED = 0, 1

_written_seconds = count(1_000_000_000)
"""A file that is written gets a time of its own: Python takes a module's bytecode for current by time and size."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a mutant.

    Attributes
    ----------
    killed_by
        The first test that failed; None where none did.
    trouble
        Why nothing can be said of it: the tests did not run.
    """

    mutant: Mutant
    seconds: float
    killed_by: str | None = None
    trouble: str | None = None

    def told(self) -> str:
        """Return the verdict in a few words."""
        if self.trouble is not None:
            return f"NOT RUN: {self.trouble}"
        return self.killed_by or "SURVIVED"


def judge(mutant: Mutant, exit_code: int, output: str, seconds: float) -> Verdict:
    """Return the verdict from what pytest said.

    A mutant that cannot be imported is no mutant: every test would fail.
    """
    if exit_code == _PASSED:
        return Verdict(mutant, seconds)
    failed = _FAILED.search(output)
    if exit_code == _TESTS_FAILED and failed is not None:
        return Verdict(mutant, seconds, killed_by=failed.group(1))
    return Verdict(mutant, seconds, trouble=output.strip()[-2000:])


def copy_into(folder: Path) -> Path:
    """Copy what the tests need, with the bytecode that is there."""
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name)
        else:
            shutil.copy2(ROOT / name, folder / name)
    return folder


def find_failures_without_mutants(tests: Sequence[str], copies: Sequence[Path]) -> str | None:
    """Return what pytest says if a test fails without any mutant: then its failure would prove nothing."""
    parts = [tests[number :: len(copies)] for number in range(len(copies))]
    with ThreadPoolExecutor(len(copies)) as pool:
        runs = [pool.submit(_run, part, copy) for part, copy in zip(parts, copies, strict=True) if part]
        answers = [run.result() for run in runs]
    return next((output[-4000:] for exit_code, output in answers if exit_code != _PASSED), None)


def run_all(mutants: Sequence[Mutant], copies: Sequence[Path]) -> Iterator[Verdict]:
    """Yield the verdicts as they come; as many mutants at a time as there are copies."""
    idle: queue.SimpleQueue[Path] = queue.SimpleQueue()
    for copy in copies:
        idle.put(copy)

    def run(mutant: Mutant) -> Verdict:
        copy = idle.get()
        try:
            began = time.monotonic()
            with _applied(mutant, copy):
                exit_code, output = _run((f"--timeout={LONGEST_TEST_SECONDS}", *mutant.tests), copy)
            return judge(mutant, exit_code, output, time.monotonic() - began)
        finally:
            idle.put(copy)

    with ThreadPoolExecutor(len(copies)) as pool:
        for done in as_completed([pool.submit(run, mutant) for mutant in mutants]):
            yield done.result()


@contextmanager
def _applied(mutant: Mutant, copy: Path) -> Iterator[None]:
    path = copy / mutant.file
    source = path.read_text()
    _write(path, mutant.apply(source))
    try:
        yield
    finally:
        _write(path, source)


def _write(path: Path, source: str) -> None:
    path.write_text(source)
    seconds = next(_written_seconds)
    os.utime(path, (seconds, seconds))


def _run(arguments: Sequence[str], copy: Path) -> tuple[int, str]:
    done = subprocess.run(  # noqa: S603  # this project's own tests
        [*PYTEST, *arguments], cwd=copy, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr
