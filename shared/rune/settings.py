"""What a deployment tells its functions: the settings that several share, and how each is read.

Each function has one typed object of its own, in its `settings.py`, which it reads once at start.

Secrets are not here: tokens are taken from the environment by `rune.tenants.tokens`, and hashed at once. What an
operator decides for one tenant is not here either: that is its document (`rune.tenants.document`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from rune.errors import SettingsError

LOCAL_STAGE = "local"
"""The stage of a laptop's stack, which is no deployment on AWS."""

PROD_STAGE = "prod"


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
            stage=read_text(environment, "RUNE_STAGE"),
            api_url=environment.get("VAST_API_URL", "") or "https://console.vast.ai",
            api_key_parameter=environment.get("VAST_API_KEY_PARAMETER", ""),
            image=environment.get("VAST_IMAGE", ""),
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
            is_allowed=read_flag(environment, "RUNE_BEDROCK_ACCESS"),
            url=environment.get("RUNE_BEDROCK_URL", "").strip(),
            # Lambda sets the first, people the second.
            region=environment.get("AWS_REGION", "") or environment.get("AWS_DEFAULT_REGION", ""),
        )


MEMORY_MB_PER_PROCESSOR = 1769
"""With so much Lambda gives a function one whole processor, and with a multiple as many.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
"""


@dataclass(frozen=True, slots=True)
class LoadLane:
    """The lane of points with more load than one process puts, where the deployment has it.

    Attributes
    ----------
    memory_mb
        Of its function; 0 where there is none.
    queue_url
        Of its queue; empty where there is none, and in functions that never send into it.
    """

    memory_mb: int = 0
    queue_url: str = ""

    @property
    def process_count(self) -> int:
        """How many processes put a load: one for each whole processor."""
        return self.memory_mb // MEMORY_MB_PER_PROCESSOR

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Return the settings; raises SettingsError naming the variable that is wrong."""
        name = "RUNE_LOAD_MEMORY_MB"
        is_present = environment.get(name, "0") != "0"
        return cls(
            memory_mb=read_whole_number(environment, name) if is_present else 0,
            queue_url=environment.get("RUNE_LOAD_QUEUE_URL", ""),
        )


NO_LOAD_LANE = LoadLane()


def read_text(environment: Mapping[str, str], name: str) -> str:
    """Return the variable; raises SettingsError where it is missing or blank."""
    value = environment.get(name, "").strip()
    if not value:
        raise SettingsError(f"{name} must be set.")
    return value


def read_one_of(environment: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str:
    """Return the variable; raises SettingsError unless it is one of those allowed."""
    value = read_text(environment, name)
    if value not in allowed:
        raise SettingsError(f"{name} must be one of {', '.join(allowed)}.")
    return value


def read_whole_number(environment: Mapping[str, str], name: str) -> int:
    """Return the variable as a number; raises SettingsError unless it is a whole number above 0."""
    value = read_text(environment, name)
    if not (value.isascii() and value.isdigit() and int(value) > 0):
        raise SettingsError(f"{name} must be a whole number above 0.")
    return int(value)


def read_flag(environment: Mapping[str, str], name: str) -> bool:
    """Return whether the variable is true; raises SettingsError where it is neither true nor false."""
    value = environment.get(name, "").strip().lower()
    if value not in {"", "0", "1", "false", "true", "no", "yes", "off", "on"}:
        raise SettingsError(f"{name} must be true or false.")
    return value in {"1", "true", "yes", "on"}
