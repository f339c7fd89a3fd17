"""The models of the simulated account."""

from dataclasses import dataclass
from typing import Any

from local.simulators.investigators import SCRIPTS

ACCOUNT = "123456789012"

type Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundationModel:
    """A model of the region.

    Attributes
    ----------
    needs_profile
        Whether it answers only by its inference profile, `<area>.<id>`. Every model has a profile.
    reasons
        Whether its answer begins with reasoning.
    context_tokens, output_tokens
        Most tokens of a question, and of an answer.
    """

    id: str
    name: str
    provider: str
    inputs: tuple[str, ...] = ("TEXT",)
    outputs: tuple[str, ...] = ("TEXT",)
    streams: bool = True
    calls_tools: bool = True
    needs_profile: bool = False
    reasons: bool = False
    context_tokens: int = 200_000
    output_tokens: int = 8_192

    @property
    def writes(self) -> bool:
        """Whether it answers in text."""
        return "TEXT" in self.outputs

    def arn(self, region: str) -> str:
        """Return its ARN: no account owns it."""
        return f"arn:aws:bedrock:{region}::foundation-model/{self.id}"

    def summary(self, region: str) -> Json:
        """Return its line in the list."""
        return {
            "modelArn": self.arn(region),
            "modelId": self.id,
            "modelName": self.name,
            "providerName": self.provider,
            "inputModalities": list(self.inputs),
            "outputModalities": list(self.outputs),
            "responseStreamingSupported": self.streams,
            "customizationsSupported": [],
            "inferenceTypesSupported": ["INFERENCE_PROFILE" if self.needs_profile else "ON_DEMAND"],
            "modelLifecycle": {"status": "ACTIVE"},
        }

    def profile_id(self, region: str) -> str:
        """Return the id of its inference profile."""
        return f"{_area(region)}.{self.id}"

    def profile_arn(self, region: str) -> str:
        """Return the ARN of its inference profile, which is the account's."""
        return f"arn:aws:bedrock:{region}:{ACCOUNT}:inference-profile/{self.profile_id(region)}"

    def profile_summary(self, region: str) -> Json:
        """Return its profile's line in the list."""
        return {
            "inferenceProfileId": self.profile_id(region),
            "inferenceProfileArn": self.profile_arn(region),
            "inferenceProfileName": f"{_area(region).upper()} {self.name}",
            "models": [{"modelArn": self.arn(region)}],
            "status": "ACTIVE",
            "type": "SYSTEM_DEFINED",
        }

    def answers_to(self, model: str, region: str) -> bool:
        """Return whether an id or ARN means this model."""
        return model in {self.id, self.arn(region), self.profile_id(region), self.profile_arn(region)}


def _area(region: str) -> str:
    return region.partition("-")[0]


MODELS = (
    FoundationModel(
        id="anthropic.claude-3-haiku-20240307-v1:0",
        name="Claude 3 Haiku",
        provider="Anthropic",
        inputs=("TEXT", "IMAGE"),
    ),
    FoundationModel(
        id="anthropic.claude-3-7-sonnet-20250219-v1:0",
        name="Claude 3.7 Sonnet",
        provider="Anthropic",
        inputs=("TEXT", "IMAGE"),
        needs_profile=True,
    ),
    FoundationModel(
        id="deepseek.r1-v1:0", name="DeepSeek-R1", provider="DeepSeek", reasons=True, calls_tools=False
    ),
    FoundationModel(
        id="meta.llama3-8b-instruct-v1:0",
        name="Llama 3 8B Instruct",
        provider="Meta",
        context_tokens=8_192,
        output_tokens=2_048,
        calls_tools=False,
    ),
    FoundationModel(
        id="amazon.titan-embed-text-v2:0",
        name="Titan Text Embeddings V2",
        provider="Amazon",
        outputs=("EMBEDDING",),
        streams=False,
        calls_tools=False,
    ),
)

INVESTIGATORS = tuple(
    FoundationModel(id=f"rune.investigator-{name}-v1:0", name=f"Investigator, {name}", provider="RUNE")
    for name in SCRIPTS
)
"""Scripted models (`local.simulators.investigators`)."""
