"""What tells one job from another: who wants it, what it is called, and what works on it."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Particulars:
    """What stands beside a job in its tenant's list. It never changes; None where nothing is known.

    Attributes
    ----------
    name, metadata
        The caller's own, from the request.
    model, agent
        What works on it.
    backend
        `vastai` for a machine that is rented, else the kind of the model server.
    submitted_by
        `token:<name>`, `schedule:<id>` or `trigger:<way>`.
    """

    name: str | None = None
    metadata: Mapping[str, str] | None = None
    model: str | None = None
    agent: str | None = None
    backend: str | None = None
    submitted_by: str | None = None


NOTHING_KNOWN = Particulars()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a caller looks for among the particulars; None and nothing take all."""

    name: str | None = None
    metadata: Mapping[str, str] | None = None

    @property
    def is_everything(self) -> bool:
        """Whether it takes all."""
        return self.name is None and not self.metadata

    def takes(self, found: Particulars) -> bool:
        """Return whether name and metadata are as wanted; other metadata may be there too."""
        there = found.metadata or {}
        wanted = self.metadata or {}
        return self.name in (None, found.name) and all(
            there.get(key) == value for key, value in wanted.items()
        )


EVERYTHING = Wanted()
