"""What callers get about models and model servers."""

from rune.contracts.document import Document


class CatalogModel(Document):
    """A model that fits on a rented GPU."""

    name: str
    vram_mb: int
    """Memory of the GPU that it needs, in MB."""
    required_disk_gb: int
    """Disk that it needs, in GB."""


class Catalog(Document):
    """Models that fit on rented GPUs."""

    models: list[CatalogModel]


class ServerModels(Document):
    """What a model server offers."""

    backend_url: str
    backend_type: str
    models: list[str]
    running_models: list[str]
    """Those in memory; empty where the server cannot tell."""
