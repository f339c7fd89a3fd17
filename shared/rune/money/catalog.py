"""The models that RUNE offers on Vast.ai, and what a machine needs for each.

The memory is that of the catalog which RUNE's clients use (May 2026); disk and download are computed from it.
"""

from dataclasses import dataclass

_MB_PER_GIB = 1024
"""Vast.ai's "MB" of memory are MiB: an offer of 24 GB says 24576 or a little less."""

_DISK_PERCENT_OF_VRAM = 115
SYSTEM_DISK_GB = 32
"""Room on a disk beside the weights, for the image and the system."""


@dataclass(frozen=True, slots=True)
class SizedModel:
    """A model and the GPU memory it needs, all GPUs of the machine together.

    Attributes
    ----------
    vram_mb
        With a context of 8,192 tokens.
    kib_per_token
        What each token of its context takes: 2 x layers x heads of keys and values x their width x 2 bytes, from
        the model's `config.json`. None where it is not known.
    """

    name: str
    vram_mb: int
    kib_per_token: int | None = None

    @property
    def download_gb(self) -> int:
        """Upper bound of its weights, downloaded and on disk: its memory and 15 % more, rounded up."""
        # In whole numbers: 1.15 has no exact binary form, and the ceiling would turn the error into a GB.
        return -(-self.vram_mb * _DISK_PERCENT_OF_VRAM // (_MB_PER_GIB * 100))

    @property
    def required_disk_gb(self) -> int:
        """Disk to rent: the weights, and 32 GB for the image."""
        return self.download_gb + SYSTEM_DISK_GB


CATALOG: tuple[SizedModel, ...] = (
    SizedModel("llama3.1:405b", 260_000, 504),
    SizedModel("mixtral:8x22b", 95_000, 224),
    SizedModel("command-r-plus:104b", 75_000, 256),
    SizedModel("qwen2.5-coder:72b", 55_000, 320),
    SizedModel("llama3.1:70b", 50_000, 320),
    SizedModel("mixtral:8x7b", 32_000, 128),
    SizedModel("command-r:35b", 28_000, 160),
    SizedModel("llama3.1:8b", 8_000, 128),
)
"""Largest first."""

_BY_NAME = {model.name: model for model in CATALOG}


def find_model(name: str) -> SizedModel | None:
    """Return the model of exactly that name and tag, or None for a model outside the catalog."""
    return _BY_NAME.get(name)
