"""What a deployment tells its functions: one typed object per function, read once at start.

Secrets are not here: tokens are taken from the environment by `rune.tenants.tokens`, and hashed at once. What an
operator decides for one tenant is not here either: that is its document (`rune.tenants.document`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from rune.errors import SettingsError


@dataclass(frozen=True, slots=True)
class VastaiSettings:
    """The deployment's account with Vast.ai, where it has one.

    Attributes
    ----------
    api_url
        Where its API is.
    api_key_parameter
        Name of the SSM parameter with the key; empty where the deployment has no account.
    image
        What runs on a machine for which no template was named.
    """

    stage: str
    api_url: str
    api_key_parameter: str
    image: str

    @property
    def is_present(self) -> bool:
        """Whether machines can be rented."""
        return bool(self.api_key_parameter)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Return the settings; raises SettingsError naming the variable that is wrong."""
        return cls(
            stage=_text(environment, "RUNE_STAGE"),
            api_url=environment.get("VAST_API_URL", "") or "https://console.vast.ai",
            api_key_parameter=environment.get("VAST_API_KEY_PARAMETER", ""),
            image=environment.get("VAST_IMAGE", "") or "ollama/ollama:latest",
        )


@dataclass(frozen=True, slots=True)
class BedrockAccess:
    """How the deployment uses Amazon Bedrock.

    Attributes
    ----------
    is_allowed
        Whether it may at all; without it no tenant may.
    url
        Where Bedrock is reached instead of at AWS's own addresses; empty for those.
    region
        The deployment's own; empty where nothing says.
    """

    is_allowed: bool
    url: str
    region: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Return the settings; raises SettingsError naming the variable that is wrong."""
        return cls(
            is_allowed=_flag(environment, "RUNE_BEDROCK_ACCESS"),
            url=environment.get("RUNE_BEDROCK_URL", "").strip(),
            # Lambda sets the first, people the second.
            region=environment.get("AWS_REGION", "") or environment.get("AWS_DEFAULT_REGION", ""),
        )


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """Settings of the API function.

    Attributes
    ----------
    allowed_networks
        CIDR blocks, comma-separated, that callers may address although they are not public.
    tenants_path
        Path of the SSM parameters with the tenants' documents; empty where no tenant has one.
    with_docs
        Whether the API's documentation is served.
    can_rent
        Whether the deployment has an account with a provider of GPUs.
    retention
        How long a job is kept after it was posted.
    job_deadline
        How long a job may take from being posted to its end.
    """

    stage: str
    table: str
    bucket: str
    control_queue_url: str
    allowed_networks: str
    auth_disabled: bool
    tenants_path: str
    bedrock: BedrockAccess
    with_docs: bool
    can_rent: bool
    retention: timedelta
    job_deadline: timedelta

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Return the settings; raises SettingsError naming the variable that is wrong."""
        return cls(
            stage=_text(environment, "RUNE_STAGE"),
            table=_text(environment, "RUNE_TABLE"),
            bucket=_text(environment, "RUNE_BUCKET"),
            control_queue_url=_text(environment, "RUNE_CONTROL_QUEUE_URL"),
            allowed_networks=environment.get("RUNE_ALLOWED_NETWORKS", ""),
            auth_disabled=_flag(environment, "RUNE_API_AUTH_DISABLED"),
            tenants_path=environment.get("RUNE_TENANTS_PATH", ""),
            bedrock=BedrockAccess.from_environment(environment),
            with_docs=_flag(environment, "RUNE_API_DOCS"),
            can_rent=_flag(environment, "RUNE_CAN_RENT"),
            retention=timedelta(days=_whole_number(environment, "RUNE_RETENTION_DAYS")),
            job_deadline=timedelta(seconds=_whole_number(environment, "RUNE_JOB_DEADLINE_SECONDS")),
        )


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Settings of a worker function; `lane` is "control" or "inference".

    Attributes
    ----------
    tenants_path
        As of the API.
    region, memory_mb
        Where it runs, as AWS says; None elsewhere.
    """

    lane: str
    table: str
    bucket: str
    control_queue_url: str
    inference_queue_url: str
    dead_letter_queue_url: str
    allowed_networks: str
    tenants_path: str
    bedrock: BedrockAccess
    vastai: VastaiSettings
    region: str | None = None
    memory_mb: int | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Return the settings; raises SettingsError naming the variable that is wrong."""
        memory_mb = environment.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
        return cls(
            lane=_one_of(environment, "RUNE_LANE", ("control", "inference")),
            table=_text(environment, "RUNE_TABLE"),
            bucket=_text(environment, "RUNE_BUCKET"),
            control_queue_url=_text(environment, "RUNE_CONTROL_QUEUE_URL"),
            inference_queue_url=_text(environment, "RUNE_INFERENCE_QUEUE_URL"),
            dead_letter_queue_url=_text(environment, "RUNE_DEAD_LETTER_QUEUE_URL"),
            allowed_networks=environment.get("RUNE_ALLOWED_NETWORKS", ""),
            tenants_path=environment.get("RUNE_TENANTS_PATH", ""),
            bedrock=BedrockAccess.from_environment(environment),
            vastai=VastaiSettings.from_environment(environment),
            region=environment.get("AWS_REGION"),
            memory_mb=int(memory_mb) if memory_mb.isdecimal() else None,
        )


@dataclass(frozen=True, slots=True)
class JanitorSettings:
    """Settings of the janitor function."""

    table: str
    control_queue_url: str
    inference_queue_url: str
    vastai: VastaiSettings

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Return the settings; raises SettingsError naming the variable that is wrong."""
        return cls(
            table=_text(environment, "RUNE_TABLE"),
            control_queue_url=_text(environment, "RUNE_CONTROL_QUEUE_URL"),
            inference_queue_url=_text(environment, "RUNE_INFERENCE_QUEUE_URL"),
            vastai=VastaiSettings.from_environment(environment),
        )


def _text(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name, "").strip()
    if not value:
        raise SettingsError(f"{name} must be set.")
    return value


def _one_of(environment: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str:
    value = _text(environment, name)
    if value not in allowed:
        raise SettingsError(f"{name} must be one of {', '.join(allowed)}.")
    return value


def _whole_number(environment: Mapping[str, str], name: str) -> int:
    value = _text(environment, name)
    if not (value.isascii() and value.isdigit() and int(value) > 0):
        raise SettingsError(f"{name} must be a whole number above 0.")
    return int(value)


def _flag(environment: Mapping[str, str], name: str) -> bool:
    value = environment.get(name, "").strip().lower()
    if value not in {"", "0", "1", "false", "true", "no", "yes", "off", "on"}:
        raise SettingsError(f"{name} must be true or false.")
    return value in {"1", "true", "yes", "on"}
