"""One case of a suite, checked."""

from collections.abc import Mapping
from dataclasses import dataclass

from rune.kubernetes.causes import Cause, ClusterStatus


@dataclass(frozen=True, slots=True)
class ExpectedFinding:
    """A finding that a right report has.

    Attributes
    ----------
    entities
        Naming one of them is right; as `Kind/namespace/name`.
    accept
        Causes that are right beside `cause`.
    """

    cause: Cause
    entities: tuple[str, ...]
    accept: tuple[Cause, ...]


@dataclass(frozen=True, slots=True)
class Expected:
    """What a right report says.

    Attributes
    ----------
    findings
        Empty where the status is not `unhealthy`.
    quotes
        What good evidence quotes.
    """

    status: ClusterStatus
    findings: tuple[ExpectedFinding, ...]
    quotes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Trap:
    """A red herring: what looks like a cause and is none."""

    cause: Cause
    entity: str
    why: str


@dataclass(frozen=True, slots=True)
class Case:
    """One case, with the names of its base; `staging.stage` gives it those of a seed.

    Attributes
    ----------
    difficulty
        1 to 5.
    max_calls
        Calls of tools that a good investigation needs at most.
    document
        The case as it was written, from which clusters are built.
    """

    id: str
    difficulty: int
    ask: str
    expected: Expected
    red_herrings: tuple[Trap, ...]
    max_calls: int
    document: Mapping[str, object]
