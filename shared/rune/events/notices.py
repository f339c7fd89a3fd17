"""Short messages that say where there may be something to publish or to deliver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from rune.events.record import Subject


@dataclass(frozen=True, slots=True)
class SubjectNotice:
    """There may be events of the subject that are not published yet."""

    subject: Subject


@dataclass(frozen=True, slots=True)
class EndpointNotice:
    """There may be deliveries of a webhook that are due.

    Attributes
    ----------
    endpoint
        `<tenant>/<id>`.
    """

    endpoint: str


type Notice = SubjectNotice | EndpointNotice


class NoticeQueue(Protocol):
    """The queue of the notifier. A notice is a hint: lost, doubled and early ones do no harm."""

    def send(self, notice: Notice, delay_seconds: int = 0) -> bool:
        """Send the notice; return False if the queue did not take it.

        Parameters
        ----------
        delay_seconds
            From 0 to 900.
        """
        ...
