"""Processor time of each function's cold start, beside an empty function with the same libraries and AWS calls.

Two processes are compared at a time, one right after the other and either first in turn, and the ratio is the
median of the pairs' ratios: a machine that is busy for a while slows both. Processor time leaves out what other
programs do, though not what they do to the processor's caches and clock.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Self

from local.simulators.ollama import OllamaSettings, SimulatedOllama, create_app
from local.simulators.serving import running_server
from tests.bench.artifacts import (
    FUNCTIONS,
    Artifact,
    compile_package,
    find_artifact,
    link_runtime,
    run_fresh,
)
from tests.bench.canned import answers_to_get, answers_to_post, answers_to_tick, answers_to_turn
from tests.bench.wire import Answers
from tests.builders import JOB_ID, a_sample_event, an_sqs_event

PROGRAM = Path(__file__).with_name("first_invocation.py")

INIT, INVOKED = "init", "invoked"
"""The moments at which the program stamps its processor time."""

BUILT, EMPTY, BEFORE = "built", "empty", "before"
"""What is compared. `empty` is also the package of the empty functions, in the folder of this file."""

type Spent = dict[str, dict[str, float]]
"""Milliseconds by moment, then by what was run."""


@dataclass(frozen=True, slots=True, eq=False)
class FirstEvent:
    """What a fresh function is asked first."""

    function: str
    name: str
    event: object
    answers: Answers

    @property
    def as_input(self) -> str:
        """What the program reads."""
        return json.dumps({"event": self.event, "answers": self.answers})


@dataclass(frozen=True, slots=True)
class Pairs:
    """Two processes' processor time, in pairs; medians.

    Attributes
    ----------
    ratio
        The built function in times of the other.
    saved_ms
        What the built function takes less than the other.
    """

    built_ms: float
    other_ms: float
    ratio: float
    saved_ms: float
    count: int

    @classmethod
    def of(cls, built_ms: list[float], other_ms: list[float]) -> Self:
        """Return what so many pairs come to."""
        pairs = [*zip(built_ms, other_ms, strict=True)]
        return cls(
            built_ms=median(built_ms),
            other_ms=median(other_ms),
            ratio=median(built / other for built, other in pairs),
            saved_ms=median(other - built for built, other in pairs),
            count=len(pairs),
        )


@dataclass(frozen=True, slots=True)
class ColdStart:
    """One function's cold start up to a moment.

    Attributes
    ----------
    until
        "init", or what the function was asked first: then init and that invocation together.
    beside_empty
        The other is the empty function.
    beside_before
        The other is the same function of another build, where one was given.
    """

    function: str
    until: str
    beside_empty: Pairs
    beside_before: Pairs | None = None


def measure_cold_starts(pairs: int, before: Path | None = None) -> list[ColdStart]:
    """Return each function's init, and its init with each first event.

    Parameters
    ----------
    pairs
        How many of each kind.
    before
        Another build to measure in turn with this one.

    Raises
    ------
    NotBuiltError
        There are no artifacts.
    """
    with tempfile.TemporaryDirectory(prefix="rune-bench-") as name, _first_events() as events:
        runtime = link_runtime(Path(name) / "runtime")
        empty = compile_package(Path(__file__).with_name(EMPTY), Path(name) / "sources")
        artifacts = {event: _artifacts_of(event.function, empty, runtime, before) for event in events}
        # One pair of each kind after the other, so that each kind is spread over the whole run.
        rounds = [
            {event: _run_in_turn(artifacts[event], event, number) for event in events}
            for number in range(pairs)
        ]
    starts = []
    for function in FUNCTIONS:
        of_function = [event for event in events if event.function == function]
        inits = [spent[event][INIT] for spent in rounds for event in of_function]
        starts.append(_compare(function, INIT, inits))
        starts += [
            _compare(function, event.name, [spent[event][INVOKED] for spent in rounds])
            for event in of_function
        ]
    return starts


@contextmanager
def _first_events() -> Iterator[list[FirstEvent]]:
    message = json.dumps({"job_id": JOB_ID, "seq": 1})
    with running_server(create_app(SimulatedOllama(OllamaSettings()))) as model_server:
        yield [
            FirstEvent("api", "GET job", a_sample_event("api-get-job"), answers_to_get()),
            FirstEvent("api", "POST job", a_sample_event("api-post-benchmark"), answers_to_post()),
            FirstEvent("worker", "turn", an_sqs_event(message), answers_to_turn(model_server)),
            FirstEvent("janitor", "tick", a_sample_event("schedule-tick"), answers_to_tick()),
        ]


def _artifacts_of(function: str, sources: Path, runtime: Path, before: Path | None) -> Mapping[str, Artifact]:
    built = find_artifact(function, runtime)
    artifacts = {BUILT: built, EMPTY: Artifact(f"{EMPTY}.{function}", (sources, *built.paths[1:]))}
    if before is not None:
        artifacts[BEFORE] = find_artifact(function, runtime, before)
    return artifacts


def _run_in_turn(artifacts: Mapping[str, Artifact], event: FirstEvent, number: int) -> Spent:
    spent: Spent = {INIT: {}, INVOKED: {}}
    for name in list(artifacts)[:: -1 if number % 2 else 1]:
        artifact = artifacts[name]
        printed = run_fresh([str(PROGRAM), artifact.module], artifact.paths, event.as_input)
        for moment, spent_ms in json.loads(printed.splitlines()[-1]).items():
            spent[moment][name] = spent_ms
    return spent


def _compare(function: str, until: str, spent_ms: list[dict[str, float]]) -> ColdStart:
    def beside(other: str) -> Pairs:
        return Pairs.of([spent[BUILT] for spent in spent_ms], [spent[other] for spent in spent_ms])

    return ColdStart(function, until, beside(EMPTY), beside(BEFORE) if BEFORE in spent_ms[0] else None)
