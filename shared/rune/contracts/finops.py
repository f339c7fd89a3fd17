"""What `/v1/finops/simulate` takes and answers, in the words of RUNE's clients."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from rune.contracts.document import Document
from rune.contracts.names import MAX_MODEL_NAME_CHARS

MOST_RUNS, MOST_PERIODS = 100_000, 3_660


class SimulationRequest(Document):
    """The same as the query; a member counts before the parameter of its name."""

    agent: str | None = Field(None, max_length=64)
    model: str | None = Field(None, max_length=MAX_MODEL_NAME_CHARS)
    gpu: str | None = Field(None, max_length=64)
    suite: str | None = Field(None, max_length=256)
    runs_per_period: int | None = Field(None, ge=1, le=MOST_RUNS)
    period_days: int | None = Field(None, ge=1, le=MOST_PERIODS)


class CostComponents(Document):
    """The parts of one run, in USD."""

    gpu_compute: float
    llm_tokens: float


class SimulationReport(Document):
    """What runs are expected to cost. It is no bound: a job's `max_cost_usd` is."""

    agent: str
    model: str
    """`llama3.1:8b` where none was named."""
    gpu: str
    """As the machine's provider names it, with how many the model needs: `2x RTX 4090`. Empty for a model of
    Amazon Bedrock."""
    total_cost_usd: float
    """Of one run."""
    gpu_cost_usd: float
    """Mean time of a run x the price of the GPU."""
    token_cost_usd: float
    """Of Amazon Bedrock, for the model or for judging; on a rented GPU tokens cost nothing."""
    projected_cost_usd: float
    """Of one run."""
    projected_total_usd: float
    """Of one run x `runs_per_period` x `period_days`."""
    cost_low_usd: float
    """Shortest time x lowest price."""
    cost_high_usd: float
    """Longest time x highest price."""
    currency: Literal["USD"] = "USD"
    confidence: Literal["low", "medium", "high"]
    confidence_score: float
    """0.4 without history, 0.7 with some, 0.9 from five runs on and with a price of today."""
    historical_match: bool
    """Whether the times are those of runs that took place."""
    historical_basis: Literal["from_history", "scope_heuristic"]
    historical_sample_count: int
    """Of how many runs."""
    token_samples_from_history: int
    """Of how many runs the tokens' cost is known."""
    llm_input_tokens_assumed: int
    llm_output_tokens_assumed: int
    """Of a model of Amazon Bedrock of which no run is known; else 0."""
    runs_per_period: int
    period_days: int
    avg_duration_seconds: float
    vast_pricing_source: Literal["market_last_seen", "vastai_baseline", "none"]
    """`market_last_seen`: offers that searches of the last day saw. `vastai_baseline`: RUNE's dated table. `none`:
    for a model of Amazon Bedrock."""
    price_as_of: datetime | None
    price_usd_per_hour: float
    components_usd: CostComponents
    notes: list[str]
    """What the numbers rest on, as sentences."""
