"""What is wrong with a case, as data."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CaseProblem:
    """One thing that is wrong.

    Attributes
    ----------
    pointer
        RFC 6901, into the case: `/changes/2/owner`.
    """

    pointer: str
    message: str

    def __str__(self) -> str:
        return f"{self.pointer or '/'}: {self.message}"


class InvalidCaseError(ValueError):
    """A case cannot be played; `problems` has at least one."""

    def __init__(self, problems: Iterable[CaseProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(map(str, self.problems)))
