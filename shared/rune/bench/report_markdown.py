"""A report as Markdown, for people and their pull requests: its runs, and what servers and turns add to them."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC

from rune.bench.diagnosis_showing import diagnosis_to_markdown
from rune.bench.markdown import escape
from rune.bench.showing import describe_load, number
from rune.contracts import BenchmarkReport, Distribution, RunReport, ServerLoad


def report_to_markdown(report: BenchmarkReport) -> str:
    """Return the report as GitHub-flavoured Markdown: who, and a line for each run in each of its tables.

    Names come from callers and servers, so everything in them that Markdown or HTML would read is escaped. An empty
    cell is a number that is not defined or not known.
    """
    server = " ".join(part for part in (report.server.name, report.server.version) if part)
    began = report.started_at.astimezone(UTC)
    measured = f"Benchmark of {escape(report.model.id)}"
    title, on = (escape(report.name), f"{measured} on") if report.name else (measured, "On")
    lines = [
        f"# {title}",
        "",
        f"{on} {escape(server or report.backend)}, {began:%Y-%m-%d %H:%M} UTC, job {escape(report.benchmark_id)}.",
        *(() if report.diagnosis is None else diagnosis_to_markdown(report.diagnosis)),
        *_table("Runs", _RUNS, report.runs, _run_cells),
        *_table("What the server says of its load", _SERVER, report.runs, _server_cells),
    ]
    for run in report.runs:
        lines += _turns(run)
    failures = [
        f"- run {run.index}: {count} x {escape(code)}{_told(run, code)}"
        for run in report.runs
        for code, count in run.errors_by_class.items()
    ]
    if failures:
        lines += ["", "## Failed requests", "", *failures]
    warnings = [f"- run {run.index}: {_warning(run, name)}" for run in report.runs for name in run.warnings]
    warnings += [f"- {escape(name)}" for name in report.warnings]
    if warnings:
        lines += ["", "## Warnings", "", *warnings]
    return "\n".join(lines) + "\n"


_RUNS = (
    "Run",
    "Load",
    "Completed",
    "Failed",
    "TTFT ms, median",
    "p95",
    "TPOT ms, median",
    "p95",
    "Output tokens/s, steady",
    "Good",
)
_SERVER = (
    "Run",
    "Source",
    "Readings",
    "Running, most",
    "mean",
    "Waiting, most",
    "mean",
    "KV cache used, most",
    "Preempted",
    "Prompt tokens from cache",
    "Drafts accepted",
    "Reloads",
)
_TURNS = (
    "Turn",
    "Completed",
    "TTFT ms, median",
    "p95",
    "TPOT ms, median",
    "Input tokens, mean",
    "Output tokens, mean",
    "From cache",
)


type _Cells = tuple[str, ...]


def _table(
    title: str, heads: _Cells, runs: Sequence[RunReport], cells: Callable[[RunReport], _Cells | None]
) -> Iterator[str]:
    rows = [row for run in runs if (row := cells(run)) is not None]
    if rows:
        yield from ("", f"## {title}", "", *_lines(heads, rows))


def _lines(heads: _Cells, rows: Sequence[_Cells]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---:|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _run_cells(run: RunReport) -> _Cells:
    steady = run.steady_output_throughput_tokens_per_s or run.output_throughput_tokens_per_s
    return (
        str(run.index),
        describe_load(run),
        str(run.completed),
        str(run.failed),
        _median(run.ttft_ms),
        _p95(run.ttft_ms),
        _median(run.tpot_ms),
        _p95(run.tpot_ms),
        _amount(steady),
        _share(run.good_ratio),
    )


def _server_cells(run: RunReport) -> _Cells | None:
    load = run.server
    if load is None:
        return None
    return (
        str(run.index),
        escape(load.source),
        str(load.reading_count),
        *_gauge(load.running_requests_max, load.running_requests_mean),
        *_gauge(load.waiting_requests_max, load.waiting_requests_mean),
        _share(load.kv_cache_used_ratio_max),
        _amount(load.preempted_count),
        _hits(load),
        _share(load.draft_accepted_ratio),
        str(load.reload_count),
    )


def _turns(run: RunReport) -> Iterator[str]:
    rows = [
        (
            str(turn.turn),
            str(turn.completed),
            _median(turn.ttft_ms),
            _p95(turn.ttft_ms),
            _median(turn.tpot_ms),
            _mean(turn.input_tokens),
            _mean(turn.output_tokens),
            _share(turn.cached_input_ratio),
        )
        for turn in run.turns or ()
    ]
    if rows:
        yield from ("", f"## Turns of run {run.index}: {describe_load(run)}", "", *_lines(_TURNS, rows))


def _told(run: RunReport, code: str) -> str:
    told = run.error_sentences.get(code)
    return f": {escape(told)}" if told else ""


def _warning(run: RunReport, name: str) -> str:
    evidence = run.warning_evidence.get(name)
    return escape(name) if evidence is None else f"{escape(name)} ({number(evidence)})"


def _gauge(largest: float | None, mean: float | None) -> _Cells:
    return _amount(largest), _amount(mean)


def _hits(load: ServerLoad) -> str:
    tokens, share = _amount(load.prefix_cache_hit_tokens), _share(load.prefix_cache_hit_ratio)
    return f"{tokens} ({share})" if tokens and share else tokens


def _median(values: Distribution | None) -> str:
    return "" if values is None else number(values.median)


def _mean(values: Distribution | None) -> str:
    return "" if values is None else number(values.mean)


def _p95(values: Distribution | None) -> str:
    return "" if values is None else _amount(values.p95)


def _amount(value: float | None) -> str:
    return "" if value is None else number(value)


def _share(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.1%}"
