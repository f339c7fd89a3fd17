"""Every type of event: what it is about, and what it says."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from rune.events.record import PublicEvent, Subject, SubjectKind

if TYPE_CHECKING:
    from rune.contracts.events import EventDocument


@dataclass(frozen=True, slots=True)
class EventType:
    """One type.

    Attributes
    ----------
    document
        Name of the class in `rune.contracts.events` that its data is. It is imported where it is needed: who only
        hands an event on needs none of them, and they would count in each cold start.
    sentence
        What happened, for people.
    is_on_bus
        Whether it is published on the bus; a test event goes to its webhook alone.
    """

    name: str
    subject: SubjectKind
    document: str
    sentence: str
    is_on_bus: bool = True


_JOB, _RENTAL, _MACHINE = SubjectKind.JOB, SubjectKind.RENTAL, SubjectKind.MACHINE
_SCHEDULE, _WEBHOOK = SubjectKind.SCHEDULE, SubjectKind.WEBHOOK

# A type is a line here, its data in rune.contracts.events, and its example in docs/events/examples;
# `PYTHONPATH=shared:functions:. python -m tests.event_docs` makes the documents anew.
_TYPES = (
    EventType("rune.job.accepted", _JOB, "JobAcceptedData", "A job was taken on, and will end."),
    EventType("rune.job.running", _JOB, "JobRunningData", "A worker took the job's first turn."),
    EventType("rune.job.step", _JOB, "JobStepData", "A step of the job ended, well or not."),
    EventType("rune.job.succeeded", _JOB, "JobSucceededData", "The job has its result."),
    EventType("rune.job.failed", _JOB, "JobFailedData", "The job failed; it is not tried again."),
    EventType("rune.job.cancelled", _JOB, "JobCancelledData", "The job was cancelled, as was asked."),
    EventType(
        "rune.rental.rented", _RENTAL, "RentalRentedData", "A machine is rented; it bills from now on."
    ),
    EventType("rune.rental.running", _RENTAL, "RentalRunningData", "A job uses the rented machine."),
    EventType("rune.rental.kept", _RENTAL, "RentalKeptData", "The machine is kept, without a job."),
    EventType(
        "rune.rental.gone", _RENTAL, "RentalGoneData", "The machine is proven gone; the bill is final."
    ),
    EventType(
        "rune.machine.destroyed",
        _MACHINE,
        "MachineDestroyedData",
        "A machine of this deployment without a rental of its own was found, and is destroyed.",
    ),
    EventType("rune.schedule.fired", _SCHEDULE, "ScheduleFiredData", "A schedule posted a job."),
    EventType(
        "rune.schedule.skipped", _SCHEDULE, "ScheduleSkippedData", "A schedule was due, without a job."
    ),
    EventType("rune.schedule.paused", _SCHEDULE, "SchedulePausedData", "A schedule stopped posting jobs."),
    EventType("rune.schedule.resumed", _SCHEDULE, "ScheduleResumedData", "A schedule posts jobs again."),
    EventType("rune.webhook.disabled", _WEBHOOK, "WebhookDisabledData", "A webhook gets no more events."),
    EventType(
        "rune.ping", _WEBHOOK, "PingData", "A test of a webhook, which a caller asked for.", is_on_bus=False
    ),
)

CATALOG: Mapping[str, EventType] = {each.name: each for each in _TYPES}
"""All types by name."""

REQUESTED = "rune.job.requested"
"""The type that RUNE takes from the bus instead of publishing it; its detail is `JobRequested`."""


def make_event(
    name: str,
    data: "EventDocument",
    *,
    tenant: str,
    subject_id: str,
    sequence: int,
    occurred_at: datetime,
) -> PublicEvent:
    """Return an event of a type.

    Raises
    ------
    ValueError
        The data is not what the type says.
    """
    event_type = CATALOG[name]
    if type(data).__name__ != event_type.document:
        raise ValueError(f"{name} says {event_type.document}, not {type(data).__name__}")
    return PublicEvent(
        event_type=name,
        tenant=tenant,
        subject=Subject(event_type.subject, subject_id),
        sequence=sequence,
        occurred_at=occurred_at,
        data=data.model_dump(mode="json"),
    )
