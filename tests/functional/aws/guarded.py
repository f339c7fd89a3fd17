"""A conditional write, with what its requirements allow and refuse."""

from __future__ import annotations

from dataclasses import dataclass

from rune.storage.change import Change


@dataclass(frozen=True)
class Guarded[T]:
    """A change of a stored record.

    Attributes
    ----------
    accepts
        A record that meets every requirement.
    refuses
        Records that violate one requirement each, by that requirement's field.
    """

    function: str
    change: Change
    accepts: T
    refuses: tuple[tuple[str, T], ...]
