"""What a deployment tells the API."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from rune.errors import SettingsError
from rune.services.jobs import JobLimits
from rune.settings import NO_LOAD_LANE, BedrockAccess, LoadLane, read_flag, read_text, read_whole_number
from rune.tenants.rates import RateLimits

_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(?::[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """Settings of the API function.

    Attributes
    ----------
    allowed_networks
        CIDR blocks, comma-separated, that callers may address although they are not public.
    tenants_path
        Path of the SSM parameters with the tenants' documents; empty where no tenant has one.
    signing_key_parameter
        Name of the SSM parameter from which keys for signing are derived; empty where there is none.
    with_docs
        Whether the API's documentation is served.
    cors_origins
        Origins whose scripts may call the API from a browser.
    can_rent
        Whether the deployment has an account with a provider of GPUs.
    limits
        Of each job.
    running_jobs
        Jobs that run at the same time.
    rates
        Requests that a tenant may send.
    """

    stage: str
    table: str
    bucket: str
    money_queue_url: str
    inference_queue_url: str
    notice_queue_url: str
    allowed_networks: str
    auth_disabled: bool
    tenants_path: str
    signing_key_parameter: str
    bedrock: BedrockAccess
    with_docs: bool
    can_rent: bool
    limits: JobLimits
    running_jobs: int
    rates: RateLimits
    load_lane: LoadLane = NO_LOAD_LANE
    cors_origins: tuple[str, ...] = ()

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
            auth_disabled=read_flag(environment, "RUNE_API_AUTH_DISABLED"),
            tenants_path=environment.get("RUNE_TENANTS_PATH", ""),
            signing_key_parameter=environment.get("RUNE_SIGNING_KEY_PARAMETER", ""),
            bedrock=BedrockAccess.from_environment(environment),
            with_docs=read_flag(environment, "RUNE_API_DOCS"),
            can_rent=read_flag(environment, "RUNE_CAN_RENT"),
            limits=JobLimits.from_environment(environment),
            rates=RateLimits.from_environment(environment),
            load_lane=LoadLane.from_environment(environment),
            running_jobs=read_whole_number(environment, "RUNE_RUNNING_JOBS"),
            cors_origins=_read_origins(environment, "RUNE_CORS_ALLOWED_ORIGINS"),
        )


def _read_origins(environment: Mapping[str, str], name: str) -> tuple[str, ...]:
    """Return origins, separated by commas; raises SettingsError for what no browser sends as one, and for `*`."""
    origins = tuple(filter(None, environment.get(name, "").split(",")))
    if not all(map(_ORIGIN.fullmatch, origins)):
        raise SettingsError(
            f"{name} must be origins such as https://ui.example, separated by commas: lower case, no path."
        )
    return origins
