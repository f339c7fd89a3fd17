"""Models: the data that Ollama shows about them, made up but plausible."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from local.simulators.investigators import SCRIPTS
from local.simulators.ollama.names import parse_name

type Json = Mapping[str, "JsonValue"]
type JsonValue = str | int | float | bool | list["JsonValue"] | dict[str, "JsonValue"] | Json | None

GIB = 1024**3
# 4-bit weights with their scales come to about this much.
BYTES_PER_PARAMETER = 0.6
CONFIG_SIZE_BYTES = 486
TEMPLATE_SIZE_BYTES = 1_481
LICENSE_SIZE_BYTES = 12_320


def digest_of(text: str) -> str:
    """Return 64 hex digits for the content named by `text`."""
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Layer:
    """One blob of a model."""

    digest: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """One model as a registry offers it.

    Attributes
    ----------
    size_bytes
        Of the weights, without the small layers.
    trained_context_tokens
        The longest context with which it can be loaded.
    kv_bytes_per_token
        Memory per token of context, once it is loaded.
    capabilities
        Among completion, tools, vision, embedding, thinking.
    """

    name: str
    size_bytes: int
    family: str = "llama"
    parameter_count: int = 8_030_261_312
    quantization_level: str = "Q4_K_M"
    trained_context_tokens: int = 131_072
    embedding_length: int = 4_096
    block_count: int = 32
    kv_bytes_per_token: int = 131_072
    capabilities: tuple[str, ...] = ("completion", "tools")
    template: str = field(default="{{ .System }} {{ .Prompt }}", repr=False)

    @classmethod
    def named(cls, name: str, *, size_bytes: int) -> "ModelCard":
        """Return a card for any name, with family and capabilities guessed from the name.

        `embed` makes an embedding model; `qwen3`, `deepseek-r1` and `gpt-oss` can think.
        """
        model = parse_name(name).model.lower()
        parameter_count = round(size_bytes / BYTES_PER_PARAMETER)
        if "embed" in model:
            return cls(
                name=name,
                size_bytes=size_bytes,
                family="nomic-bert",
                parameter_count=parameter_count,
                quantization_level="F16",
                trained_context_tokens=2_048,
                embedding_length=768,
                block_count=12,
                kv_bytes_per_token=0,
                capabilities=("embedding",),
                template="{{ .Prompt }}",
            )
        thinks = model.startswith(("qwen3", "deepseek-r1", "gpt-oss"))
        family = model.rstrip("0123456789.-") or "llama"
        capabilities = ("completion", "tools", "thinking") if thinks else ("completion", "tools")
        return cls(
            name=name,
            size_bytes=size_bytes,
            family=family,
            parameter_count=parameter_count,
            capabilities=capabilities,
        )

    @property
    def digest(self) -> str:
        """The manifest's digest: 64 hex digits."""
        return digest_of(f"manifest {parse_name(self.name).key}")

    @property
    def weights(self) -> Layer:
        """The layer of the weights."""
        return Layer(f"sha256:{digest_of(f'weights {parse_name(self.name).key}')}", self.size_bytes)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All layers in the order of a pull; a family shares its template and license."""
        return (
            self.weights,
            Layer(f"sha256:{digest_of(f'template {self.family} {self.template}')}", TEMPLATE_SIZE_BYTES),
            Layer(f"sha256:{digest_of(f'license {self.family}')}", LICENSE_SIZE_BYTES),
            Layer(f"sha256:{digest_of(f'config {parse_name(self.name).key}')}", CONFIG_SIZE_BYTES),
        )

    @property
    def total_size_bytes(self) -> int:
        """The size of all layers, as lists show it."""
        return sum(layer.size_bytes for layer in self.layers)

    @property
    def parameter_size(self) -> str:
        """The parameter count as lists show it, for example `8.0B`."""
        billions = self.parameter_count / 1e9
        return f"{billions:.1f}B" if billions >= 1 else f"{self.parameter_count / 1e6:.2f}M"

    def describe(self) -> dict[str, JsonValue]:
        """Return the `details` object of tags, ps and show."""
        return {
            "parent_model": "",
            "format": "gguf",
            "family": self.family,
            "families": [self.family],
            "parameter_size": self.parameter_size,
            "quantization_level": self.quantization_level,
        }

    def describe_weights(self) -> dict[str, JsonValue]:
        """Return `model_info`; long arrays are empty, as in an answer that is not verbose."""
        return {
            "general.architecture": self.family,
            "general.file_type": 15,
            "general.parameter_count": self.parameter_count,
            "general.quantization_version": 2,
            f"{self.family}.block_count": self.block_count,
            f"{self.family}.context_length": self.trained_context_tokens,
            f"{self.family}.embedding_length": self.embedding_length,
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.tokens": [],
        }


def _card_table(*cards: ModelCard) -> Mapping[str, ModelCard]:
    return MappingProxyType({parse_name(card.name).key: card for card in cards})


# Approximate sizes; nothing depends on their exact values.
KNOWN_CARDS = _card_table(
    ModelCard.named("llama3.1:8b", size_bytes=4_920_738_944),
    ModelCard.named("llama3.1:70b", size_bytes=42_520_397_873),
    ModelCard.named("llama3.1:405b", size_bytes=243_101_712_384),
    ModelCard.named("mixtral:8x7b", size_bytes=26_442_481_856),
    ModelCard.named("mixtral:8x22b", size_bytes=79_509_764_096),
    ModelCard.named("command-r:35b", size_bytes=18_780_000_256),
    ModelCard.named("command-r-plus:104b", size_bytes=59_167_612_928),
    ModelCard.named("qwen2.5-coder:72b", size_bytes=47_415_715_840),
    ModelCard.named("llama3.2:latest", size_bytes=2_019_377_376),
    ModelCard.named("nomic-embed-text:latest", size_bytes=274_290_656),
    ModelCard.named("qwen3:8b", size_bytes=5_225_374_720),
    ModelCard.named("qwen2.5:7b", size_bytes=4_683_073_184),
    ModelCard.named("mistral:7b", size_bytes=4_372_811_936),
    ModelCard.named("tinyllama:latest", size_bytes=637_699_456),
)

INVESTIGATORS = tuple(
    ModelCard.named(f"investigator-{name}:latest", size_bytes=2_019_377_376) for name in SCRIPTS
)
"""Scripted models (`local.simulators.investigators`)."""


def card_for(name: str, *, size_bytes: int | None = None) -> ModelCard:
    """Return the known card of a name, or a guessed one; a given size replaces the known one.

    Raises
    ------
    ValueError
        The name is invalid, or it is unknown and has no size.
    """
    known = KNOWN_CARDS.get(parse_name(name).key)
    if known is not None and size_bytes is None:
        return known
    if size_bytes is None:
        raise ValueError(f"{name} is not a known model, so a size in bytes is needed")
    return ModelCard.named(name, size_bytes=size_bytes)
