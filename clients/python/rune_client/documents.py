"""The documents of RUNE, printed from its OpenAPI document. Answers may have members that are not here."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict


class ArtifactLink(TypedDict):
    """A file of a job's result."""

    kind: Literal["transcript"]
    name: str
    url: str
    expires_at: str


class ArtifactLinks(TypedDict):
    """The files of a job's result."""

    job_id: str
    artifacts: list[ArtifactLink]


class AttemptRecord(TypedDict):
    """One try of a delivery."""

    number: int
    at: str
    duration_ms: int
    status: int | None
    error: str | None


type BackendType = Literal["ollama", "openai", "bedrock"]


class BaselineRecord(TypedDict):
    """A baseline."""

    name: str
    job_id: str
    model: str | None
    created_at: str
    updated_at: str


class BaselineRequest(TypedDict):
    """Which benchmark a baseline stands for."""

    job_id: str


class BlockReport(TypedDict):
    """One of several runs of a point, which are minutes apart."""

    started_at: str
    duration_s: float
    num_prompts: int
    num_warmups: int
    completed: int
    failed: int
    cut_off: int
    output_throughput_tokens_per_s: float | None
    steady_s: float
    steady_output_throughput_tokens_per_s: float | None


class BudgetLeft(TypedDict):
    """A budget as it is now."""

    window: Literal["day", "month"]
    limit_usd: float
    spent_usd: float
    reserved_usd: float
    remaining_usd: float
    renews_at: str


class CapacityLoad(TypedDict):
    """A load that a search tried."""

    load: float
    runs: list[int]
    good_ratio: float | None
    good_ratio_low: float | None
    good_ratio_high: float | None
    verdict: Literal["within", "beyond", "undecided"]


type CaseId = str


class CatalogAgent(TypedDict):
    """An agent, and whether your tenant has what it needs."""

    name: str
    description: str
    needs: list[Literal["model_server", "cluster", "setting"]]
    is_available: bool
    hint: str | None
    is_default: bool
    streams_progress: bool
    works_in_turns: bool


class ComparedJob(TypedDict):
    """What was compared."""

    job_id: str
    name: NotRequired[str | None]
    model: str
    backend: str
    server: str | None
    gpu: str | None
    warnings: list[str]
    finished_at: NotRequired[str | None]


type ComparisonFormat = Literal["json", "markdown", "html", "junit"]


type Concurrency = int


class CostComponents(TypedDict):
    """The parts of one run, in USD."""

    gpu_compute: float
    llm_tokens: float


type CostDriver = Literal["vastai", "aws", "gcp", "azure", "local"]


class CostEstimationRequest(TypedDict):
    """
    What a run is to cost, before it is posted; exactly one cost driver is true.

    Clients send every field, with zero or an empty text for what their user left out. A zero is therefore taken
    here, and refused by the estimate that needs the number.
    """

    vastai: NotRequired[bool]
    aws: NotRequired[bool]
    gcp: NotRequired[bool]
    azure: NotRequired[bool]
    local_hardware: NotRequired[bool]
    min_dph: NotRequired[float]
    max_dph: NotRequired[float]
    model: NotRequired[str | None]
    estimated_duration_seconds: NotRequired[int]
    max_cost_usd: NotRequired[float | None]
    min_vram_mb: NotRequired[int | None]
    local_tdp_watts: NotRequired[float | None]
    local_energy_rate_kwh: NotRequired[float | None]
    local_hardware_purchase_price: NotRequired[float | None]
    local_hardware_lifespan_years: NotRequired[float | None]
    region: NotRequired[str | None]
    template_hash: NotRequired[str | None]
    reliability: NotRequired[float | None]


class CostReport(TypedDict):
    """
    What the numbers cost on the machine that was rented.

    Steady-state figures hold for a machine that does nothing else, at the best point
    (`at_run`); all-in figures are what this job paid, rent of the idle machine included, for all tokens that it
    measured or warmed up with.
    """

    currency: NotRequired[Literal["USD"]]
    price_usd_per_hour: float
    price_source: NotRequired[Literal["quote"]]
    at_run: int | None
    cost_usd: NotRequired[float | None]
    billed_usd: float
    billed_seconds: float
    busy_seconds: float
    idle_seconds: float
    usd_per_million_output_tokens: float | None
    usd_per_million_output_tokens_all_in: float | None
    usd_per_million_total_tokens: float | None
    output_tokens_per_usd: float | None
    usd_per_1k_requests: float | None
    usd_per_good_request: float | None


class DatasetReport(TypedDict):
    """What was asked."""

    name: str
    prompt_count: int
    input_len_target: int | None
    output_len_target: int | None
    seed: int
    prefix_cache: Literal["busted", "shared"]
    fingerprint: str


type DeliveryStateName = Literal["pending", "retrying", "succeeded", "failed"]


class DeliverySummary(TypedDict):
    """One event on its way to one webhook."""

    event_id: str
    type: str
    state: DeliveryStateName
    created_at: str
    next_attempt_at: str | None
    attempts: list[AttemptRecord]
    response: str | None


type Description = str


class DiagnosisEffort(TypedDict):
    """What investigations took, on average."""

    turns: float
    calls: float
    invalid_calls: float
    repeated_calls: float
    input_tokens: float
    output_tokens: float
    duration_s: float
    cost_usd: float | None


type EndedBy = Literal[
    "all_measured",
    "throughput_flat",
    "too_few_requests",
    "goodput_failed",
    "errors",
    "time_over",
    "cost_cap",
    "capacity_found",
    "limits_never_reached",
    "none_within_limits",
    "search_undecided",
    "points_over",
]


type EstimateBasis = Literal["samples", "prior", "limits", "list_price", "own_numbers"]


type EventFilter = str


type EventFilters = list[EventFilter]


class EventMetrics(TypedDict):
    """How often something happened, and how long it took."""

    event: str
    total: int
    ok: int
    error: int
    avg_ms: float
    min_ms: int
    max_ms: int


type Contain = str


type Expression = str


type Format = Literal["rune", "vllm", "aiperf", "markdown", "html"]


class GoodputLimits(TypedDict):
    """When a request counts as good: within every limit that is given."""

    ttft_ms: NotRequired[float | None]
    tpot_ms: NotRequired[float | None]
    e2el_ms: NotRequired[float | None]


class HardwareReport(TypedDict):
    """The rented machine."""

    provider: Literal["vastai"]
    machine_id: int
    gpu_name: str
    gpu_count: int
    vram_mb: int
    disk_gb: int
    place: str


type Instant = str


class JobAccepted(TypedDict):
    """A job was taken on and will end."""

    job_id: str
    status: NotRequired[Literal["accepted"]]
    warnings: NotRequired[list[str] | None]


class JobEvent(TypedDict):
    """One line of a job's history."""

    id: int
    event: str
    status: Literal["ok", "error"]
    duration_ms: int | None
    error_type: str | None
    labels: dict[str, str]
    recorded_at: float
    timestamp: str


class JobEvents(TypedDict):
    """A job's history, oldest first."""

    job_id: str
    events: list[JobEvent]


type JobName = str


type JsonValue = Any


type Kind = Literal["benchmark", "agentic-agent", "llm-instance"]


type KindName = Literal["benchmark", "agentic-agent", "llm-instance"]


type LineKindName = Literal["gpu", "disk", "traffic", "tokens", "aws"]


type LinkTargetName = Literal["job", "events", "report"]


class ListPrice(TypedDict):
    """What a cloud asks for its cheapest machine in RUNE's table that holds the model, on demand."""

    region: str
    instance: str
    gpu: str
    gpu_count: int
    usd_per_hour: float
    as_of: str
    source: str


type MetadataKey = str


type MetadataValue = str


class MetricsSummary(TypedDict):
    """Metrics by event name, sorted."""

    events: list[EventMetrics]


type ModelName = str


class ModelReport(TypedDict):
    """What ran."""

    id: str
    digest: str | None
    quantization: str | None
    parameter_size: str | None
    family: str | None
    context_length_loaded: int | None
    context_length_trained: int | None
    size_bytes: int | None
    size_vram_bytes: int | None


type Name = str


type NoticeCode = Literal["charges_pending", "charges_not_allowed", "charges_not_there", "machine_shared"]


class NumericExpectation(TypedDict):
    """A number that the answer must hold."""

    value: float
    tolerance: NotRequired[float]
    relative_tolerance: NotRequired[float]


class OfferEstimate(TypedDict):
    """The offer that would be taken now, by the ranking that rents."""

    machine_id: int
    gpu_name: str
    gpu_count: int
    vram_mb: int
    place: str
    usd_per_hour: float
    download_usd_per_gb: float
    reliability: float
    why: str


type Outcome = Literal["passed", "failed", "undecided"]


type OverlapName = Literal["skip", "allow", "cancel_running"]


class PageLink(TypedDict):
    """A link to the page of a benchmark, and to that of its comparison."""

    job_id: str
    url: str
    comparison_url: str | None
    expires_at: str


class PageLinkRequest(TypedDict):
    """For how long a page of a benchmark shall open without a token, and which comparison with it."""

    lifetime_seconds: NotRequired[int]
    compared_with: NotRequired[list[str]]
    threshold: NotRequired[float]


type PhaseName = Literal["search", "boot", "image", "pull", "load", "work", "release", "traffic"]


class PingSent(TypedDict):
    """A test event that is on its way."""

    event_id: str


type Prompt = str


class Range(TypedDict):
    """A quantity as it is seldom below, usually, and seldom above."""

    low: float
    likely: float
    high: float


class ReceiptLine(TypedDict):
    """One line of a receipt."""

    attempt: int | None
    phase: str
    kind: LineKindName
    micro_usd: int
    is_estimate: NotRequired[bool]


class ReceiptMachine(TypedDict):
    """A machine that the job has paid for."""

    rental_id: str
    attempt: int | None
    gpu_name: str
    gpu_count: int
    price_usd_per_hour: float
    cost_usd: float
    billed_usd: NotRequired[float | None]
    ended_because: str | None


class ReceiptNotice(TypedDict):
    """Something that the figures do not say by themselves."""

    code: NoticeCode
    message: str


class RecordsLink(TypedDict):
    """A file with one JSON document a line (docs/benchmarks.md)."""

    content: Literal["requests", "judgements"]
    run: int | None
    block: int | None
    url: str
    expires_at: str


class RecordsLinks(TypedDict):
    """The requests of a benchmark one by one, as files."""

    job_id: str
    records: list[RecordsLink]


class Redelivery(TypedDict):
    """What is to be delivered again: one event, or all that failed since a time."""

    event_id: NotRequired[str | None]
    since: NotRequired[str | None]


class RedeliveryAccepted(TypedDict):
    """What is delivered again."""

    redelivered_count: int
    continue_since: NotRequired[str | None]


class RefusedOffers(TypedDict):
    """Offers that were seen and would not be taken."""

    reason: str
    count: int


class RentalExtension(TypedDict):
    """How much longer a kept machine is to stay."""

    keep_seconds: int


class RentalKey(TypedDict):
    """The key of a machine's server. Keep it secret: it is in no other answer, event or log."""

    rental_id: str
    backend_url: str | None
    key: str
    authorization: str


type RentalStateName = Literal["intended", "created", "running", "kept", "releasing", "released"]


type RequestRate = float


type ResourceImpact = Literal["low", "medium", "high"]


class RoledTurn(TypedDict):
    """A turn of a conversation that says whose it is."""

    role: Literal["user", "assistant"]
    content: Prompt


class RunCost(TypedDict):
    """
    What one run's numbers cost on the machine that was rented, in its steady state.

    Where tokens are billed one by one it is what those of the completed requests cost, in and out. Null where a
    number is not known, as where the server does not count tokens.
    """

    usd_per_million_output_tokens: float | None
    usd_per_million_total_tokens: float | None
    usd_per_1k_requests: float | None
    usd_per_good_request: float | None


type RunStatusName = Literal[
    "queued", "running", "succeeded", "failed", "cancelled", "unknown", "skipped", "refused"
]


class SamplingReport(TypedDict):
    """How answers were drawn."""

    temperature: float | None
    max_tokens: int | None
    ignore_eos: bool
    context_tokens: int | None


class ScheduleRun(TypedDict):
    """What became of one occurrence."""

    due_at: str
    decided_at: str
    status: RunStatusName
    reason: str | None
    job_id: str | None
    job_url: str | None
    manual: bool


type ScheduleStateName = Literal["active", "paused", "ended"]


class ScheduleSummary(TypedDict):
    """One line of a list of schedules."""

    schedule_id: str
    name: str
    kind: KindName
    state: ScheduleStateName
    paused_reason: Literal["asked", "failures"] | None
    cron: str | None
    rate: str | None
    timezone: str
    overlap: OverlapName
    ends_at: str | None
    next_at: str | None
    created_at: str
    updated_at: str


class SecretRotation(TypedDict):
    """How a secret is replaced."""

    overlap_seconds: NotRequired[int]


class SeenPrice(TypedDict):
    """The cheapest offer on which a model fits, of those that searches of the last day saw."""

    usd_per_hour: float
    gpu: str
    gpu_count: int
    as_of: str


class ServerLoad(TypedDict):
    """
    What the server said of its own load (`/metrics`, Ollama's `/api/ps`); null where it does not say.

    Requests of others are among it. Largest and mean values are those of a few readings, so what lasted less than
    the time between two of them may be missing.
    """

    source: str
    reading_count: int
    running_requests_max: NotRequired[int | None]
    running_requests_mean: NotRequired[float | None]
    waiting_requests_max: NotRequired[int | None]
    waiting_requests_mean: NotRequired[float | None]
    waiting_readings_ratio: NotRequired[float | None]
    kv_cache_used_ratio_max: NotRequired[float | None]
    preempted_count: NotRequired[int | None]
    prefix_cache_hit_tokens: NotRequired[int | None]
    prefix_cache_hit_ratio: NotRequired[float | None]
    draft_tokens: NotRequired[int | None]
    draft_accepted_ratio: NotRequired[float | None]
    reload_count: NotRequired[int]


class ServerModels(TypedDict):
    """What a model server offers."""

    backend_url: str
    backend_type: str
    models: list[str]
    running_models: list[str]


class ServerReport(TypedDict):
    """What it ran on, as it says of itself."""

    name: str | None
    version: str | None
    parallel_count: int | None


class ServerSide(TypedDict):
    """
    The server's own view, never mixed with RUNE's; null where it does not say.

    Times are means over completed requests, speeds are sums over sums.
    """

    total_ms: float | None
    load_ms: float | None
    prompt_eval_ms: float | None
    eval_ms: float | None
    prompt_tokens_per_s: float | None
    output_tokens_per_s: float | None


class Share(TypedDict):
    """A share of something, from 0 to 1, over cases."""

    value: float
    low: float
    high: float


class SimulationReport(TypedDict):
    """What runs are expected to cost. It is no bound: a job's `max_cost_usd` is."""

    agent: str
    model: str
    gpu: str
    total_cost_usd: float
    gpu_cost_usd: float
    token_cost_usd: float
    projected_cost_usd: float
    projected_total_usd: float
    cost_low_usd: float
    cost_high_usd: float
    currency: NotRequired[Literal["USD"]]
    confidence: Literal["low", "medium", "high"]
    confidence_score: float
    cost_basis: Literal["rented_runs", "market_forecast", "price_table", "tokens"]
    historical_match: bool
    historical_basis: Literal["from_history", "scope_heuristic"]
    historical_sample_count: int
    token_samples_from_history: int
    llm_input_tokens_assumed: int
    llm_output_tokens_assumed: int
    runs_per_period: int
    period_days: int
    avg_duration_seconds: float
    vast_pricing_source: Literal["market_last_seen", "vastai_baseline", "none"]
    price_as_of: str | None
    price_usd_per_hour: float
    components_usd: CostComponents
    notes: list[str]


class SimulationRequest(TypedDict):
    """The same as the query; a member that is in both must be the same."""

    agent: NotRequired[str | None]
    model: NotRequired[str | None]
    gpu: NotRequired[str | None]
    suite: NotRequired[str | None]
    runs_per_period: NotRequired[int | None]
    period_days: NotRequired[int | None]


class StandardErrors(TypedDict):
    """
    How far quantiles may be off, in the unit of their values; null where the quantile is.

    By bootstrap over the requests, in blocks where requests that follow one another are alike.
    """

    median: float | None
    p90: float | None
    p95: float | None
    p99: float | None


type Status = Literal["queued", "running", "succeeded", "failed", "cancelled"]


type StatusName = Literal["queued", "running", "succeeded", "failed", "cancelled"]


class StopRequest(TypedDict):
    """Nothing: a stop has no options, and one that is asked for in another way is not what was meant."""


class StoppedMachine(TypedDict):
    """A machine that is not proven gone, and so may bill."""

    rental_id: str
    state: str
    price_usd_per_hour: float


class SuiteDocument(TypedDict):
    """A suite with its cases."""

    name: str
    is_own: bool
    version: str
    case_ids: list[str]
    created_at: str | None
    updated_at: str | None
    cases: list[dict[str, Any]]


class SuiteRecord(TypedDict):
    """A suite."""

    name: str
    is_own: bool
    version: str
    case_ids: list[str]
    created_at: str | None
    updated_at: str | None


class SuiteReport(TypedDict):
    """What was run, and how far each run could go."""

    name: str
    version: str
    is_whole: bool
    runs_per_case: int
    max_turns: int
    max_tool_calls: int
    max_tokens: int
    run_seconds: int


class SuiteRequest(TypedDict):
    """A suite's cases."""

    cases: list[dict[str, Any]]


class SuiteSummary(TypedDict):
    """A suite in a list."""

    name: str
    is_own: bool
    version: str
    case_count: int
    updated_at: str | None


class TimeToReady(TypedDict):
    """From nothing to the first token, in milliseconds; null where a phase was not needed."""

    search_ms: int | None
    boot_ms: int | None
    pull_ms: int | None
    pull_bytes: int
    load_ms: int | None
    first_token_ms: int | None
    total_ms: int


class TokenCostReport(TypedDict):
    """What a job's tokens cost at a provider that bills by the token, as Amazon Bedrock."""

    currency: NotRequired[Literal["USD"]]
    tokens_usd: float
    usd_per_million_output_tokens_all_in: float | None


type Turn = Prompt | RoledTurn


type Url = str


class UsedCounts(TypedDict):
    """What jobs have used that ended; also those that failed."""

    job_count: int
    succeeded_count: int
    run_seconds: int
    cost_usd: float
    token_cost_usd: float


class UsedOfDay(TypedDict):
    """The part of one day."""

    job_count: int
    succeeded_count: int
    run_seconds: int
    cost_usd: float
    token_cost_usd: float
    day: str


class UsedOfKind(TypedDict):
    """The part of one kind of job."""

    job_count: int
    succeeded_count: int
    run_seconds: int
    cost_usd: float
    token_cost_usd: float
    kind: str


class UsedOfModel(TypedDict):
    """The part of one model."""

    job_count: int
    succeeded_count: int
    run_seconds: int
    cost_usd: float
    token_cost_usd: float
    model: str | None


class VastaiProvisioning(TypedDict):
    """The Vast.ai fields in the nested form."""

    template_hash: NotRequired[str | None]
    min_dph: NotRequired[float]
    max_dph: NotRequired[float]
    reliability: NotRequired[float]
    stop_instance: NotRequired[bool]


type Verdict = Literal["better", "worse", "no difference", "undecided", "not comparable"]


class WebhookRequest(TypedDict):
    """A webhook to be made."""

    url: Url
    events: NotRequired[EventFilters]
    description: NotRequired[Description | None]


class WebhookSecret(TypedDict):
    """A secret with which deliveries are signed."""

    secret: str
    old_secret_valid_until: str | None


type WebhookStatusName = Literal["enabled", "disabled"]


type ZoneName = str


class Measurements(TypedDict):
    """Numbers of one answer, in the words of the report (`RunReport`); null where undefined."""

    ttft_ms: float | None
    ttfo_ms: float | None
    tpot_ms: float | None
    e2el_ms: float | None
    output_throughput_tokens_per_s: float | None
    output_tokens_per_s_per_user: float | None
    input_tokens: int | None
    output_tokens: int
    cached_tokens: int | None
    reasoning_tokens: int | None
    token_count_source: Literal["usage", "server", "chunks", "characters"]
    finish_reason: Literal["stop", "length", "tool_calls", "content_filter", "other"]
    server_side: ServerSide


class PhaseLatency(TypedDict):
    """Time spent in one phase, in milliseconds."""

    phase: str
    ms: int


class ProblemField(TypedDict):
    """A field that is wrong."""

    pointer: str
    detail: str


class RentalReceipt(TypedDict):
    """What was rented for a job, what it cost, and where it is now."""

    rental_id: str
    provider: NotRequired[Literal["vastai"]]
    contract_id: int
    machine_id: int
    gpu_name: str
    gpu_count: int
    vram_mb: int
    disk_gb: int
    place: str
    price_usd_per_hour: float
    cost_usd: float
    attempt_count: int
    downloaded_bytes: int
    is_reused: bool
    rented_at: str
    released_at: str | None
    kept_until: str | None
    chosen_because: NotRequired[str | None]
    is_open_to_the_world: bool
    destroys_itself: bool | None


class TokenTelemetry(TypedDict):
    """Tokens by what they were spent on."""

    system_prompt: int
    tool_calls: int
    agent_reasoning: int
    output: int
    total: int


class Health(TypedDict):
    """The API answers."""

    status: Literal["ok"]


class RunAgenticAgentRequest(TypedDict):
    """Let an agent answer a question."""

    queue_timeout_seconds: NotRequired[int | None]
    max_runtime_seconds: NotRequired[int | None]
    name: NotRequired[JobName | None]
    metadata: NotRequired[dict[MetadataKey, MetadataValue] | None]
    callback_url: NotRequired[Url | None]
    dry_run: NotRequired[bool | None]
    backend_url: NotRequired[Url | None]
    backend_type: NotRequired[BackendType]
    backend_credential: NotRequired[str | None]
    question: str
    model: ModelName
    backend_warmup: NotRequired[bool]
    backend_warmup_timeout: NotRequired[int]
    timeout_seconds: NotRequired[int]
    kubeconfig: NotRequired[str | None]
    agent: NotRequired[str]
    cluster: NotRequired[str | None]
    max_turns: NotRequired[int]
    max_tool_calls: NotRequired[int]
    max_tokens: NotRequired[int]
    max_cost_usd: NotRequired[float | None]


class GoodputLimitsOutput(TypedDict):
    """When a request counts as good: within every limit that is given."""

    ttft_ms: NotRequired[float | None]
    tpot_ms: NotRequired[float | None]
    e2el_ms: NotRequired[float | None]


class RefusedBefore(TypedDict):
    """What API Gateway refuses by itself."""

    message: str


class AgentCatalog(TypedDict):
    """The agents that RUNE has."""

    agents: list[CatalogAgent]


type AnyPrompt = Prompt | list[Turn]


class BaselineList(TypedDict):
    """The tenant's baselines by name; at most 50."""

    baselines: list[BaselineRecord]


class BenchmarkSummary(TypedDict):
    """One line of a list of benchmarks."""

    job_id: str
    kind: KindName
    status: StatusName
    message: str
    created_at: str
    started_at: str | None
    finished_at: str | None
    duration_ms: int | None
    name: str | None
    metadata: dict[str, str] | None
    model: str | None
    agent: str | None
    backend: str | None
    cost_usd: float | None
    error_code: str | None
    display: str | None
    submitted_by: str | None
    report_url: str | None


class CapacityReport(TypedDict):
    """The highest load within limits that a search found."""

    load: Literal["concurrency", "request_rate"]
    limits: GoodputLimitsOutput
    good_ratio: float
    highest: float | None
    surely_within: float | None
    surely_beyond: float | None
    at_run: int | None
    goodput_requests_per_s: float | None
    usd_per_good_request: NotRequired[float | None]
    loads: list[CapacityLoad]


class CapacitySearch(TypedDict):
    """Looks for the highest load at which enough requests keep the limits: by doubling, then by bisection."""

    limits: GoodputLimits
    good_ratio: NotRequired[float]
    load: NotRequired[Literal["concurrency", "request_rate"]]
    first_request_rate: NotRequired[RequestRate | None]
    max_request_rate: NotRequired[RequestRate]
    resolution_ratio: NotRequired[float]
    max_points: NotRequired[int]


class CaseReport(TypedDict):
    """The runs of one case."""

    case_id: str
    run_count: int
    correct_count: int
    outcomes: dict[str, int]
    missed: dict[str, int]
    invented: dict[str, int]
    trapped: dict[str, int]
    trapped_run_count: int | None
    effort: DiagnosisEffort


class CatalogModel(TypedDict):
    """A model that fits on a rented GPU."""

    name: str
    vram_mb: int
    required_disk_gb: int
    parameters_billions: float
    quantisation: str
    context_tokens: int
    weights_gb: float
    licence: str
    note: NotRequired[str | None]
    last_seen: NotRequired[SeenPrice | None]


class ComparedValue(TypedDict):
    """
    One number of one benchmark, beside the first benchmark's.

    Attributes
    ----------
    value
        The mean, or the number itself where there is one a run. Null where there are too few requests for it.
    std
        Of single values; null for what is none of many, as a quantile.
    count
        Independent values that stand behind it; requests that wait in one queue are worth fewer than they are.
    """

    job_id: str
    value: float | None
    std: float | None
    count: int
    difference: float | None
    difference_ratio: float | None
    interval_low: float | None
    interval_high: float | None
    verdict: Verdict | None
    standard_error: NotRequired[float | None]
    requests_to_decide: NotRequired[int | None]


class DeliveryList(TypedDict):
    """Deliveries, newest first."""

    deliveries: list[DeliverySummary]
    next_cursor: NotRequired[str | None]


class DeliveryRecord(TypedDict):
    """One event on its way to one webhook, with what is sent."""

    event_id: str
    type: str
    state: DeliveryStateName
    created_at: str
    next_attempt_at: str | None
    attempts: list[AttemptRecord]
    response: str | None
    body: dict[str, Any]


class Distribution(TypedDict):
    """
    Many values of one number, in the unit of the field that holds it.

    Percentiles are interpolated linearly (as NumPy's default), and null below the samples that they need: 10 for
    p90, 20 for p95, 100 for p99.
    """

    count: int
    mean: float
    std: float | None
    min: float
    median: float
    max: float
    p90: float | None
    p95: float | None
    p99: float | None
    independent_count: NotRequired[int | None]
    p10: NotRequired[float | None]
    p5: NotRequired[float | None]
    p1: NotRequired[float | None]
    standard_errors: NotRequired[StandardErrors | None]


class GateCheck(TypedDict):
    """Whether one number of one benchmark keeps its limit at one point."""

    metric: str
    limit_ratio: float
    better: Literal["lower", "higher"]
    unit: str
    job_id: str
    load: Literal["closed", "open"]
    max_concurrency: int
    request_rate_per_s: float | None
    first_value: float | None
    value: float | None
    ratio: float | None
    outcome: Outcome
    requests_to_decide: NotRequired[int | None]
    reason: str


type JobBody = dict[str, JsonValue]


class JobLink(TypedDict):
    """A link to one document of a job."""

    job_id: str
    what: LinkTargetName
    url: str
    expires_at: str


class JobReceipt(TypedDict):
    """What a job has cost."""

    job_id: str
    kind: KindName
    status: StatusName
    finished_at: str | None
    display: str
    cost_usd: float
    billed_usd: NotRequired[float | None]
    aws_usd: float
    total_usd: float
    lines: list[ReceiptLine]
    machines: list[ReceiptMachine]
    notices: list[ReceiptNotice]
    aws_prices_as_of: str


class JobSummary(TypedDict):
    """One line of a list of jobs."""

    job_id: str
    kind: KindName
    status: StatusName
    message: str
    created_at: str
    started_at: str | None
    finished_at: str | None
    duration_ms: int | None
    name: str | None
    metadata: dict[str, str] | None
    model: str | None
    agent: str | None
    backend: str | None
    cost_usd: float | None
    error_code: str | None
    display: str | None
    submitted_by: str | None


class JudgeModel(TypedDict):
    """A model that reads each answer and gives a score."""

    model: ModelName
    rubric: str
    backend_url: NotRequired[str | None]
    backend_type: NotRequired[Literal["ollama", "openai", "bedrock"]]
    backend_credential: NotRequired[str | None]


class LinkRequest(TypedDict):
    """Which document of a job a link should open, and for how long."""

    what: LinkTargetName
    lifetime_seconds: NotRequired[int]


class PassedOfMany(TypedDict):
    """What several tries at each case would give."""

    k: int
    pass_hat_k: Share
    pass_at_k: Share
    case_count: int


class PhaseEstimate(TypedDict):
    """What one phase of a job on one machine takes. The ranges do not add up to the job's: phases vary apart."""

    phase: PhaseName
    seconds: Range
    usd: Range


class Provisioning(TypedDict):
    """Where the machine comes from, in the nested form."""

    vastai: NotRequired[VastaiProvisioning | None]


class QualityReport(TypedDict):
    """How right the answers were."""

    method: Literal["contains", "regex", "json_schema", "numeric", "judge"]
    score: Distribution | None
    pass_score: float
    passed_count: int
    judged_count: int
    unjudged_count: int
    reliability_ratio: float | None


class RentalRecord(TypedDict):
    """A machine that RUNE rents for you, or has rented in the last 30 days."""

    rental_id: str
    state: RentalStateName
    job_id: str
    used_by_job_id: str | None
    contract_id: int | None
    gpu_name: str
    gpu_count: int
    vram_mb: int
    place: str
    model: str | None
    backend_url: str | None
    price_usd_per_hour: float
    cost_usd: float
    rented_at: str
    kept_until: str | None
    ceiling_at: str
    is_open_to_the_world: bool
    destroys_itself: bool | None
    billed_usd: NotRequired[float | None]
    released_at: NotRequired[str | None]
    end_reason: NotRequired[str | None]


class ScheduleChange(TypedDict):
    """What is to be different of a schedule; what is left out stays. Its kind cannot be changed."""

    name: NotRequired[Name | None]
    cron: NotRequired[Expression | None]
    rate: NotRequired[Expression | None]
    timezone: NotRequired[ZoneName | None]
    request: NotRequired[JobBody | None]
    ends_at: NotRequired[Instant | None]
    overlap: NotRequired[OverlapName | None]


class ScheduleCreation(TypedDict):
    """A new schedule."""

    name: Name
    cron: NotRequired[Expression | None]
    rate: NotRequired[Expression | None]
    timezone: NotRequired[ZoneName]
    kind: KindName
    request: JobBody
    paused: NotRequired[bool]
    ends_at: NotRequired[Instant | None]
    overlap: NotRequired[OverlapName]


class ScheduleList(TypedDict):
    """Your schedules, by name."""

    schedules: list[ScheduleSummary]


class ScheduleRecord(TypedDict):
    """A schedule."""

    schedule_id: str
    name: str
    kind: KindName
    state: ScheduleStateName
    paused_reason: Literal["asked", "failures"] | None
    cron: str | None
    rate: str | None
    timezone: str
    overlap: OverlapName
    ends_at: str | None
    next_at: str | None
    created_at: str
    updated_at: str
    next_times: list[str]
    runs: list[ScheduleRun]
    request: JobBody


class StopReport(TypedDict):
    """Whether everything of your tenant is stopped, and what has not ended yet."""

    stopped_by: Literal["tenant", "operator"] | None
    since: str | None
    done: bool
    running_job_count: int
    waiting_job_count: int
    machines: list[StoppedMachine]
    usd_per_hour: float


class SuiteList(TypedDict):
    """Suites that RUNE brings, then the tenant's own by name; at most 20 of these."""

    suites: list[SuiteSummary]


class TurnReport(TypedDict):
    """The requests of one turn of all conversations of a run; a prompt of one turn has turn 0 alone."""

    turn: int
    num_prompts: int
    completed: int
    ttft_ms: Distribution | None
    tpot_ms: Distribution | None
    e2el_ms: Distribution | None
    input_tokens: Distribution | None
    output_tokens: Distribution | None
    cached_input_ratio: float | None


class UsageReport(TypedDict):
    """What a tenant's jobs have used, and what is left of its budgets."""

    first_day: str
    last_day: str
    totals: UsedCounts
    by_day: list[UsedOfDay]
    by_kind: list[UsedOfKind]
    by_model: list[UsedOfModel]
    budgets: list[BudgetLeft]


class WebhookCreated(TypedDict):
    """A new webhook, with its secret, which is shown this once."""

    webhook_id: str
    url: str
    events: list[str]
    description: str | None
    status: WebhookStatusName
    disabled_reason: Literal["caller", "gone", "failures"] | None
    disabled_at: str | None
    created_at: str
    updated_at: str
    waiting_count: int
    failing_since: str | None
    paused_until: str | None
    last_succeeded_at: str | None
    old_secret_valid_until: str | None
    secret: str


class WebhookRecord(TypedDict):
    """A webhook: an address to which your tenant's events are posted."""

    webhook_id: str
    url: str
    events: list[str]
    description: str | None
    status: WebhookStatusName
    disabled_reason: Literal["caller", "gone", "failures"] | None
    disabled_at: str | None
    created_at: str
    updated_at: str
    waiting_count: int
    failing_since: str | None
    paused_until: str | None
    last_succeeded_at: str | None
    old_secret_valid_until: str | None


class WebhookRevision(TypedDict):
    """What is to change of a webhook; what is left out stays."""

    url: NotRequired[Url | None]
    events: NotRequired[EventFilters | None]
    description: NotRequired[Description | None]
    status: NotRequired[WebhookStatusName | None]


class Workload(TypedDict):
    """
    What is asked, how often, and how many at a time.

    One point is measured for each entry of `concurrency` (so many requests are under way all the time), of
    `request_rates` (requests arrive at random, also at a slow server), or for each doubling of a `sweep`. A
    point asks every prompt `repetitions` times. A `search` chooses its points itself.
    """

    prompts: NotRequired[list[AnyPrompt] | None]
    prompt_set: NotRequired[Literal["chat", "code", "summary", "synthetic"] | None]
    repetitions: NotRequired[int]
    concurrency: NotRequired[list[Concurrency] | None]
    request_rates: NotRequired[list[RequestRate] | None]
    sweep: NotRequired[bool]
    search: NotRequired[CapacitySearch | None]
    max_concurrency: NotRequired[int]
    min_waves: NotRequired[int]
    warmup_requests: NotRequired[int | None]
    input_tokens: NotRequired[int | None]
    output_tokens: NotRequired[int | None]
    ignore_eos: NotRequired[bool | None]
    temperature: NotRequired[float | None]
    prefix_cache: NotRequired[Literal["busted", "shared"]]
    seed: NotRequired[int]
    goodput: NotRequired[GoodputLimits | None]
    point_seconds: NotRequired[int]
    max_blocks: NotRequired[int]


class LlmInstanceResult(TypedDict):
    """A model server that answered when it was asked."""

    mode: Literal["existing", "vastai"]
    backend_url: str
    model_name: NotRequired[str | None]
    contract_id: NotRequired[int | None]
    rental: NotRequired[RentalReceipt | None]
    warnings: NotRequired[list[str]]


class ProblemDocument(TypedDict):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    error: str
    request_id: NotRequired[str | None]
    errors: NotRequired[list[ProblemField] | None]
    retry_after_seconds: NotRequired[int | None]
    budget: NotRequired[Literal["tenant", "deployment"] | None]
    period: NotRequired[Literal["day", "month"] | None]
    limit_usd: NotRequired[float | None]
    left_usd: NotRequired[float | None]
    reserved_usd: NotRequired[float | None]
    needed_usd: NotRequired[float | None]
    renews_at: NotRequired[str | None]


class RentalEstimate(TypedDict):
    """What a job that rents costs, by the market as last seen and what jobs of its shape took."""

    low_usd: float | None
    likely_usd: float | None
    high_usd: float
    confidence_score: float
    cap_confidence_score: NotRequired[float | None]
    basis: EstimateBasis
    sample_count: int
    phases: list[PhaseEstimate]
    offer: OfferEstimate | None
    refused: list[RefusedOffers]
    as_of: str | None
    notes: list[str]


class Telemetry(TypedDict):
    """What a run took."""

    tokens: TokenTelemetry
    latency: list[PhaseLatency]
    cost_estimate_usd: float | None


class LLMInstanceJob(TypedDict):
    """Where a job of the kind `llm-instance` stands."""

    job_id: str
    kind: Literal["llm-instance"]
    status: StatusName
    message: str
    queue_position: int | None
    queue_wait_seconds: int | None
    progress: dict[str, str | int]
    created_at: str
    updated_at: str
    started_at: str | None
    finished_at: str | None
    result: LlmInstanceResult | None
    cost_usd: float | None
    max_cost_usd: NotRequired[float | None]
    rental_id: str | None
    rentals_url: NotRequired[str | None]
    error: str | None
    error_code: str | None
    error_stage: str | None
    error_retryable: bool | None
    warnings: list[str]
    display: NotRequired[str | None]
    name: NotRequired[str | None]
    metadata: NotRequired[dict[str, str] | None]
    request: NotRequired[dict[str, Any] | None]
    request_cut: NotRequired[bool]
    submitted_by: NotRequired[str | None]
    cancelled_by: NotRequired[str | None]


class RunLLMInstanceRequest(TypedDict):
    """Get the address of a model server that answers, on a machine that RUNE rents or on one that is there."""

    vastai: NotRequired[bool]
    template_hash: NotRequired[str | None]
    min_dph: NotRequired[float | None]
    max_dph: NotRequired[float | None]
    reliability: NotRequired[float | None]
    vastai_stop_instance: NotRequired[bool]
    provisioning: NotRequired[Provisioning | None]
    min_vram_mb: NotRequired[int | None]
    boot_timeout_seconds: NotRequired[int]
    max_cost_usd: NotRequired[float | None]
    keep_seconds: NotRequired[int]
    queue_timeout_seconds: NotRequired[int | None]
    max_runtime_seconds: NotRequired[int | None]
    name: NotRequired[JobName | None]
    metadata: NotRequired[dict[MetadataKey, MetadataValue] | None]
    callback_url: NotRequired[Url | None]
    dry_run: NotRequired[bool | None]
    backend_url: NotRequired[Url | None]
    backend_type: NotRequired[BackendType]
    backend_credential: NotRequired[str | None]
    model: NotRequired[ModelName | None]
    backend_warmup_timeout: NotRequired[int]


class BenchmarkList(TypedDict):
    """Own benchmarks, newest first."""

    benchmarks: list[BenchmarkSummary]
    next_cursor: str | None


class Catalog(TypedDict):
    """Models that fit on rented GPUs."""

    models: list[CatalogModel]


class ComparedMetric(TypedDict):
    """One number, in all benchmarks."""

    name: str
    unit: str
    better: Literal["lower", "higher"]
    values: list[ComparedValue]


class ComparedPoint(TypedDict):
    """One point of the workload, in all benchmarks that have it."""

    load: Literal["closed", "open"]
    max_concurrency: int
    request_rate_per_s: float | None
    metrics: list[ComparedMetric]


class Comparison(TypedDict):
    """Benchmarks side by side; the first is what the others are held against."""

    jobs: list[ComparedJob]
    points: list[ComparedPoint]
    threshold_ratio: float
    confidence: float
    notes: list[str]
    baseline: NotRequired[str | None]
    gate: NotRequired[Outcome | None]
    checks: NotRequired[list[GateCheck]]


class CostEstimationResponse(TypedDict):
    """What a run is projected to cost."""

    projected_cost_usd: float
    cost_driver: CostDriver
    resource_impact: ResourceImpact
    local_energy_kwh: NotRequired[float]
    confidence_score: float
    cap_confidence_score: NotRequired[float | None]
    warning: NotRequired[str | None]
    list_price: NotRequired[ListPrice | None]
    low_usd: NotRequired[float | None]
    likely_usd: NotRequired[float | None]
    high_usd: NotRequired[float | None]
    phases: NotRequired[list[PhaseEstimate]]
    offer: NotRequired[OfferEstimate | None]
    refused: NotRequired[list[RefusedOffers]]
    as_of: NotRequired[str | None]
    sample_count: NotRequired[int]
    basis: NotRequired[EstimateBasis]


class DiagnosisReport(TypedDict):
    """How well a model investigates the cases of a suite. `docs/benchmarks.md` has the formulas."""

    suite: SuiteReport
    case_count: int
    run_count: int
    planned_run_count: int
    outcomes: dict[str, int]
    pass_at_1: Share
    passed: list[PassedOfMany]
    precision: Share | None
    recall: Share | None
    f1: Share | None
    trap_rate: Share | None
    abstained_rightly: int
    abstained_wrongly: int
    undeterminable_run_count: int
    finding_count: int
    unproven_count: int
    effort: DiagnosisEffort
    effort_per_correct: DiagnosisEffort | None
    cases: list[CaseReport]


class Expectation(TypedDict):
    """What a right answer is; exactly one method."""

    contains: NotRequired[list[Contain] | None]
    regex: NotRequired[str | None]
    json_schema: NotRequired[dict[str, Any] | None]
    numeric: NotRequired[NumericExpectation | None]
    judge: NotRequired[JudgeModel | None]
    pass_score: NotRequired[float | None]


class JobList(TypedDict):
    """Own jobs, newest first."""

    jobs: list[JobSummary]
    next_cursor: str | None


class RentalList(TypedDict):
    """Your rented machines: those that are not proven gone, oldest first; ended ones, newest first."""

    rentals: list[RentalRecord]
    next_cursor: NotRequired[str | None]


class RunReport(TypedDict):
    """One point of a workload."""

    index: int
    load: Literal["closed", "open"]
    max_concurrency: int
    request_rate_per_s: float | None
    started_at: str
    duration_s: float
    num_prompts: int
    num_warmups: int
    completed: int
    failed: int
    cut_off: int
    errors_by_class: dict[str, int]
    error_sentences: NotRequired[dict[str, str]]
    total_input_tokens: int
    total_output_tokens: int
    total_cached_tokens: int | None
    token_count_source: Literal["usage", "server", "chunks", "characters", "mixed"] | None
    request_throughput_per_s: float | None
    output_throughput_tokens_per_s: float | None
    total_throughput_tokens_per_s: float | None
    steady_output_throughput_tokens_per_s: float | None
    output_throughput_windows_tokens_per_s: Distribution | None
    goodput_requests_per_s: float | None
    good_ratio: float | None
    ttft_ms: Distribution | None
    ttfo_ms: Distribution | None
    tpot_ms: Distribution | None
    itl_ms: Distribution | None
    e2el_ms: Distribution | None
    client_queue_time_ms: Distribution | None
    output_tokens_per_s_per_user: Distribution | None
    input_tokens: Distribution | None
    output_tokens: Distribution | None
    mean_tokens_per_chunk: float | None
    max_concurrent_requests: int
    max_output_tokens_per_s: float | None
    stream_buffered_count: int
    prompt_truncated_count: int
    server_side: ServerSide
    rtt_ms: float | None
    loop_lag_p99_ms: float | None
    quality: QualityReport | None
    warnings: list[str]
    steady_output_throughput_windows_tokens_per_s: NotRequired[Distribution | None]
    cost: NotRequired[RunCost | None]
    resent_count: NotRequired[int | None]
    achieved_request_rate_per_s: NotRequired[float | None]
    schedule_delay_ms: NotRequired[Distribution | None]
    ttft_from_due_ms: NotRequired[Distribution | None]
    e2el_from_due_ms: NotRequired[Distribution | None]
    good_count: NotRequired[int | None]
    bad_count: NotRequired[int | None]
    client_process_count: NotRequired[int]
    client_processor_ratio: NotRequired[float | None]
    blocks: NotRequired[list[BlockReport] | None]
    turns: NotRequired[list[TurnReport] | None]
    cached_input_ratio: NotRequired[float | None]
    cached_input_source: NotRequired[Literal["usage", "metrics"] | None]
    server: NotRequired[ServerLoad | None]
    warning_evidence: NotRequired[dict[str, float]]


class WebhookList(TypedDict):
    """Your tenant's webhooks, oldest first."""

    webhooks: list[WebhookRecord]


class AgenticAgentResult(TypedDict):
    """What an agent answered."""

    answer: str
    result_type: Literal["text", "image", "structured", "report"]
    artifacts: list[dict[str, str]] | None
    metadata: dict[str, str]
    telemetry: Telemetry


class JobPlan(TypedDict):
    """What would follow if the job were posted now. Nothing was spent or stored, and nothing is reserved."""

    dry_run: NotRequired[Literal[True]]
    kind: KindName
    rents: bool
    would_wait: bool
    waits_for: str | None
    queue_position: int | None
    queue_wait_seconds: int | None
    queue_timeout_seconds: int
    max_runtime_seconds: int
    point_count: int | None
    longest_measuring_seconds: int | None
    max_cost_usd: float | None
    estimate: RentalEstimate | None
    budgets_after: list[BudgetLeft]
    warnings: list[str]


class AgenticAgentJob(TypedDict):
    """Where a job of the kind `agentic-agent` stands."""

    job_id: str
    kind: Literal["agentic-agent"]
    status: StatusName
    message: str
    queue_position: int | None
    queue_wait_seconds: int | None
    progress: dict[str, str | int]
    created_at: str
    updated_at: str
    started_at: str | None
    finished_at: str | None
    result: AgenticAgentResult | None
    cost_usd: float | None
    max_cost_usd: NotRequired[float | None]
    rental_id: str | None
    rentals_url: NotRequired[str | None]
    error: str | None
    error_code: str | None
    error_stage: str | None
    error_retryable: bool | None
    warnings: list[str]
    display: NotRequired[str | None]
    name: NotRequired[str | None]
    metadata: NotRequired[dict[str, str] | None]
    request: NotRequired[dict[str, Any] | None]
    request_cut: NotRequired[bool]
    submitted_by: NotRequired[str | None]
    cancelled_by: NotRequired[str | None]


class RunBenchmarkRequest(TypedDict):
    """
    Ask a model one question, or put it to work, and measure the answers.

    `question` may be left out beside a workload that brings prompts (`prompts` or `prompt_set`), and beside a
    `suite`, whose cases ask. Then the first prompt, or the name of the set or suite, stands for it.
    """

    vastai: NotRequired[bool]
    template_hash: NotRequired[str | None]
    min_dph: NotRequired[float | None]
    max_dph: NotRequired[float | None]
    reliability: NotRequired[float | None]
    vastai_stop_instance: NotRequired[bool]
    provisioning: NotRequired[Provisioning | None]
    min_vram_mb: NotRequired[int | None]
    boot_timeout_seconds: NotRequired[int]
    max_cost_usd: NotRequired[float | None]
    keep_seconds: NotRequired[int]
    queue_timeout_seconds: NotRequired[int | None]
    max_runtime_seconds: NotRequired[int | None]
    name: NotRequired[JobName | None]
    metadata: NotRequired[dict[MetadataKey, MetadataValue] | None]
    callback_url: NotRequired[Url | None]
    dry_run: NotRequired[bool | None]
    backend_url: NotRequired[Url | None]
    backend_type: NotRequired[BackendType]
    backend_credential: NotRequired[str | None]
    question: NotRequired[str]
    model: ModelName
    backend_warmup: NotRequired[bool]
    backend_warmup_timeout: NotRequired[int]
    timeout_seconds: NotRequired[int]
    kubeconfig: NotRequired[str | None]
    attestation_required: NotRequired[bool]
    context_tokens: NotRequired[int | None]
    workload: NotRequired[Workload | None]
    expected: NotRequired[Expectation | None]
    suite: NotRequired[str | None]
    suite_version: NotRequired[str | None]
    cases: NotRequired[list[CaseId] | None]
    runs: NotRequired[int | None]
    max_turns: NotRequired[int | None]
    max_tool_calls: NotRequired[int | None]
    max_tokens: NotRequired[int | None]


class BenchmarkReport(TypedDict):
    """A benchmark's numbers, in the schema of docs/benchmarks.md."""

    schema_version: NotRequired[str]
    benchmark_id: str
    name: NotRequired[str | None]
    tool_name: NotRequired[Literal["rune"]]
    tool_version: str
    started_at: str
    finished_at: str
    backend: Literal["ollama", "openai", "bedrock"]
    endpoint_type: Literal["ollama-chat", "openai-chat", "bedrock-converse"]
    model: ModelReport
    server: ServerReport
    dataset: DatasetReport
    sampling: SamplingReport
    runs: list[RunReport]
    best_run: int | None
    ended_by: EndedBy
    capacity: NotRequired[CapacityReport | None]
    diagnosis: NotRequired[DiagnosisReport | None]
    client_region: str | None
    client_memory_mb: int | None
    hardware: NotRequired[HardwareReport | None]
    time_to_ready: NotRequired[TimeToReady | None]
    cost: NotRequired[CostReport | None]
    token_cost: NotRequired[TokenCostReport | None]
    warnings: list[str]
    notes: NotRequired[list[str]]
    formulas: dict[str, str]


class BenchmarkResult(TypedDict):
    """The answer with its numbers."""

    answer: str
    result_type: NotRequired[Literal["text"]]
    artifacts: NotRequired[None]
    metadata: dict[str, str]
    telemetry: Telemetry
    model_name: str
    backend_url: str
    contract_id: NotRequired[int | None]
    measurements: Measurements | None
    rental: NotRequired[RentalReceipt | None]
    report: NotRequired[BenchmarkReport | None]


class BenchmarkJob(TypedDict):
    """Where a job of the kind `benchmark` stands."""

    job_id: str
    kind: Literal["benchmark"]
    status: StatusName
    message: str
    queue_position: int | None
    queue_wait_seconds: int | None
    progress: dict[str, str | int]
    created_at: str
    updated_at: str
    started_at: str | None
    finished_at: str | None
    result: BenchmarkResult | None
    cost_usd: float | None
    max_cost_usd: NotRequired[float | None]
    rental_id: str | None
    rentals_url: NotRequired[str | None]
    error: str | None
    error_code: str | None
    error_stage: str | None
    error_retryable: bool | None
    warnings: list[str]
    display: NotRequired[str | None]
    name: NotRequired[str | None]
    metadata: NotRequired[dict[str, str] | None]
    request: NotRequired[dict[str, Any] | None]
    request_cut: NotRequired[bool]
    submitted_by: NotRequired[str | None]
    cancelled_by: NotRequired[str | None]


type JobRecord = BenchmarkJob | AgenticAgentJob | LLMInstanceJob
