"""The models that RUNE offers on Vast.ai, and what a machine needs for each: `catalog.json`, as Python.

The names and their memory are those of the catalog which RUNE's clients use (May 2026). A person adds a model by a
row in the file; docs/catalog.md says how.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from rune.contracts import Document
from rune.contracts.names import MAX_MODEL_NAME_CHARS

_MB_PER_GIB = 1024
"""Vast.ai's "MB" of memory are MiB: an offer of 24 GB says 24576 or a little less."""

_DISK_PERCENT_OF_VRAM = 115
SYSTEM_DISK_GB = 32
"""Room on a disk beside the weights, for the image and the system."""

INCLUDED_CONTEXT_TOKENS = 8192
"""Context that a model's memory includes, where the catalog does not say."""


@dataclass(frozen=True, slots=True)
class SizedModel:
    """A model and the GPU memory it needs, all GPUs of the machine together.

    Attributes
    ----------
    vram_mb
        With a context of `context_tokens`.
    kib_per_token
        What each token of its context takes: 2 x layers x heads of keys and values x their width x 2 bytes, from
        the model's `config.json`. None where it is not known.
    weights_gb
        The size of its download, where it is known.
    disk_gb
        Disk to rent, where the catalog says; else it follows from the memory.
    """

    name: str
    vram_mb: int
    kib_per_token: int | None = None
    weights_gb: float | None = None
    disk_gb: int | None = None
    context_tokens: int = INCLUDED_CONTEXT_TOKENS

    @property
    def download_gb(self) -> int:
        """Upper bound of its weights, downloaded and on disk: its memory and 15 % more, rounded up."""
        if self.disk_gb is not None:
            return self.disk_gb - SYSTEM_DISK_GB
        # In whole numbers: 1.15 has no exact binary form, and the ceiling would turn the error into a GB.
        return -(-self.vram_mb * _DISK_PERCENT_OF_VRAM // (_MB_PER_GIB * 100))

    @property
    def required_disk_gb(self) -> int:
        """Disk to rent: the weights, and 32 GB for the image."""
        return self.download_gb + SYSTEM_DISK_GB


class CatalogRow(Document):
    """One model of the file."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._/-]*:[A-Za-z0-9._-]+$", max_length=MAX_MODEL_NAME_CHARS)
    """As its server names it, with its tag."""
    parameters_billions: float = Field(gt=0, le=10_000)
    """All parameters, of all experts."""
    quantisation: str = Field(min_length=1, max_length=32)
    """Of the weights that the tag downloads."""
    vram_mb: int = Field(ge=1000, le=4_000_000)
    """GPU memory for the weights, the context and the server, in MiB."""
    context_tokens: int = Field(ge=256, le=1_048_576)
    """The context that this memory includes."""
    kib_per_token: int = Field(ge=1, le=10_000)
    """What each further token of context takes, in KiB."""
    weights_gb: float = Field(gt=0, le=10_000)
    """What is downloaded, in GB."""
    disk_gb: int = Field(ge=SYSTEM_DISK_GB, le=20_000)
    """Disk to rent, in GB: room for the weights, and 32 GB for image and system."""
    licence: str = Field(min_length=1, max_length=64)
    """SPDX identifier where there is one, else the licence's name."""
    source: str = Field(pattern=r"^https://\S+$", max_length=256)
    """Where parameters, quantisation, download and licence are stated."""
    note: str | None = Field(None, max_length=256)
    """What a person should know besides."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.weights_gb + SYSTEM_DISK_GB > self.disk_gb:
            raise ValueError(f"{self.name}: disk_gb has no room for weights_gb and {SYSTEM_DISK_GB} GB")
        if self.weights_gb * 1000 > self.vram_mb * 1.048576:
            raise ValueError(f"{self.name}: weights_gb do not fit into vram_mb")
        return self

    def sized(self) -> SizedModel:
        """Return what renting goes by."""
        return SizedModel(
            self.name, self.vram_mb, self.kib_per_token, self.weights_gb, self.disk_gb, self.context_tokens
        )


class CatalogFile(Document):
    """The whole file."""

    models: tuple[CatalogRow, ...] = Field(min_length=1, max_length=200)

    @model_validator(mode="after")
    def _is_sorted(self) -> Self:
        names = [row.name for row in self.models]
        if len(set(names)) != len(names):
            raise ValueError("a model is in the catalog twice")
        sizes = [row.vram_mb for row in self.models]
        if sizes != sorted(sizes, reverse=True):
            raise ValueError("the models are not in the order of their vram_mb, largest first")
        return self


CATALOG_PATH = Path(__file__).with_name("catalog.json")

CATALOG_ROWS = CatalogFile.model_validate_json(CATALOG_PATH.read_bytes()).models
"""Largest first."""

CATALOG: tuple[SizedModel, ...] = tuple(row.sized() for row in CATALOG_ROWS)
"""Largest first."""

_BY_NAME = {model.name: model for model in CATALOG}


def find_model(name: str) -> SizedModel | None:
    """Return the model of exactly that name and tag, or None for a model outside the catalog."""
    return _BY_NAME.get(name)
