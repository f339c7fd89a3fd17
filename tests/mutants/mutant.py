"""One mutant: a guard of the product that is taken away or turned round."""

from dataclasses import dataclass
from pathlib import Path

JOBS = "shared/rune/jobs/"
SERVICES = "shared/rune/services/"
AWS = "shared/rune/aws/"
RENTALS = "shared/rune/rentals/"
RENTING = "shared/rune/workflows/rental/"

TEST_JOBS = "tests/unit/jobs/"
TEST_SERVICES = "tests/unit/services/"
TEST_AWS = "tests/unit/aws/"
TEST_RENTALS = "tests/unit/rentals/"
TEST_RENTING = "tests/unit/workflows/rental/"


class TextNotFoundError(Exception):
    """The text that a mutant replaces is not in its file, or is there more than once."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A change of one file that tests must see.

    Attributes
    ----------
    name
        Unique; says what is gone.
    file
        Below the repository's root.
    text
        What is replaced; it is in the file exactly once.
    becomes
        What stands there instead.
    why
        What the guard keeps from happening.
    tests
        Files or single tests, as pytest takes them; the quickest that see it.
    """

    name: str
    file: str
    text: str
    becomes: str
    why: str
    tests: tuple[str, ...]

    def apply(self, source: str) -> str:
        """Return the file's text with the change; raises TextNotFoundError."""
        count = source.count(self.text)
        if count != 1:
            raise TextNotFoundError(f"{self.name}: {count} times in {self.file}: {self.text!r}")
        return source.replace(self.text, self.becomes)


def path_of_test(test: str) -> Path:
    """Return the file of a test as pytest names it."""
    return Path(test.partition("::")[0])
