"""What callers send and get about recurring schedules."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BeforeValidator, Field, JsonValue, model_validator

from rune.contracts.document import Document
from rune.contracts.records import KindName

type ScheduleStateName = Literal["active", "paused", "ended"]
type OverlapName = Literal["skip", "allow", "cancel_running"]
type RunStatusName = Literal[
    "queued", "running", "succeeded", "failed", "cancelled", "unknown", "skipped", "refused"
]

type Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.-]{0,63}$")]
type Expression = Annotated[str, Field(min_length=1, max_length=200)]
type ZoneName = Annotated[str, Field(min_length=1, max_length=64)]
type JobBody = dict[str, JsonValue]


def _refuse_numbers(value: object) -> object:
    if value is not None and not isinstance(value, str):
        raise ValueError("An instant is text, such as 2027-01-31T12:00:00Z.")
    return value


# JSON has no instants: a text is read as one, and nothing else.
type Instant = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_refuse_numbers)]


class ScheduleCreation(Document):
    """A new schedule."""

    name: Name
    """Yours for it; no two schedules of a tenant have the same."""
    cron: Expression | None = None
    """When it is due, as five fields: minute, hour, day of the month, month, day of the week. AWS's form of six is
    taken as `cron(0 9 ? * MON *)`. Give `cron` or `rate`."""
    rate: Expression | None = None
    """The same as a time from one occurrence to the next: `rate(5 minutes)`, `rate(1 hour)`, `rate(7 days)`."""
    timezone: ZoneName = "UTC"
    """In which `cron` is meant: a name of the IANA database, such as `Europe/Berlin`."""
    kind: KindName
    """What is posted: as in the path `/v1/jobs/{kind}`."""
    request: JobBody
    """The body of that request, at most 100,000 bytes. It is judged now, and again each time."""
    paused: bool = False
    """Whether it posts nothing until it is resumed."""
    ends_at: Instant | None = None
    """Nothing is due after this; null for a schedule without an end."""
    overlap: OverlapName = "skip"
    """What happens when it is due while a job of it has not ended: `skip` posts none, `allow` posts one more, and
    `cancel_running` cancels those first."""

    @model_validator(mode="after")
    def _require_one_rule(self) -> Self:
        if (self.cron is None) == (self.rate is None):
            raise ValueError("Give either cron or rate.")
        return self


class ScheduleChange(Document):
    """What is to be different of a schedule; what is left out stays. Its kind cannot be changed."""

    name: Name | None = None
    """Null leaves it, as for all members but `ends_at`."""
    cron: Expression | None = None
    """In place of `cron` or `rate`."""
    rate: Expression | None = None
    """In place of `cron` or `rate`; it counts from now."""
    timezone: ZoneName | None = None
    request: JobBody | None = None
    """The whole request."""
    ends_at: Instant | None = None
    """Null takes the end away."""
    overlap: OverlapName | None = None

    @model_validator(mode="after")
    def _refuse_two_rules(self) -> Self:
        if self.cron is not None and self.rate is not None:
            raise ValueError("Give either cron or rate.")
        return self


class ScheduleRun(Document):
    """What became of one occurrence."""

    due_at: datetime
    """When it was due; of `run`, when that was asked for."""
    decided_at: datetime
    """When the job was posted, or was not."""
    status: RunStatusName
    """Of the job; `unknown` once it is no longer kept. Without a job: `skipped`, or `refused` as a request of yours
    would have been."""
    reason: str | None
    """Why there is no job: `overlap`, `missed`, or the code of the refusal."""
    job_id: str | None
    job_url: str | None
    manual: bool
    """Whether it was asked for by `run`."""


class ScheduleSummary(Document):
    """One line of a list of schedules."""

    schedule_id: str
    name: str
    kind: KindName
    state: ScheduleStateName
    """`ended` posts nothing any more, by its `ends_at` or its expression."""
    paused_reason: Literal["asked", "failures"] | None
    """`failures`: five of its jobs failed in a row. Null unless it is paused."""
    cron: str | None
    """The five fields."""
    rate: str | None
    timezone: str
    overlap: OverlapName
    ends_at: datetime | None
    next_at: datetime | None
    """When it is due next; null where it is not."""
    created_at: datetime
    updated_at: datetime


class ScheduleRecord(ScheduleSummary):
    """A schedule."""

    next_times: list[datetime]
    """When it is due the next five times; while it is paused, when it would be if it were resumed now."""
    runs: list[ScheduleRun]
    """What became of the last ten occurrences, newest first."""
    request: JobBody
    """As it is posted."""


class ScheduleList(Document):
    """Your schedules, by name."""

    schedules: list[ScheduleSummary]
