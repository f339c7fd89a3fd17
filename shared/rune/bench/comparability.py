"""Whether benchmarks can be compared: the conditions in which they differ."""

from collections.abc import Callable, Iterator, Sequence
from statistics import fmean

from rune.contracts import BenchmarkReport

_LENGTH_RATIO = 0.1

_CONDITIONS: tuple[tuple[str, Callable[[BenchmarkReport], object]], ...] = (
    ("prompts", lambda r: r.dataset.fingerprint),
    (
        "lengths asked for",
        lambda r: (r.dataset.input_len_target, r.dataset.output_len_target, r.sampling.max_tokens),
    ),
    ("use of the prefix cache", lambda r: r.dataset.prefix_cache),
    ("sampling (temperature, end of text)", lambda r: (r.sampling.temperature, r.sampling.ignore_eos)),
    ("context", lambda r: (r.sampling.context_tokens, r.model.context_length_loaded)),
    ("counting of tokens", lambda r: sorted({str(run.token_count_source) for run in r.runs})),
    (
        "judgement (method, score that passes)",
        lambda r: sorted({(run.quality.method, run.quality.pass_score) for run in r.runs if run.quality}),
    ),
    ("region from which RUNE asked", lambda r: r.client_region),
    ("formulas (version of the report)", lambda r: r.schema_version),
    ("version of RUNE", lambda r: r.tool_version),
)
"""What should be alike, each with how to read it from a report."""


def notes_of(benchmarks: Sequence[tuple[str, BenchmarkReport]]) -> Iterator[str]:
    """Yield a sentence for each condition in which a benchmark differs from the first one."""
    if not benchmarks:
        return
    (_, first), *others = benchmarks
    for what, read in _CONDITIONS:
        different = [job_id for job_id, report in others if read(report) != read(first)]
        if different:
            yield f"Other {what} than in the first benchmark: {_listed(different)}."
    other_models = [job_id for job_id, report in others if _tokenizer(report) != _tokenizer(first)]
    if other_models:
        yield (
            f"{_listed(other_models)} ran another model, whose tokens may be longer or shorter: numbers per token "
            "are comparable only within a family of models."
        )
    length = _mean_output_tokens(first)
    for job_id, report in others:
        other = _mean_output_tokens(report)
        if length and other and abs(other - length) > _LENGTH_RATIO * length:
            yield (
                f"Answers of {job_id} have {other:.0f} tokens on average, the first benchmark's {length:.0f}: "
                "end-to-end latency and requests per second follow from that."
            )


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _tokenizer(report: BenchmarkReport) -> str:
    """Return what stands for the tokenizer: the model's family, or the model where no family is known."""
    return report.model.family or report.model.id


def _mean_output_tokens(report: BenchmarkReport) -> float | None:
    means = [run.output_tokens.mean for run in report.runs if run.output_tokens is not None]
    return fmean(means) if means else None
