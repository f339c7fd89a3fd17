"""What `POST /v1/estimates` takes and answers."""

from datetime import date
from typing import Literal

from pydantic import Field

from rune.contracts import Document, VastaiProvisioning

type CostDriver = Literal["vastai", "aws", "gcp", "azure", "local"]

type ResourceImpact = Literal["low", "medium", "high"]

_RENTAL = VastaiProvisioning()


class CostEstimationRequest(Document):
    """What a run is to cost, before it is posted; exactly one cost driver is true.

    Clients send every field, with zero or an empty text for what their user left out. A zero is therefore taken
    here, and refused by the estimate that needs the number.
    """

    vastai: bool = False
    """The run rents a GPU on Vast.ai."""
    aws: bool = False
    """The run uses AWS: priced by its list of prices, since RUNE rents nothing there."""
    gcp: bool = False
    """The run uses Google Cloud: priced by its list of prices, since RUNE rents nothing there."""
    azure: bool = False
    """The run uses Azure: priced by its list of prices, since RUNE rents nothing there."""
    local_hardware: bool = False
    """The run uses a machine that the caller owns."""
    min_dph: float = Field(_RENTAL.min_dph, ge=0, le=1000)
    """Lowest price of a Vast.ai offer, in USD per hour."""
    max_dph: float = Field(_RENTAL.max_dph, ge=0, le=1000)
    """Highest price of a Vast.ai offer, in USD per hour; without it, what a rental is capped at without it."""
    model: str | None = Field(None, max_length=128)
    """Name of the model, as on its server."""
    estimated_duration_seconds: int = Field(3600, ge=1, le=2_592_000)
    """How long the machine is used, in seconds, boot and download included; at most 30 days."""
    local_tdp_watts: float | None = Field(None, ge=0, le=100_000)
    """Power that the machine draws under load, in watts."""
    local_energy_rate_kwh: float | None = Field(None, ge=0, le=100)
    """Price of energy, in USD per kilowatt-hour."""
    local_hardware_purchase_price: float | None = Field(None, ge=0, le=100_000_000)
    """What the machine cost, in USD; 0 beside a lifespan for one that is written off."""
    local_hardware_lifespan_years: float | None = Field(None, ge=0, le=100)
    """Over how many years that price is spread."""
    region: str | None = Field(None, max_length=64)
    """Changes no price: `list_price` names the region for which it holds. Accepted because clients send it."""
    template_hash: str | None = Field(None, max_length=256)
    """Changes no price. Accepted because clients send it."""
    reliability: float | None = Field(None, ge=0, le=1)
    """Changes no upper bound of a price. Accepted because clients send it."""


class ListPrice(Document):
    """What a cloud asks for its cheapest machine in RUNE's table that holds the model, on demand."""

    region: str
    instance: str
    """The cloud's name of the machine."""
    gpu: str
    gpu_count: int
    usd_per_hour: float
    """For the whole machine; disk and traffic are extra."""
    as_of: date
    """The day for which the price was stated."""
    source: str
    """The cloud's page of prices."""


class CostEstimationResponse(Document):
    """What a run is projected to cost."""

    projected_cost_usd: float = Field(gt=0)
    """In USD, rounded up to the next hundredth of a cent; never 0 for what has a price."""
    cost_driver: CostDriver
    """What the money is spent on."""
    resource_impact: ResourceImpact
    """`low` below 1.00 USD, `high` above 5.00 USD."""
    local_energy_kwh: float = Field(0.0, ge=0)
    """Energy that the caller's own machine takes, in kilowatt-hours; 0 for rented ones."""
    confidence_score: float = Field(ge=0, le=1)
    """How sure it is that no more will be charged for the duration given. Clients stop below 0.95."""
    warning: str | None = None
    """What a person should know before spending this."""
    list_price: ListPrice | None = None
    """The machine of AWS, Google Cloud or Azure; null for other drivers."""
