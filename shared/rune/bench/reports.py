"""A benchmark's runs with all that they depend on: the document that is published."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from datetime import datetime

from rune import __version__
from rune.bench.capacity import capacity_of
from rune.bench.definitions import DIAGNOSIS_FORMULAS, FORMULAS
from rune.bench.headline import best_run
from rune.bench.server_side import without_doubtful_prefill
from rune.bench.turns import AnyPrompt, as_json
from rune.contracts import (
    BenchmarkReport,
    BenchmarkRequest,
    DatasetReport,
    ModelReport,
    RunReport,
    SamplingReport,
    ServerReport,
    Workload,
)
from rune.contracts.benchmarks import EndedBy
from rune.contracts.diagnoses import DiagnosisReport
from rune.errors import StreamFailedError
from rune.llm.protocol import ModelFacts, ServerFacts

SUITE_TEMPERATURE = 0.0
"""Of every investigation of a suite: runs differ by the names and numbers of their cases, and not by chance."""

_ENDPOINT_TYPES = {"ollama": "ollama-chat", "openai": "openai-chat", "bedrock": "bedrock-converse"}


def make_report(
    *,
    job_id: str,
    request: BenchmarkRequest,
    runs: Sequence[RunReport],
    ended_by: EndedBy,
    model: ModelFacts,
    server: ServerFacts,
    prompts: Sequence[AnyPrompt],
    ignores_eos: bool,
    context_tokens: int | None,
    started_at: datetime,
    finished_at: datetime,
    warnings: Sequence[str] = (),
    notes: Sequence[str] = (),
    client_region: str | None = None,
    client_memory_mb: int | None = None,
) -> BenchmarkReport:
    """Return the report of a benchmark.

    Parameters
    ----------
    prompts
        As they are before their numbers; only their fingerprint is reported.
    ignores_eos
        Whether the server was told to go on after a model's end of text.
    context_tokens
        Context that was asked for.
    warnings
        What only the one who measured can know; names of `rune.bench.definitions.WARNINGS`.
    notes
        On how the server was asked otherwise than others.
    """
    workload = request.measured
    capacity = None if workload.search is None else capacity_of(workload.search, runs)
    found = _warnings(request, runs, model, server, ignores_eos=ignores_eos, context_tokens=context_tokens)
    return BenchmarkReport(
        benchmark_id=job_id,
        name=request.name,
        tool_version=__version__,
        started_at=started_at,
        finished_at=finished_at,
        backend=request.backend_type,
        endpoint_type=_ENDPOINT_TYPES[request.backend_type],  # type: ignore[arg-type]  # one of the three
        model=_model_report(request.model, model),
        server=ServerReport(name=server.name, version=server.version, parallel_count=server.parallel_count),
        dataset=_dataset_report(request, prompts),
        sampling=SamplingReport(
            temperature=workload.temperature,
            max_tokens=workload.output_tokens,
            ignore_eos=ignores_eos,
            context_tokens=context_tokens,
        ),
        runs=[_without_doubtful_prefill(run, workload) for run in runs],
        best_run=best_run(runs) if capacity is None or capacity.at_run is None else capacity.at_run,
        ended_by=ended_by,
        capacity=capacity,
        client_region=client_region,
        client_memory_mb=client_memory_mb,
        warnings=list(dict.fromkeys([*warnings, *found, *(["asked_otherwise"] if notes else [])])),
        notes=list(notes),
        formulas=dict(FORMULAS),
    )


def make_suite_report(
    *,
    job_id: str,
    request: BenchmarkRequest,
    diagnosis: DiagnosisReport,
    ended_by: EndedBy,
    model: ModelFacts,
    server: ServerFacts,
    longest_answer_tokens: int,
    context_tokens: int | None,
    started_at: datetime,
    finished_at: datetime,
    warnings: Sequence[str] = (),
    notes: Sequence[str] = (),
    client_region: str | None = None,
    client_memory_mb: int | None = None,
) -> BenchmarkReport:
    """Return the report of a benchmark with a suite of cases.

    Parameters
    ----------
    longest_answer_tokens
        Of one turn.
    context_tokens, warnings, notes
        As of `make_report`.
    """
    return BenchmarkReport(
        benchmark_id=job_id,
        name=request.name,
        tool_version=__version__,
        started_at=started_at,
        finished_at=finished_at,
        backend=request.backend_type,
        endpoint_type=_ENDPOINT_TYPES[request.backend_type],  # type: ignore[arg-type]  # one of the three
        model=_model_report(request.model, model),
        server=ServerReport(name=server.name, version=server.version, parallel_count=server.parallel_count),
        dataset=DatasetReport(
            name=diagnosis.suite.name,
            prompt_count=len(request.cases or ()),
            input_len_target=None,
            output_len_target=None,
            seed=0,
            prefix_cache="shared",
            fingerprint=_fingerprint_of_cases(request),
        ),
        sampling=SamplingReport(
            temperature=SUITE_TEMPERATURE,
            max_tokens=longest_answer_tokens,
            ignore_eos=False,
            context_tokens=context_tokens,
        ),
        runs=[],
        best_run=None,
        ended_by=ended_by,
        diagnosis=diagnosis,
        client_region=client_region,
        client_memory_mb=client_memory_mb,
        warnings=list(dict.fromkeys([*warnings, *(["asked_otherwise"] if notes else [])])),
        notes=list(notes),
        formulas=dict(DIAGNOSIS_FORMULAS),
    )


def _fingerprint_of_cases(request: BenchmarkRequest) -> str:
    """Return what is equal for the same cases of the same version."""
    return hashlib.sha256(json.dumps([request.suite_version, request.cases]).encode()).hexdigest()


def fingerprint(prompts: Sequence[AnyPrompt]) -> str:
    """Return SHA-256 of the prompts as a JSON list, in hexadecimal; a conversation is a list in it.

    `hashlib.sha256(json.dumps(prompts).encode()).hexdigest()` in anybody's Python.
    """
    return hashlib.sha256(json.dumps([as_json(prompt) for prompt in prompts]).encode()).hexdigest()


def _model_report(name: str, model: ModelFacts) -> ModelReport:
    return ModelReport(
        id=name,
        digest=model.digest,
        quantization=model.quantization,
        parameter_size=model.parameter_size,
        family=model.family,
        context_length_loaded=model.context_tokens_loaded,
        context_length_trained=model.context_tokens_trained,
        size_bytes=model.size_bytes,
        size_vram_bytes=model.size_vram_bytes,
    )


def _dataset_report(request: BenchmarkRequest, prompts: Sequence[AnyPrompt]) -> DatasetReport:
    workload = request.measured
    return DatasetReport(
        name=workload.prompt_set or ("prompts" if workload.prompts is not None else "question"),
        prompt_count=len(prompts),
        input_len_target=workload.input_tokens,
        output_len_target=workload.output_tokens,
        seed=workload.seed,
        prefix_cache=workload.prefix_cache,
        fingerprint=fingerprint(prompts),
    )


def _without_doubtful_prefill(run: RunReport, workload: Workload) -> RunReport:
    server_side = without_doubtful_prefill(run.server_side, workload, cached_tokens=run.total_cached_tokens)
    return run.model_copy(update={"server_side": server_side})


def _warnings(
    request: BenchmarkRequest,
    runs: Sequence[RunReport],
    model: ModelFacts,
    server: ServerFacts,
    *,
    ignores_eos: bool,
    context_tokens: int | None,
) -> Iterator[str]:
    """Yield the names of what makes the whole doubtful."""
    workload, loaded = request.measured, model.context_tokens_loaded
    under_way = max((run.max_concurrent_requests for run in runs), default=0)
    if (model.size_vram_bytes or 0) < (model.size_bytes or 0) and model.size_vram_bytes is not None:
        yield "partial_gpu_offload"
    if server.parallel_count is not None and under_way > server.parallel_count:
        yield "server_parallel_exceeded"
    if ignores_eos and any(StreamFailedError.code in run.errors_by_class for run in runs):
        yield "ignore_eos_suspected"
    if request.ignores_eos and workload.output_tokens and not ignores_eos:
        yield "eos_not_ignored"
    if context_tokens is not None and loaded is not None and context_tokens != loaded:
        yield "context_differs"
    if any(run.quality is not None and run.quality.unjudged_count for run in runs):
        yield "answers_unjudged"
