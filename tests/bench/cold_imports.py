"""How long a function's code takes to import in a fresh interpreter, and what it brings in."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.bench.artifacts import (
    FUNCTIONS,
    Artifact,
    copy_without_bytecode,
    find_artifact,
    link_runtime,
    run_fresh,
)

WATCHED = ("fastapi", "mangum", "pydantic", "httpx", "boto3")
"""Packages that cost a cold start, in the order in which they are told."""


@dataclass(frozen=True, slots=True)
class ColdImport:
    """One function's cold import; medians of wall time, of the whole process.

    Attributes
    ----------
    bare_ms
        A process that does nothing, `python -c pass`.
    packages
        Which of the watched packages were imported.
    """

    function: str
    import_ms: float
    without_bytecode_ms: float
    bare_ms: float
    packages: tuple[str, ...]

    @property
    def ratio(self) -> float:
        """Times a process that does nothing."""
        return self.import_ms / self.bare_ms

    @property
    def ratio_without_bytecode(self) -> float:
        """The same for an artifact without bytecode."""
        return self.without_bytecode_ms / self.bare_ms


def measure_cold_imports(runs: int) -> list[ColdImport]:
    """Return the cold import of each function; everything is run in turn, so that a slow moment hits all alike.

    Raises
    ------
    NotBuiltError
        There are no artifacts.
    """
    with tempfile.TemporaryDirectory(prefix="rune-bench-") as name:
        folder = Path(name)
        runtime = link_runtime(folder / "runtime")
        built = {function: find_artifact(function, runtime) for function in FUNCTIONS}
        stripped = {
            function: copy_without_bytecode(artifact, folder / "stripped")
            for function, artifact in built.items()
        }
        spent_ms: dict[tuple[str, str], list[float]] = {}
        for _ in range(runs):
            spent_ms.setdefault(("", ""), []).append(_time_ms(lambda: run_fresh(["-c", "pass"])))
            for kind, artifacts in (("built", built), ("stripped", stripped)):
                for function, artifact in artifacts.items():
                    spent_ms.setdefault((kind, function), []).append(_time_import_ms(artifact))
        return [
            ColdImport(
                function=function,
                import_ms=median(spent_ms["built", function]),
                without_bytecode_ms=median(spent_ms["stripped", function]),
                bare_ms=median(spent_ms["", ""]),
                packages=_list_packages(artifact),
            )
            for function, artifact in built.items()
        ]


def _time_import_ms(artifact: Artifact) -> float:
    return _time_ms(lambda: run_fresh(["-c", f"import {artifact.module}"], artifact.paths))


def _time_ms(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return (time.perf_counter() - started) * 1000


def _list_packages(artifact: Artifact) -> tuple[str, ...]:
    code = f"import {artifact.module}, sys; print(*(name for name in {WATCHED!r} if name in sys.modules))"
    return tuple(run_fresh(["-c", code], artifact.paths).split())
