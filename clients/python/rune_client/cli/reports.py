"""What a job ended with, for people: answers, measured numbers, cost, and comparisons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from rune_client.cli.amounts import dollars, duration, number
from rune_client.cli.output import facts
from rune_client.cli.progress import load_name, point_line

type Record = Mapping[str, Any]

ANSWER_CHARACTERS = 600
"""Of an answer shown beside its numbers; `--json` has the whole."""

STATUS_STYLES = {"succeeded": "green", "failed": "red", "cancelled": "yellow", "running": "cyan"}


def status_text(status: str) -> Text:
    """Return a status in its colour."""
    return Text(status, style=STATUS_STYLES.get(status, ""))


def job_table(job: Record) -> Table:
    """Return a job as a table of what is known of it."""
    result = job.get("result") or {}
    rows: list[tuple[str, object]] = [
        ("job", job.get("job_id")),
        ("name", job.get("name")),
        ("kind", job.get("kind")),
        ("status", status_text(str(job.get("status")))),
        ("message", job.get("message")),
        ("error", _error_of(job)),
        ("created", job.get("created_at")),
        ("started", job.get("started_at")),
        ("finished", job.get("finished_at")),
        ("cost", _cost_of(job)),
        ("submitted by", job.get("submitted_by")),
        ("cancelled by", job.get("cancelled_by")),
        ("warnings", ", ".join(job.get("warnings") or ())),
        ("answer", _shorten(result.get("answer"))),
    ]
    return facts(rows)


def _error_of(job: Record) -> str | None:
    if not job.get("error"):
        return None
    stage = f" in {job['error_stage']}" if job.get("error_stage") else ""
    retry = "; the same job may succeed later" if job.get("error_retryable") else ""
    return f"{job['error']} ({job.get('error_code')}{stage}{retry})"


def _cost_of(job: Record) -> str | None:
    if job.get("cost_usd") is None:
        return None
    cap = job.get("max_cost_usd")
    return dollars(job["cost_usd"]) + (f" of {dollars(cap)} at most" if cap is not None else "")


def ended(job: Record) -> Iterator[RenderableType]:
    """Yield what is shown of a job that has ended: what went wrong, or its answer and numbers."""
    if job.get("status") != "succeeded":
        yield job_table(job)
        return
    result = job.get("result") or {}
    if result.get("report"):
        yield from benchmark(job)
    elif "mode" in result:
        yield instance_table(job)
    else:
        yield answer_table(job)


def benchmark(job: Record) -> Iterator[RenderableType]:
    """Yield a benchmark's answer and report."""
    result = job["result"]
    report = result["report"]
    yield facts(
        [
            ("answer", _shorten(result.get("answer"))),
            *report_rows(report),
            ("cost", _cost_of(job)),
            ("machine", _machine_of(result.get("rental"))),
            ("job", job.get("job_id")),
        ],
        title=f"benchmark of {result.get('model_name')}",
    )
    yield from points(report)


def report_page(report: Record) -> Iterator[RenderableType]:
    """Yield a report as `GET /v1/benchmarks/{job_id}` answers it."""
    title = report.get("name") or f"benchmark of {(report.get('model') or {}).get('id')}"
    yield facts([*report_rows(report), ("job", report.get("benchmark_id"))], title=str(title))
    yield from points(report)


def report_rows(report: Record) -> list[tuple[str, object]]:
    """Return what a report says as a whole; of a single point its numbers too."""
    server, hardware = report.get("server") or {}, report.get("hardware") or {}
    runs = report.get("runs") or []
    rows: list[tuple[str, object]] = [
        ("server", " ".join(str(server[key]) for key in ("name", "version") if server.get(key))),
        (
            "hardware",
            f"{hardware['gpu_count']} x {hardware['gpu_name']}" if hardware.get("gpu_name") else None,
        ),
    ]
    if len(runs) == 1:
        rows += run_rows(runs[0])
    if report.get("diagnosis"):
        rows += diagnosis_rows(report["diagnosis"])
    rows += [
        ("time to ready", _ready_of(report.get("time_to_ready"))),
        ("1M output tokens", _token_price_of(report.get("cost"))),
        ("ended by", report.get("ended_by") if report.get("ended_by") != "all_measured" else None),
        ("warnings", ", ".join(_warnings_of(report))),
    ]
    return rows


def diagnosis_rows(diagnosis: Record) -> list[tuple[str, object]]:
    """Return how well a model investigated the cases of a suite."""
    outcomes = [f"{count} {outcome}" for outcome, count in diagnosis["outcomes"].items()]
    effort = diagnosis["effort"]
    return [
        ("suite", diagnosis["suite"]["name"]),
        ("runs", f"{diagnosis['run_count']} of {diagnosis['case_count']} cases: {', '.join(outcomes)}"),
        ("right at once", _share_of(diagnosis["pass_at_1"])),
        ("precision", _share_of(diagnosis["precision"])),
        ("recall", _share_of(diagnosis["recall"])),
        ("misled", _share_of(diagnosis["trap_rate"])),
        ("of each run", f"{number(effort['turns'])} turns, {number(effort['calls'])} calls of tools"),
    ]


def _share_of(share: Record | None) -> str | None:
    if share is None or share.get("value") is None:
        return None
    shown = f"{share['value']:.2f}"
    return shown if share.get("low") is None else f"{shown} ({share['low']:.2f} to {share['high']:.2f})"


def run_rows(run: Record) -> list[tuple[str, object]]:
    """Return the numbers of one point."""
    return [
        ("time to first token", number(_middle(run, "ttft_ms"), "ms")),
        ("time per token", number(_middle(run, "tpot_ms"), "ms")),
        ("end to end", number(_middle(run, "e2el_ms"), "ms")),
        ("output speed", number(run.get("output_throughput_tokens_per_s"), "tokens/s")),
        ("tokens in, out", f"{run.get('total_input_tokens')}, {run.get('total_output_tokens')}"),
        ("answers", f"{run.get('completed')} of {run.get('num_prompts')}"),
        ("quality", _quality_of(run)),
    ]


def points(report: Record) -> Iterator[RenderableType]:
    """Yield the points of a workload as a small chart, a line each; nothing for a single one."""
    runs = report.get("runs") or []
    if len(runs) < 2:  # noqa: PLR2004
        return
    peak = max(run.get("output_throughput_tokens_per_s") or 0.0 for run in runs)
    yield Text("")
    yield PointLines([_labels_of(run) for run in runs], peak)
    best = report.get("best_run")
    if best is not None and best < len(runs):
        load = load_name(runs[best].get("max_concurrency"), runs[best].get("request_rate_per_s"))
        yield Text(f"best: {load}", style="dim")


class PointLines:
    """Lines of points that take the width at which they are printed."""

    def __init__(self, labels: list[Record], peak: float) -> None:
        self._labels, self._peak = labels, peak

    def __rich_console__(self, _console: object, options: Any) -> Iterator[Text]:  # noqa: ANN401  # rich's own
        """Yield a line for each point."""
        for labels in self._labels:
            yield point_line(labels, peak=self._peak, width=options.max_width)


def _labels_of(run: Record) -> Record:
    return {
        "concurrency": run.get("max_concurrency"),
        "requests_per_s": run.get("request_rate_per_s"),
        "output_tokens_per_s": run.get("output_throughput_tokens_per_s"),
        "ttft_p50_ms": _middle(run, "ttft_ms"),
        "failed": run.get("failed"),
    }


def _middle(run: Record, name: str) -> float | None:
    spread = run.get(name)
    return None if spread is None else spread.get("median")


def _quality_of(run: Record) -> str | None:
    quality = run.get("quality")
    if not quality:
        return None
    return f"{quality.get('passed_count')} of {quality.get('judged_count')} right ({quality.get('method')})"


def _ready_of(ready: Record | None) -> str | None:
    if not ready or ready.get("total_ms") is None:
        return None
    parts = ("search", "boot", "pull", "load", "first_token")
    known = [(part, ready.get(f"{part}_ms")) for part in parts]
    told = ", ".join(f"{part.replace('_', ' ')} {ms / 1000:.1f}" for part, ms in known if ms is not None)
    return f"{duration(ready['total_ms'] / 1000)} ({told})"


def _token_price_of(cost: Record | None) -> str | None:
    if not cost:
        return None
    steady, all_in = (cost.get(f"usd_per_million_output_tokens{suffix}") for suffix in ("", "_all_in"))
    return f"{dollars(steady)} steady, {dollars(all_in)} all in"


def _warnings_of(report: Record) -> list[str]:
    runs = report.get("runs") or []
    # One request alone is always few samples.
    own = {name for run in runs for name in run.get("warnings") or ()} if len(runs) > 1 else set()
    return sorted({*(report.get("warnings") or ()), *own})


def _machine_of(rental: Record | None) -> str | None:
    if not rental:
        return None
    told = f"{rental.get('gpu_count')} x {rental.get('gpu_name')}, {rental.get('place')}"
    if rental.get("released_at"):
        return f"{told}, proven gone at {rental['released_at']}"
    return f"{told}, kept until {rental['kept_until']}" if rental.get("kept_until") else told


def instance_table(job: Record) -> Table:
    """Return what an instance's job made: where its server is, and until when it is kept."""
    result = job["result"]
    rental = result.get("rental") or {}
    return facts(
        [
            ("mode", result.get("mode")),
            ("server", result.get("backend_url")),
            ("model", result.get("model_name")),
            ("contract", result.get("contract_id")),
            ("rental", job.get("rental_id")),
            ("machine", _machine_of(rental)),
            ("cost", _cost_of(job)),
            ("warnings", ", ".join(result.get("warnings") or ())),
            ("job", job.get("job_id")),
        ],
        title="instance",
    )


def answer_table(job: Record) -> Table:
    """Return an agent's answer."""
    result = job.get("result") or {}
    tokens = ((result.get("telemetry") or {}).get("tokens") or {}).get("total")
    artifacts = result.get("artifacts") or ()
    return facts(
        [
            ("answer", result.get("answer")),
            ("type", result.get("result_type") if result.get("result_type") != "text" else None),
            (
                "artifacts",
                ", ".join(
                    str(each.get("name", each)) if isinstance(each, dict) else str(each) for each in artifacts
                ),
            ),
            ("tokens", tokens),
            ("cost", _cost_of(job)),
            ("job", job.get("job_id")),
        ]
    )


def _shorten(answer: object) -> str | None:
    if answer is None:
        return None
    text = str(answer).strip()
    return text if len(text) <= ANSWER_CHARACTERS else text[: ANSWER_CHARACTERS - 1] + "…"
