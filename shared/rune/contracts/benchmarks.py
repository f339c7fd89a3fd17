"""What a benchmark reports: version 2 of RUNE's benchmark document (docs/benchmarks.md).

The unit is in the name: `_ms`, `_s` (seconds), `_usd`, `_per_s`, `_ratio` (0 to 1). Null means that a number is not
defined or cannot be known; nothing is ever filled in.
"""

from datetime import datetime
from typing import Literal

from pydantic import Field

from rune.contracts.diagnoses import DiagnosisReport
from rune.contracts.document import Document
from rune.contracts.workloads import GoodputLimits

SCHEMA_VERSION = "2.0"
"""Reports that were stored as 1.0 are read as they are: their numbers keep the meaning that their formulas name."""

SearchEnd = Literal[
    "capacity_found", "limits_never_reached", "none_within_limits", "search_undecided", "points_over"
]

type EndedBy = Literal[
    "all_measured",
    "throughput_flat",
    "too_few_requests",
    "goodput_failed",
    "errors",
    "time_over",
    "cost_cap",
    SearchEnd,
]


class StandardErrors(Document):
    """How far quantiles may be off, in the unit of their values; null where the quantile is.

    By bootstrap over the requests, in blocks where requests that follow one another are alike.
    """

    median: float | None
    p90: float | None
    p95: float | None
    p99: float | None


class Distribution(Document):
    """Many values of one number, in the unit of the field that holds it.

    Percentiles are interpolated linearly (as NumPy's default), and null below the samples that they need: 10 for
    p90, 20 for p95, 100 for p99.
    """

    count: int
    mean: float
    std: float | None
    """Standard deviation of the sample (n - 1); null for one value."""
    min: float
    median: float
    max: float
    p90: float | None
    p95: float | None
    p99: float | None
    independent_count: int | None = None
    """How many independent values these are worth, of requests in their order; null where that was not computed.

    Requests that wait in one queue are late together; comparisons count them as no more than they are worth.
    """
    p10: float | None = None
    """Of numbers of which the low values are the bad ones; null for all others."""
    p5: float | None = None
    p1: float | None = None
    standard_errors: StandardErrors | None = None
    """Of the quantiles of requests' times; null where they were not computed. Comparisons go by them."""


class QualityReport(Document):
    """How right the answers were."""

    method: Literal["contains", "regex", "json_schema", "numeric", "judge"]
    score: Distribution | None
    """Of the answers that came and were judged, 0 to 1; null where there are none."""
    pass_score: float
    """Least score that passes."""
    passed_count: int
    judged_count: int
    """Measured requests, failed ones included, less those that the judge could not judge."""
    unjudged_count: int
    """Answers that the judge model gave no usable score for."""
    reliability_ratio: float | None
    """`passed_count / judged_count`: a request that failed has not passed."""


class ServerSide(Document):
    """The server's own view, never mixed with RUNE's; null where it does not say.

    Times are means over completed requests, speeds are sums over sums.
    """

    total_ms: float | None
    load_ms: float | None
    prompt_eval_ms: float | None
    eval_ms: float | None
    prompt_tokens_per_s: float | None
    """Tokens of prompts evaluated per second; left out where a cache makes the server's own figure wrong."""
    output_tokens_per_s: float | None


class ServerLoad(Document):
    """What the server said of its own load (`/metrics`, Ollama's `/api/ps`); null where it does not say.

    Requests of others are among it. Largest and mean values are those of a few readings, so what lasted less than
    the time between two of them may be missing.
    """

    source: str
    """Whose metrics these are: `vllm`, `sglang`, `tgi`, `llama.cpp` or `ollama`."""
    reading_count: int
    """Readings while requests were under way; there is one before and one after them too."""
    running_requests_max: int | None = None
    """Requests that were being answered."""
    running_requests_mean: float | None = None
    waiting_requests_max: int | None = None
    """Requests in the server's queue."""
    waiting_requests_mean: float | None = None
    waiting_readings_ratio: float | None = None
    """Readings at which a request waited / readings, 0 to 1."""
    kv_cache_used_ratio_max: float | None = None
    """Share of the memory for contexts that was in use, 0 to 1."""
    preempted_count: int | None = None
    """Requests that lost that memory to others and had to begin again."""
    prefix_cache_hit_tokens: int | None = None
    """Tokens of prompts that came from the cache."""
    prefix_cache_hit_ratio: float | None = None
    """The same as a share of all tokens of prompts, 0 to 1."""
    draft_tokens: int | None = None
    """Tokens that were proposed by speculation."""
    draft_accepted_ratio: float | None = None
    """Share of them that the model took, 0 to 1."""
    reload_count: int = 0
    """How often the model was loaded anew, or its server was started anew."""


class RunCost(Document):
    """What one run's numbers cost on the machine that was rented, in its steady state.

    Where tokens are billed one by one it is what those of the completed requests cost, in and out. Null where a
    number is not known, as where the server does not count tokens.
    """

    usd_per_million_output_tokens: float | None
    usd_per_million_total_tokens: float | None
    usd_per_1k_requests: float | None
    usd_per_good_request: float | None
    """Requests within all limits; null without limits."""


class TurnReport(Document):
    """The requests of one turn of all conversations of a run; a prompt of one turn has turn 0 alone."""

    turn: int
    """Which of the turns that the model answers, from 0."""
    num_prompts: int
    """Requests that were measured. Turns after one that failed or was cut off are not asked."""
    completed: int
    ttft_ms: Distribution | None
    tpot_ms: Distribution | None
    e2el_ms: Distribution | None
    input_tokens: Distribution | None
    """Of the conversation until then, the model's own answers included."""
    output_tokens: Distribution | None
    cached_input_ratio: float | None
    """Tokens of prompts that came from the cache / tokens of prompts, of answers that tell both, 0 to 1."""


class BlockReport(Document):
    """One of several runs of a point, which are minutes apart."""

    started_at: datetime
    duration_s: float
    num_prompts: int
    num_warmups: int
    completed: int
    failed: int
    cut_off: int
    """Broken off at its end; the next block asked them again."""
    output_throughput_tokens_per_s: float | None
    steady_s: float
    """How long all slots were busy."""
    steady_output_throughput_tokens_per_s: float | None
    """Within that time; the point's own figure is the mean of these, weighted by `steady_s`."""


class RunReport(Document):
    """One point of a workload."""

    index: int
    """From 0, in the order in which they were measured."""
    load: Literal["closed", "open"]
    """`closed`: so many under way all the time. `open`: requests arrive when due, also at a slow server."""
    max_concurrency: int
    """Most requests that were allowed under way at a time."""
    request_rate_per_s: float | None
    """Of an open load."""
    started_at: datetime
    duration_s: float
    """First request sent to the end of the last completed one; warm-up is before it, and what failed later, as a
    request that stood still, is after it."""
    num_prompts: int
    """Requests that were measured: completed, failed and cut off."""
    num_warmups: int
    completed: int
    failed: int
    cut_off: int
    """Broken off at the end of the point's time; counted in `num_prompts` and `max_concurrent_requests` alone."""
    errors_by_class: dict[str, int]
    """How often each `error_code` came."""
    error_sentences: dict[str, str] = Field(default_factory=dict)
    """By code, what the first such request failed with; the server's own words are in it, without keys."""
    total_input_tokens: int
    total_output_tokens: int
    total_cached_tokens: int | None
    token_count_source: Literal["usage", "server", "chunks", "characters", "mixed"] | None
    """Who counted the output's tokens; `chunks` and `characters` are estimates."""
    request_throughput_per_s: float | None
    output_throughput_tokens_per_s: float | None
    """Output tokens of all completed requests / duration, ramp and drain included."""
    total_throughput_tokens_per_s: float | None
    steady_output_throughput_tokens_per_s: float | None
    """The same within the time in which all slots of a closed load were busy, with what came of requests that were
    cut off; null where there was no such time. Prices, `best_run` and sweeps go by it."""
    output_throughput_windows_tokens_per_s: Distribution | None
    """Of ten equal parts of the duration: how even the throughput was."""
    goodput_requests_per_s: float | None
    """Requests within all limits / duration; null without limits."""
    good_ratio: float | None
    """Requests within all limits / (completed + failed + cut off after a limit had passed), less those of which
    that cannot be known; null without limits."""
    ttft_ms: Distribution | None
    ttfo_ms: Distribution | None
    """To the first visible token; reasoning does not count."""
    tpot_ms: Distribution | None
    itl_ms: Distribution | None
    """Gaps between neighbouring chunks with content, of all requests together; not divided by tokens per chunk."""
    e2el_ms: Distribution | None
    client_queue_time_ms: Distribution | None
    """Due time to sending, of an open load: what a closed loop would hide. `ttft_ms` begins at the sending."""
    output_tokens_per_s_per_user: Distribution | None
    """1 / TPOT of each request. The slow users are in `p10`, `p5` and `p1`."""
    input_tokens: Distribution | None
    output_tokens: Distribution | None
    mean_tokens_per_chunk: float | None
    max_concurrent_requests: int
    max_output_tokens_per_s: float | None
    """Busiest second."""
    stream_buffered_count: int
    """Answers of which nine of ten chunks came together with the one before, or within 5 ms of the first: something
    on the way holds streams back."""
    prompt_truncated_count: int
    """Prompts of which the server counted far fewer tokens than they have: it dropped some without a word."""
    server_side: ServerSide
    rtt_ms: float | None
    """Median time of a TCP handshake with the server; part of each TTFT."""
    loop_lag_p99_ms: float | None
    """How late RUNE's own event loop was: above 5 ms its stamps are doubtful."""
    quality: QualityReport | None
    warnings: list[str]
    """Stable names of what makes these numbers doubtful; docs/benchmarks.md tells of each."""
    steady_output_throughput_windows_tokens_per_s: Distribution | None = None
    """Of ten equal parts of the time in which all slots were busy: the spread that a comparison goes by."""
    cost: RunCost | None = None
    """Of a rented machine."""
    resent_count: int | None = None
    """How often completed requests had been sent anew, on connections that the server was just closing."""
    achieved_request_rate_per_s: float | None = None
    """Of an open load: requests sent / time until the last one was. `request_rate_per_s` is what was asked for."""
    schedule_delay_ms: Distribution | None = None
    """Due time to having a slot, of an open load: how late RUNE's own schedule was."""
    ttft_from_due_ms: Distribution | None = None
    """Due time to first token, of an open load: what a user waits. Goodput goes by it."""
    e2el_from_due_ms: Distribution | None = None
    """Due time to last token, of an open load."""
    good_count: int | None = None
    """Requests within all limits; null without limits."""
    bad_count: int | None = None
    """The others of `good_ratio`: failed, too late, or cut off after a limit had passed; null without limits."""
    client_process_count: int = 1
    """How many processes of RUNE put the load: one up to 64 requests under way."""
    client_processor_ratio: float | None = None
    """Processor time of RUNE's process, of several the busiest one, as a share of the time: above 0.9 its stamps
    are doubtful. Null below half a second."""
    blocks: list[BlockReport] | None = None
    """Of a point that was several runs (`max_blocks`), each by itself; null for one run. Numbers of requests are of
    all blocks together, and those over time are summed: no window goes from one block into the next."""
    turns: list[TurnReport] | None = None
    """Of a workload with conversations: its numbers by turn. Null for any other."""
    cached_input_ratio: float | None = None
    """Tokens of prompts that came from the cache / tokens of prompts, 0 to 1."""
    cached_input_source: Literal["usage", "metrics"] | None = None
    """Who told it: the answers, or else the server's metrics, which hold requests of others too."""
    server: ServerLoad | None = None
    """The server's own word on its load; null where it does not say."""
    warning_evidence: dict[str, float] = Field(default_factory=dict)
    """By warning, the number that it comes from, for those that come from `server`."""


class CapacityLoad(Document):
    """A load that a search tried."""

    load: float
    runs: list[int]
    """Indices of its runs; their requests are counted together."""
    good_ratio: float | None
    good_ratio_low: float | None
    good_ratio_high: float | None
    """90 % interval (Wilson) of the share of good requests, of as many as they are independent."""
    verdict: Literal["within", "beyond", "undecided"]
    """`within` where the whole interval reaches the share that was asked for, `beyond` where none of it does."""


class CapacityReport(Document):
    """The highest load within limits that a search found."""

    load: Literal["concurrency", "request_rate"]
    """Which load: requests under way at a time, or requests per second."""
    limits: GoodputLimits
    good_ratio: float
    """Share of good requests that was asked for."""
    highest: float | None
    """Highest load at which that share was reached, below all at which it was not; null where there is none."""
    surely_within: float | None
    """The highest load whose verdict is `within`, below all that are `beyond`."""
    surely_beyond: float | None
    """The lowest load whose verdict is `beyond`. What the server can carry lies between the two; null on a side
    where nothing is sure."""
    at_run: int | None
    """Index of the run at `highest`."""
    goodput_requests_per_s: float | None
    """Good requests per second there."""
    usd_per_good_request: float | None = None
    """Price there, in the steady state, on the machine that was rented."""
    loads: list[CapacityLoad]
    """All that were tried, rising."""


class ModelReport(Document):
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
    """As much of it as is on GPUs; less than `size_bytes` means that the rest runs on the CPU."""


class ServerReport(Document):
    """What it ran on, as it says of itself."""

    name: str | None
    version: str | None
    parallel_count: int | None
    """Requests that it answers at a time."""


class SamplingReport(Document):
    """How answers were drawn."""

    temperature: float | None
    max_tokens: int | None
    ignore_eos: bool
    """Whether the server was told so."""
    context_tokens: int | None
    """Context that was asked for."""


class DatasetReport(Document):
    """What was asked."""

    name: str
    """`question`, `prompts`, or the name of the prompt set."""
    prompt_count: int
    input_len_target: int | None
    output_len_target: int | None
    seed: int
    prefix_cache: Literal["busted", "shared"]
    fingerprint: str
    """SHA-256 of the prompts as they are before their numbers: equal for equal workloads."""


class HardwareReport(Document):
    """The rented machine."""

    provider: Literal["vastai"]
    machine_id: int
    gpu_name: str
    gpu_count: int
    vram_mb: int
    disk_gb: int
    place: str


class TimeToReady(Document):
    """From nothing to the first token, in milliseconds; null where a phase was not needed."""

    search_ms: int | None
    boot_ms: int | None
    """Order to the server's first answer."""
    pull_ms: int | None
    pull_bytes: int
    load_ms: int | None
    first_token_ms: int | None
    total_ms: int


class CostReport(Document):
    """What the numbers cost on the machine that was rented.

    Steady-state figures hold for a machine that does nothing else, at the best point
    (`at_run`); all-in figures are what this job paid, rent of the idle machine included, for all tokens that it
    measured or warmed up with.
    """

    currency: Literal["USD"] = "USD"
    price_usd_per_hour: float
    price_source: Literal["quote"] = "quote"
    """Vast.ai quotes prices by offer and has no invoice per contract; the bill is made from the quote."""
    at_run: int | None
    cost_usd: float | None = None
    """What the machine has cost by RUNE's own record, as in the job and its receipt; null in reports of before
    December 2026."""
    billed_usd: float
    """`cost_usd` under its old name, until 2027-11-23. It is not what the provider charged: that is `billed_usd` of
    the receipt, known the day after."""
    billed_seconds: float
    """GPU time billed: from the last look at which the machine was not running to the proof that it is gone."""
    busy_seconds: float
    """Of these, the time in which the model was pulled, loaded or asked."""
    idle_seconds: float
    """`billed_seconds - busy_seconds`, at least 0: boot, waiting between steps, teardown."""
    usd_per_million_output_tokens: float | None
    """Steady state: `price_usd_per_hour / 3600 / steady output throughput * 1e6`; null where the server does not
    count tokens."""
    usd_per_million_output_tokens_all_in: float | None
    """`cost_usd / output tokens * 1e6`."""
    usd_per_million_total_tokens: float | None
    """Steady state, tokens in and out together."""
    output_tokens_per_usd: float | None
    """`1e6 / usd_per_million_output_tokens`, in tokens."""
    usd_per_1k_requests: float | None
    """Steady state."""
    usd_per_good_request: float | None
    """Steady state, requests within all limits; null without limits."""


class TokenCostReport(Document):
    """What a job's tokens cost at a provider that bills by the token, as Amazon Bedrock."""

    currency: Literal["USD"] = "USD"
    tokens_usd: float
    """Of all that the job asked, warm-up and judge included; a call whose end is not known counts at its bound."""
    usd_per_million_output_tokens_all_in: float | None
    """`tokens_usd / output tokens of all runs and of warm-up * 1e6`."""


class BenchmarkReport(Document):
    """A benchmark's numbers, in the schema of docs/benchmarks.md."""

    schema_version: str = SCHEMA_VERSION
    benchmark_id: str
    """The job's id."""
    name: str | None = None
    """The caller's own for the job; null where its request has none."""
    tool_name: Literal["rune"] = "rune"
    tool_version: str
    started_at: datetime
    finished_at: datetime
    backend: Literal["ollama", "openai", "bedrock"]
    endpoint_type: Literal["ollama-chat", "openai-chat", "bedrock-converse"]
    model: ModelReport
    server: ServerReport
    dataset: DatasetReport
    sampling: SamplingReport
    runs: list[RunReport]
    best_run: int | None
    """Index of the run with the most good requests per second where there are limits, else with the highest output
    throughput, among those that did what they are named after."""
    ended_by: EndedBy
    """Why there are not more runs."""
    capacity: CapacityReport | None = None
    """What a search found; null without one."""
    diagnosis: DiagnosisReport | None = None
    """How well the model investigates the cases of a suite; then there are no `runs`. Null without a suite."""
    client_region: str | None
    client_memory_mb: int | None
    hardware: HardwareReport | None = None
    time_to_ready: TimeToReady | None = None
    cost: CostReport | None = None
    """Of a rented machine; null for a server that RUNE did not rent."""
    token_cost: TokenCostReport | None = None
    """Of tokens that are billed one by one; null where none were."""
    warnings: list[str]
    """As in runs, about the whole."""
    notes: list[str] = Field(default_factory=list)
    """Sentences on how this server was asked otherwise than others, and on why answers are not judged."""
    formulas: dict[str, str]
    """The definition of each number, as text."""
