"""A comparison of benchmarks, for people: what differs for sure, and the gate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from rune_client.cli.amounts import number
from rune_client.cli.output import Columns, facts
from rune_client.cli.progress import load_name

type Record = Mapping[str, Any]

SHOWN = (
    "ttft_ms.median",
    "ttft_ms.p95",
    "tpot_ms.median",
    "e2el_ms.median",
    "output_throughput_tokens_per_s",
    "steady_output_throughput_tokens_per_s",
    "failed_ratio",
    "quality_score",
    "usd_per_million_output_tokens",
)
"""The numbers that a terminal has room for; `--format markdown` has all."""

GATE_STYLES = {"passed": "green", "failed": "red", "undecided": "yellow"}
VERDICT_STYLES = {"better": "green", "worse": "red"}


class ComparedPoint:
    """One point's numbers, at the width at which they are printed."""

    def __init__(self, point: Record, jobs: list[Record]) -> None:
        self._point, self._jobs = point, jobs

    def __rich_console__(self, _console: object, options: Any) -> Iterator[RenderableType]:  # noqa: ANN401  # rich's own
        """Yield a table of the numbers that both have."""
        letters = [chr(ord("A") + index) for index in range(len(self._jobs))]
        table = Columns("number", *(f"{letter}" for letter in letters), "verdict")
        for metric in self._point["metrics"]:
            if metric["name"] in SHOWN and any(each["value"] is not None for each in metric["values"]):
                cells = [_cell(each, metric["unit"]) for each in metric["values"]]
                table.add(metric["name"], *cells, _verdict(metric["values"]))
        yield table.table(options.max_width)


def comparison(document: Record) -> Iterator[RenderableType]:
    """Yield the jobs, each point's numbers, the gate's checks and the notes."""
    jobs = document["jobs"]
    yield facts([(chr(ord("A") + index), _job_line(job)) for index, job in enumerate(jobs)])
    for point in document["points"]:
        yield Text("")
        yield Text(load_name(point.get("max_concurrency"), point.get("request_rate_per_s")), style="bold")
        yield ComparedPoint(point, jobs)
    for note in document.get("notes") or ():
        yield Text(f"note: {note}", style="dim")
    if document.get("gate") is None:
        return
    yield Text("")
    for check in document.get("checks") or ():
        yield _check_line(check)
    yield Text(f"gate: {document['gate']}", style=f"bold {GATE_STYLES.get(document['gate'], '')}")


def _job_line(job: Record) -> str:
    told = [job.get("name"), job.get("model"), job.get("server"), job.get("gpu")]
    return f"{job['job_id']}  " + ", ".join(str(each) for each in told if each)


def _cell(value: Record, unit: str) -> str:
    if value["value"] is None:
        return "-"
    ratio = value.get("difference_ratio")
    told = (
        f"{value['value'] * 100:.1f} %"
        if unit == "ratio"
        else number(value["value"], "" if unit == "score" else unit)
    )
    return told if ratio is None else f"{told} ({ratio:+.1%})"


def _verdict(values: list[Record]) -> str:
    return ", ".join(str(each["verdict"]) for each in values[1:] if each.get("verdict"))


def _check_line(check: Record) -> Text:
    load = load_name(check.get("max_concurrency"), check.get("request_rate_per_s"))
    outcome = str(check["outcome"])
    return Text.assemble(
        (f"{outcome:<10}", GATE_STYLES.get(outcome, "")), f"{check['metric']}, {load}: {check['reason']}"
    )
