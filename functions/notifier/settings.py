"""What a deployment tells the notifier."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from rune.settings import read_flag, read_text


@dataclass(frozen=True, slots=True)
class NotifierSettings:
    """Settings of the notifier function.

    Attributes
    ----------
    event_bus
        Name of the bus on which events are published; empty for none.
    bucket
        Where large requests and results are read.
    archive_bucket
        Where a line is kept of each job that has ended; empty for nowhere.
    with_workflows
        Whether state machines wait for jobs.
    """

    table: str
    dead_letter_queue_url: str
    notice_queue_url: str
    event_bus: str
    bucket: str
    archive_bucket: str
    with_workflows: bool = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Return the settings; raises SettingsError naming the variable that is wrong."""
        return cls(
            table=read_text(environment, "RUNE_TABLE"),
            dead_letter_queue_url=read_text(environment, "RUNE_DEAD_LETTER_QUEUE_URL"),
            notice_queue_url=read_text(environment, "RUNE_NOTICE_QUEUE_URL"),
            event_bus=environment.get("RUNE_EVENT_BUS", ""),
            bucket=read_text(environment, "RUNE_BUCKET"),
            archive_bucket=environment.get("RUNE_ARCHIVE_BUCKET", ""),
            with_workflows=read_flag(environment, "RUNE_WORKFLOWS"),
        )
