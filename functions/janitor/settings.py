"""What a deployment tells the janitor."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from rune.settings import (
    NO_LOAD_LANE,
    BedrockAccess,
    LoadLane,
    VastaiSettings,
    read_flag,
    read_text,
    read_whole_number,
)


@dataclass(frozen=True, slots=True)
class ScheduleSettings:
    """What it takes to post the jobs of schedules, as the API posts others; each is as in the API's settings."""

    bucket: str
    allowed_networks: str
    tenants_path: str
    bedrock: BedrockAccess

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Return the settings; raises SettingsError naming the variable that is wrong."""
        return cls(
            bucket=read_text(environment, "RUNE_BUCKET"),
            allowed_networks=environment.get("RUNE_ALLOWED_NETWORKS", ""),
            tenants_path=environment.get("RUNE_TENANTS_PATH", ""),
            bedrock=BedrockAccess.from_environment(environment),
        )


@dataclass(frozen=True, slots=True)
class JanitorSettings:
    """Settings of the janitor function.

    Attributes
    ----------
    running_jobs
        Jobs that run at the same time.
    has_webhooks
        Whether the deployment has a key to sign with, and so webhooks.
    """

    table: str
    money_queue_url: str
    inference_queue_url: str
    notice_queue_url: str
    vastai: VastaiSettings
    running_jobs: int
    schedules: ScheduleSettings
    has_webhooks: bool
    load_lane: LoadLane = NO_LOAD_LANE

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Return the settings; raises SettingsError naming the variable that is wrong."""
        return cls(
            table=read_text(environment, "RUNE_TABLE"),
            money_queue_url=read_text(environment, "RUNE_MONEY_QUEUE_URL"),
            inference_queue_url=read_text(environment, "RUNE_INFERENCE_QUEUE_URL"),
            notice_queue_url=read_text(environment, "RUNE_NOTICE_QUEUE_URL"),
            vastai=VastaiSettings.from_environment(environment),
            load_lane=LoadLane.from_environment(environment),
            running_jobs=read_whole_number(environment, "RUNE_RUNNING_JOBS"),
            schedules=ScheduleSettings.from_environment(environment),
            has_webhooks=read_flag(environment, "RUNE_WEBHOOKS"),
        )
