"""What `POST /v1/estimates` takes and answers."""

from datetime import date, datetime
from typing import Literal, Self

from pydantic import Field, model_validator

from rune.contracts import Document, VastaiProvisioning
from rune.contracts.document import refuse_reversed
from rune.contracts.leniency import take_estimate
from rune.contracts.names import MAX_MODEL_NAME_CHARS
from rune.contracts.requests import LARGEST_COST_USD, LARGEST_VRAM_MB, LEAST_COST_USD

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
    model: str | None = Field(None, max_length=MAX_MODEL_NAME_CHARS)
    """Name of the model, as on its server."""
    estimated_duration_seconds: int = Field(3600, ge=1, le=2_592_000)
    """How long the machine is used, in seconds, boot and download included; at most 30 days. For Vast.ai a request
    that leaves it out is estimated for one question."""
    max_cost_usd: float | None = Field(None, ge=LEAST_COST_USD, le=LARGEST_COST_USD)
    """What the job will be posted with; null takes your tenant's or the deployment's limit."""
    min_vram_mb: int | None = Field(None, ge=1000, le=LARGEST_VRAM_MB)
    """As in the request of a job: GPU memory of a model whose size RUNE does not know, in MB."""
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
    """Hash of the Vast.ai template to boot, if your tenant may name it."""
    reliability: float | None = Field(None, ge=0, le=1)
    """Lowest reliability of the host, as a ratio; null takes what a job takes."""

    @model_validator(mode="before")
    @classmethod
    def _take_what_clients_send(cls, given: object) -> object:
        return take_estimate(given) if isinstance(given, dict) else given

    @model_validator(mode="after")
    def _refuse_reversed_prices(self) -> Self:
        # A price of 0 is a client's field that was left out; the estimate says that it is missing.
        if self.vastai and self.max_dph > 0:
            refuse_reversed(min_dph=self.min_dph, max_dph=self.max_dph)
        return self


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


class Range(Document):
    """A quantity as it is seldom below, usually, and seldom above."""

    low: float = Field(ge=0)
    likely: float = Field(ge=0)
    high: float = Field(ge=0)


type PhaseName = Literal["search", "boot", "image", "pull", "load", "work", "release", "traffic"]


class PhaseEstimate(Document):
    """What one phase of a job on one machine takes. The ranges do not add up to the job's: phases vary apart."""

    phase: PhaseName
    """`image` is the download before the container runs, `boot` from there until the server answers, `work` all
    answers or the time for which an instance is kept, `traffic` both downloads' price by the GB."""
    seconds: Range
    usd: Range


class OfferEstimate(Document):
    """The offer that would be taken now, by the ranking that rents."""

    machine_id: int
    gpu_name: str
    gpu_count: int
    vram_mb: int
    place: str
    usd_per_hour: float
    """With the disk that the job needs."""
    download_usd_per_gb: float
    reliability: float
    why: str
    """Why it comes first, in a sentence."""


class RefusedOffers(Document):
    """Offers that were seen and would not be taken."""

    reason: str
    """As in the event `vastai.offer_search`."""
    count: int


type EstimateBasis = Literal["samples", "prior", "limits", "list_price", "own_numbers"]


class RentalEstimate(Document):
    """What a job that rents costs, by the market as last seen and what jobs of its shape took."""

    low_usd: float | None
    likely_usd: float | None
    """Null where the market is not known."""
    high_usd: float
    confidence_score: float
    cap_confidence_score: float | None = None
    """How often a job that is posted with `high_usd` as its `max_cost_usd` ends by itself, not at the cap: two
    minutes of its machine are kept for its end. Null where the market is not known."""
    basis: EstimateBasis
    sample_count: int
    phases: list[PhaseEstimate]
    offer: OfferEstimate | None
    refused: list[RefusedOffers]
    as_of: datetime | None
    """When a search last saw the market."""
    notes: list[str]
    """What a person should know."""


class CostEstimationResponse(Document):
    """What a run is projected to cost."""

    projected_cost_usd: float = Field(gt=0)
    """In USD, rounded up to the next hundredth of a cent, up to the job's cap; never 0 for what has a price."""
    cost_driver: CostDriver
    """What the money is spent on."""
    resource_impact: ResourceImpact
    """`low` below 1.00 USD, `high` above 5.00 USD."""
    local_energy_kwh: float = Field(0.0, ge=0)
    """Energy that the caller's own machine takes, in kilowatt-hours; 0 for rented ones."""
    confidence_score: float = Field(ge=0, le=1)
    """How often jobs of this shape ended at or below the projection; 0 where the market was seen and no offer fits,
    so that the job would rent nothing. Clients stop below 0.95."""
    cap_confidence_score: float | None = None
    """How often a job that is posted with the projection as its `max_cost_usd` ends by itself, not at the cap: two
    minutes of its machine are kept for its end. Null where the market is not known, and for other drivers."""
    warning: str | None = None
    """What a person should know before spending this."""
    list_price: ListPrice | None = None
    """The machine of AWS, Google Cloud or Azure; null for other drivers."""
    low_usd: float | None = None
    """Seldom less; null where the market is not known, and for other drivers than Vast.ai."""
    likely_usd: float | None = None
    """Half of the jobs cost less; null as above."""
    high_usd: float | None = None
    """`projected_cost_usd` under its other name. A job that is posted with it as `max_cost_usd` costs no more."""
    phases: list[PhaseEstimate] = Field(default_factory=list)
    """Of a job on the first machine."""
    offer: OfferEstimate | None = None
    """The offer that would be taken; null where none is known to fit."""
    refused: list[RefusedOffers] = Field(default_factory=list)
    """The others that were seen, by why they would not be taken."""
    as_of: datetime | None = None
    """When a search last saw the market."""
    sample_count: int = 0
    """Past jobs of this shape that the figures were made of."""
    basis: EstimateBasis = "own_numbers"
    """`samples`: of past jobs alone; `prior`: too few of them, filled up by a measured simulation; `limits`: the
    market is not known, so what the job's limits allow; `list_price`, `own_numbers`: other drivers."""
