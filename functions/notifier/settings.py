"""What a deployment tells the notifier."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from rune.settings import read_flag, read_text, read_whole_number


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
    signing_key_parameter
        Name of the SSM parameter from which the secrets of webhooks are derived; empty where there are no webhooks.
    allowed_networks
        CIDR blocks, comma-separated, in which receivers may be although they are not public.
    retention
        How long deliveries are kept: as long as jobs.
    """

    stage: str
    table: str
    dead_letter_queue_url: str
    notice_queue_url: str
    event_bus: str
    bucket: str
    archive_bucket: str
    signing_key_parameter: str
    allowed_networks: str
    retention: timedelta
    with_workflows: bool = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Return the settings; raises SettingsError naming the variable that is wrong."""
        return cls(
            stage=read_text(environment, "RUNE_STAGE"),
            table=read_text(environment, "RUNE_TABLE"),
            dead_letter_queue_url=read_text(environment, "RUNE_DEAD_LETTER_QUEUE_URL"),
            notice_queue_url=read_text(environment, "RUNE_NOTICE_QUEUE_URL"),
            event_bus=environment.get("RUNE_EVENT_BUS", ""),
            bucket=read_text(environment, "RUNE_BUCKET"),
            archive_bucket=environment.get("RUNE_ARCHIVE_BUCKET", ""),
            signing_key_parameter=environment.get("RUNE_SIGNING_KEY_PARAMETER", ""),
            allowed_networks=environment.get("RUNE_ALLOWED_NETWORKS", ""),
            retention=timedelta(days=read_whole_number(environment, "RUNE_RETENTION_DAYS")),
            with_workflows=read_flag(environment, "RUNE_WORKFLOWS"),
        )
