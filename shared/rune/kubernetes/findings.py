"""What an investigation reports. Plain data; who reports, and in which words, is the agent's."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rune.kubernetes.causes import Cause, ClusterStatus


@dataclass(frozen=True, slots=True)
class Evidence:
    """A quote from what a tool returned.

    Attributes
    ----------
    result_id
        Of the tool's result, such as `E4`.
    is_found
        Whether the quote stands in that result; blanks and case do not count.
    """

    result_id: str
    quote: str
    is_found: bool


@dataclass(frozen=True, slots=True)
class Finding:
    """One cause.

    Attributes
    ----------
    entities
        The objects that must be changed, as `Kind/namespace/name`; `Kind//name` outside of namespaces.
    """

    cause: Cause
    entities: tuple[str, ...]
    because: str
    confidence: Literal["low", "medium", "high"]
    evidence: tuple[Evidence, ...]

    @property
    def is_supported(self) -> bool:
        """Whether at least one quote was found where it is said to stand."""
        return any(each.is_found for each in self.evidence)


@dataclass(frozen=True, slots=True)
class Report:
    """What an investigation found.

    Attributes
    ----------
    summary
        The answer for people.
    missing
        What could not be read and would have helped.
    next_steps
        What a person may do.
    bound
        The bound that ended the investigation early; None where the model ended it.
    """

    status: ClusterStatus
    summary: str
    findings: tuple[Finding, ...]
    missing: Sequence[str] = ()
    next_steps: Sequence[str] = ()
    bound: str | None = None
