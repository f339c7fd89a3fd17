"""What `/v1/finops/simulate` takes and answers, in the words of RUNE's clients."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from rune.contracts.document import Document
from rune.contracts.names import MAX_MODEL_NAME_CHARS

MOST_RUNS, MOST_PERIODS = 100_000, 3_660


class SimulationRequest(Document):
    """The same as the query; a member that is in both must be the same."""

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
    """What the machine costs for a run: boot, download, work, disk and traffic, as `cost_basis` says."""
    token_cost_usd: float
    """Of Amazon Bedrock, for the model or for judging; on a rented GPU tokens cost nothing."""
    projected_cost_usd: float
    """Of one run."""
    projected_total_usd: float
    """Of one run x `runs_per_period` x `period_days`."""
    cost_low_usd: float
    """What the cheapest such run costs; where fewer than three are known, half of that."""
    cost_high_usd: float
    """What the dearest such run costs; where fewer than three are known, twice that."""
    currency: Literal["USD"] = "USD"
    confidence: Literal["low", "medium", "high"]
    confidence_score: float
    """0.4 with fewer than three runs, or by the table of prices; 0.7; 0.9 with the cost of five rented runs."""
    cost_basis: Literal["rented_runs", "market_forecast", "price_table", "tokens"]
    """`rented_runs`: what rented runs of the model on this GPU cost. `market_forecast`: what one is expected to
    cost on the offers of the last day. `price_table`: assumed times at a price of RUNE's dated table. `tokens`: no
    machine is rented."""
    historical_match: bool
    """Whether runs that took place are in the figures."""
    historical_basis: Literal["from_history", "scope_heuristic"]
    historical_sample_count: int
    """Of how many runs: their cost where `cost_basis` is `rented_runs`, else their time alone."""
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
    for a model of Amazon Bedrock, and where past runs alone are known."""
    price_as_of: datetime | None
    price_usd_per_hour: float
    components_usd: CostComponents
    notes: list[str]
    """What the numbers rest on, as sentences."""
