"""What callers get about models and model servers."""

from datetime import datetime
from typing import Literal

from rune.contracts.document import Document


class SeenPrice(Document):
    """The cheapest offer on which a model fits, of those that searches of the last day saw."""

    usd_per_hour: float
    """With the disk that the model needs; traffic is extra."""
    gpu: str
    gpu_count: int
    as_of: datetime
    """When a search saw it. It may be taken by now."""


class CatalogModel(Document):
    """A model that fits on a rented GPU."""

    name: str
    vram_mb: int
    """Memory of the GPU that it needs, in MB."""
    required_disk_gb: int
    """Disk that it needs, in GB."""
    parameters_billions: float
    """All its parameters, of all experts, in billions."""
    quantisation: str
    """Of the weights that are downloaded."""
    context_tokens: int
    """The context that `vram_mb` includes, in tokens."""
    weights_gb: float
    """Its download, in GB."""
    licence: str
    """SPDX identifier where there is one, else the licence's name."""
    note: str | None = None
    """What a person should know besides."""
    last_seen: SeenPrice | None = None
    """Null where no search of the last day saw an offer that fits."""


class Catalog(Document):
    """Models that fit on rented GPUs."""

    models: list[CatalogModel]


class CatalogAgent(Document):
    """An agent, and whether your tenant has what it needs."""

    name: str
    """As requests name it in `agent`."""
    description: str
    needs: list[Literal["model_server", "cluster", "setting"]]
    """`model_server`: the job names one (`backend_url`). `cluster`: the job names one of your tenant's. `setting`:
    your operator adds a server of the agent's own to your tenant's document."""
    is_available: bool
    """Whether your tenant may use it now."""
    hint: str | None
    """What is missing; null where nothing is."""
    is_default: bool
    """Whether it works for a request that names no agent."""
    streams_progress: bool
    """Whether a job's `progress` rises while it works."""
    works_in_turns: bool
    """Whether its work takes more than one turn, each committed: it asks the model more than once, within
    `max_turns`, `max_tool_calls` and `max_tokens`; or another server works, and each look at it is a turn."""


class AgentCatalog(Document):
    """The agents that RUNE has."""

    agents: list[CatalogAgent]


class ServerModels(Document):
    """What a model server offers."""

    backend_url: str
    backend_type: str
    models: list[str]
    running_models: list[str]
    """Those in memory; empty where the server cannot tell."""
