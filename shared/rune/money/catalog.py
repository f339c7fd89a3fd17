"""The models that RUNE offers on Vast.ai, and what a machine needs for each.

Source: the catalog that clients in the field use (RUNE client facts, May 2026), which gives memory alone. What
follows from memory is computed here and typed in nowhere.
"""

from dataclasses import dataclass

_MB_PER_GIB = 1024
"""Vast.ai's "MB" of memory are MiB: an offer of 24 GB says 24576 or a little less."""

_DISK_PERCENT_OF_VRAM = 115
_SYSTEM_DISK_GB = 32


@dataclass(frozen=True, slots=True)
class SizedModel:
    """A model and the GPU memory it needs, all GPUs of the machine together."""

    name: str
    vram_mb: int

    @property
    def download_gb(self) -> int:
        """Most that its weights take on the wire and on disk: its memory with 15 % to spare, rounded up."""
        # In whole numbers: 1.15 has no exact binary form, and a ceiling makes a whole GB of the error.
        return -(-self.vram_mb * _DISK_PERCENT_OF_VRAM // (_MB_PER_GIB * 100))

    @property
    def required_disk_gb(self) -> int:
        """Disk to rent: the weights, and 32 GB for the image and its tools."""
        return self.download_gb + _SYSTEM_DISK_GB


CATALOG: tuple[SizedModel, ...] = (
    SizedModel("llama3.1:405b", 260_000),
    SizedModel("mixtral:8x22b", 95_000),
    SizedModel("command-r-plus:104b", 75_000),
    SizedModel("qwen2.5-coder:72b", 55_000),
    SizedModel("llama3.1:70b", 50_000),
    SizedModel("mixtral:8x7b", 32_000),
    SizedModel("command-r:35b", 28_000),
    SizedModel("llama3.1:8b", 8_000),
)
"""Largest first."""

_BY_NAME = {model.name: model for model in CATALOG}


def find_model(name: str) -> SizedModel | None:
    """Return the model of exactly that name and tag, or None for one whose size RUNE does not know."""
    return _BY_NAME.get(name)
