"""An event as others see it, whichever way they get it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Self

type JsonValue = str | int | float | bool | list[JsonValue] | dict[str, JsonValue] | None


class SubjectKind(StrEnum):
    """What an event is about."""

    JOB = "job"
    RENTAL = "rental"
    MACHINE = "machine"
    """A rented machine without a rental's row."""
    SCHEDULE = "schedule"
    WEBHOOK = "webhook"


@dataclass(frozen=True, slots=True)
class Subject:
    """What an event is about. Events of one subject are numbered, and told in their order."""

    kind: SubjectKind
    subject_id: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.subject_id}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the subject that `str` wrote; raises ValueError."""
        kind, _, subject_id = text.partition(":")
        if not subject_id:
            raise ValueError(f"{text!r} names no subject")
        return cls(SubjectKind(kind), subject_id)


@dataclass(frozen=True, slots=True)
class PublicEvent:
    """One event.

    Attributes
    ----------
    event_type
        Dotted, such as `rune.job.succeeded`. It names the schema of `data`.
    sequence
        Rises with the events of one subject, not always by one.
    data
        What the schema of the type says; no secret, and under 20 KB as JSON.
    """

    event_type: str
    tenant: str
    subject: Subject
    sequence: int
    occurred_at: datetime
    data: Mapping[str, JsonValue]

    @property
    def event_id(self) -> str:
        """The same for each publication of this event, and for no other event. It holds no full stop."""
        return f"evt_{self.subject.kind}_{self.subject.subject_id}_{self.sequence}"
