"""What a deployment tells the intakes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from rune.errors import SettingsError
from rune.services.intake.ways import Way
from rune.services.jobs import JobLimits
from rune.settings import NO_LOAD_LANE, BedrockAccess, LoadLane, read_flag, read_text, read_whole_number


@dataclass(frozen=True, slots=True)
class TriggerSettings:
    """Settings of both functions of the intakes.

    Attributes
    ----------
    account
        Number of the account, to which the inbox belongs.
    tenant
        For whom the intakes of one tenant submit; empty where none of them is on.
    bus_tenants
        Tenants by the source of an event.
    topic, inbox
        ARN of the topic, and name of the bucket; empty where the way is off.
    queue_urls, failure_queue_urls
        Of the ways that are on.
    """

    stage: str
    table: str
    bucket: str
    money_queue_url: str
    inference_queue_url: str
    notice_queue_url: str
    allowed_networks: str
    tenants_path: str
    bedrock: BedrockAccess
    can_rent: bool
    limits: JobLimits
    running_jobs: int
    account: str
    tenant: str
    bus_tenants: Mapping[str, str]
    topic: str
    inbox: str
    queue_urls: Mapping[Way, str]
    failure_queue_urls: Mapping[Way, str]
    load_lane: LoadLane = NO_LOAD_LANE

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Return the settings; raises SettingsError naming the variable that is wrong."""
        return cls(
            stage=read_text(environment, "RUNE_STAGE"),
            table=read_text(environment, "RUNE_TABLE"),
            bucket=read_text(environment, "RUNE_BUCKET"),
            money_queue_url=read_text(environment, "RUNE_MONEY_QUEUE_URL"),
            inference_queue_url=read_text(environment, "RUNE_INFERENCE_QUEUE_URL"),
            notice_queue_url=read_text(environment, "RUNE_NOTICE_QUEUE_URL"),
            allowed_networks=environment.get("RUNE_ALLOWED_NETWORKS", ""),
            tenants_path=environment.get("RUNE_TENANTS_PATH", ""),
            bedrock=BedrockAccess.from_environment(environment),
            can_rent=read_flag(environment, "RUNE_CAN_RENT"),
            limits=JobLimits.from_environment(environment),
            load_lane=LoadLane.from_environment(environment),
            running_jobs=read_whole_number(environment, "RUNE_RUNNING_JOBS"),
            account=environment.get("RUNE_ACCOUNT", ""),
            tenant=environment.get("RUNE_INTAKE_TENANT", ""),
            bus_tenants=read_bus_tenants(environment.get("RUNE_BUS_TENANTS", "")),
            topic=environment.get("RUNE_INTAKE_TOPIC", ""),
            inbox=environment.get("RUNE_INBOX", ""),
            queue_urls=_urls(environment, "QUEUE_URL"),
            failure_queue_urls=_urls(environment, "FAILURE_QUEUE_URL"),
        )

    def way_of(self, queue_arn: str) -> Way:
        """Return the way whose queue has the ARN; raises SettingsError where there is none."""
        name = queue_arn.rpartition(":")[2]
        for way, url in self.queue_urls.items():
            if url.rpartition("/")[2] == name:
                return way
        raise SettingsError(f"The queue {name} is no intake.")


def read_bus_tenants(text: str) -> Mapping[str, str]:
    """Return tenants by source, from `source=tenant` entries with commas between; raises SettingsError."""
    tenants: dict[str, str] = {}
    for entry in filter(None, text.split(",")):
        source, _, tenant = entry.partition("=")
        if not source or not tenant or source in tenants:
            raise SettingsError("RUNE_BUS_TENANTS must be source=tenant entries, each source once.")
        tenants[source] = tenant
    return tenants


def _urls(environment: Mapping[str, str], name: str) -> Mapping[Way, str]:
    found = {way: environment.get(f"RUNE_{way.upper()}_{name}", "") for way in Way}
    return {way: url for way, url in found.items() if url}
