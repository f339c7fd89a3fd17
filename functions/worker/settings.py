"""What a deployment tells a worker."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from rune.money.limits import SpendingLimits
from rune.settings import (
    NO_LOAD_LANE,
    BedrockAccess,
    LoadLane,
    VastaiSettings,
    read_one_of,
    read_text,
    read_whole_number,
)


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Settings of a worker function; `lane` is "money", "inference" or "load".

    Attributes
    ----------
    tenants_path, running_jobs, spending
        As of the API.
    region, memory_mb
        Where it runs, as AWS says; None elsewhere.
    """

    lane: str
    table: str
    bucket: str
    money_queue_url: str
    inference_queue_url: str
    notice_queue_url: str
    dead_letter_queue_url: str
    allowed_networks: str
    tenants_path: str
    bedrock: BedrockAccess
    vastai: VastaiSettings
    running_jobs: int
    spending: SpendingLimits
    region: str | None = None
    memory_mb: int | None = None
    load_lane: LoadLane = NO_LOAD_LANE

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Return the settings; raises SettingsError naming the variable that is wrong."""
        memory_mb = environment.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
        return cls(
            lane=read_one_of(environment, "RUNE_LANE", ("money", "inference", "load")),
            table=read_text(environment, "RUNE_TABLE"),
            bucket=read_text(environment, "RUNE_BUCKET"),
            money_queue_url=read_text(environment, "RUNE_MONEY_QUEUE_URL"),
            inference_queue_url=read_text(environment, "RUNE_INFERENCE_QUEUE_URL"),
            notice_queue_url=read_text(environment, "RUNE_NOTICE_QUEUE_URL"),
            dead_letter_queue_url=read_text(environment, "RUNE_DEAD_LETTER_QUEUE_URL"),
            allowed_networks=environment.get("RUNE_ALLOWED_NETWORKS", ""),
            tenants_path=environment.get("RUNE_TENANTS_PATH", ""),
            bedrock=BedrockAccess.from_environment(environment),
            vastai=VastaiSettings.from_environment(environment),
            load_lane=LoadLane.from_environment(environment),
            running_jobs=read_whole_number(environment, "RUNE_RUNNING_JOBS"),
            spending=SpendingLimits.from_environment(environment),
            region=environment.get("AWS_REGION"),
            memory_mb=int(memory_mb) if memory_mb.isdecimal() else None,
        )
