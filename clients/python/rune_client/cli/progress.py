"""What is told of a job while it works: which lines are news, and what is said of the step under way.

Nothing here writes, waits or asks: snapshots and events of the API go in, lines come out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.text import Text

from rune_client.cli.amounts import dollars, duration, number, size

type Record = Mapping[str, Any]
"""A document of the API."""

STAGES = {
    "rent": "find a machine",
    "reconcile": "order a machine",
    "boot": "boot",
    "pull": "download",
    "check": "check server",
    "warm_up": "load model",
    "measure": "measure",
    "judge": "judge",
    "check_agent": "check agent",
    "run_agent": "run agent",
    "verify": "verify",
    "give_back": "give back",
    "release": "give back",
}
"""What each step of a job does (docs/api.md, "A job"); a step that is not here is shown by its own name."""

STAGE_COLUMNS = 15
COUNT_COLUMNS = 21


@dataclass(frozen=True)
class Stage:
    """Where a job stands, as far as it makes a line of its own."""

    status: str
    step: str
    attempt: int

    @classmethod
    def of(cls, job: Record) -> Stage:
        """Return the stage of a job; a queued job has no step."""
        progress = job.get("progress") or {}
        status = str(job.get("status", ""))
        step = str(progress.get("step", "")) if status == "running" else ""
        attempt = progress.get("try", 1)
        return cls(status, step, attempt if isinstance(attempt, int) and step else 1)

    @property
    def name(self) -> str:
        """What a person reads."""
        if not self.step:
            return self.status
        name = STAGES.get(self.step, self.step)
        return f"{name}, try {self.attempt}" if self.attempt > 1 else name


def counts_of(job: Record) -> str:
    """Return how far the current step is: bytes, requests, points, chunks, or the place in the queue."""
    progress = job.get("progress") or {}
    if job.get("status") == "queued":
        return _place_of(job)
    if "pulled_bytes" in progress:
        of = f" of {size(progress['total_bytes'])}" if progress.get("total_bytes") else ""
        percent = f" {progress['pulled_percent']}%" if "pulled_percent" in progress else ""
        return f"{size(progress['pulled_bytes'])}{of}{percent}"
    if "booting_seconds" in progress:
        return f"{progress['booting_seconds']} s booting"
    if "judged" in progress:
        return f"{progress['judged']} of {progress.get('answers', '?')} judged"
    parts = []
    if progress.get("points", 1) > 1:
        parts.append(f"point {max(1, progress.get('point', 1))}/{progress['points']}")
    if "requests" in progress:
        parts.append(f"{progress['requests']}/{progress.get('requests_total', '?')} answers")
    elif "chunks" in progress:
        parts.append(f"{progress['chunks']} chunks")
    return " ".join(parts)


def _place_of(job: Record) -> str:
    position, wait = job.get("queue_position"), job.get("queue_wait_seconds")
    if position is None:
        return ""
    return f"place {position}" + ("" if wait is None else f", about {duration(wait)}")


def line_of(job: Record, stage: Stage, elapsed_seconds: float, *, counts: str | None = None) -> Text:
    """Return a stage's line: time since the command began, stage, counts, dollars so far, the API's sentence."""
    line = Text(f"{duration(elapsed_seconds):>9}  ", no_wrap=True)
    line.append(f"{stage.name:<{STAGE_COLUMNS}}", style="bold")
    line.append(f" {counts_of(job) if counts is None else counts:<{COUNT_COLUMNS}}", style="cyan")
    if job.get("cost_usd") is not None:
        line.append(f" {dollars(job['cost_usd']):>8}", style="green")
    if job.get("message"):
        line.append(f"  {job['message']}", style="dim")
    line.rstrip()
    return line


@dataclass
class Progress:
    """What was told already, so that only news is told.

    Where the last line can be written over (`is_live`), a stage's line is news when the stage ends, with how long
    it took; until then it is the status. Elsewhere it is news when the stage begins.
    """

    is_live: bool
    width: int
    stage: Stage | None = None
    began_at_seconds: float = 0.0
    last: Record = field(default_factory=dict)
    points: list[Record] = field(default_factory=list)

    def of_job(self, job: Record, elapsed_seconds: float) -> list[Text]:
        """Return the lines that a snapshot makes."""
        stage, before = Stage.of(job), self.stage
        if stage == before:
            self.last = job
            return []
        lines = []
        if self.is_live and before is not None:
            lines.append(self._ended(before, job, elapsed_seconds))
        elif not self.is_live and stage.status in {"queued", "running"}:
            lines.append(line_of(job, stage, elapsed_seconds))
        self.stage, self.began_at_seconds, self.last = stage, elapsed_seconds, job
        return lines

    def _ended(self, stage: Stage, job: Record, elapsed_seconds: float) -> Text:
        # What it has cost by now was not spent in the queue.
        cost = job.get("cost_usd") if stage.step else None
        told = {"cost_usd": cost, "message": None}
        took = f"took {duration(elapsed_seconds - self.began_at_seconds)}"
        return line_of(told, stage, elapsed_seconds, counts=took)

    def status(self, elapsed_seconds: float) -> Text:
        """Return what is under way now."""
        return line_of(self.last, self.stage or Stage.of(self.last), elapsed_seconds)

    def of_event(self, event: Record, elapsed_seconds: float) -> list[Text]:
        """Return the lines that an event makes: a measured point, a chosen machine, or what went wrong."""
        labels = event.get("labels") or {}
        name = str(event.get("event", ""))
        if name == "benchmark.point":
            self.points.append(labels)
            return [point_line(labels, peak=self._peak(), width=self.width)]
        if event.get("status") == "error" and not name.startswith("job."):
            return [_trouble(name, event, elapsed_seconds)]
        if name == "worker.lost":
            line = Text(f"{duration(elapsed_seconds):>9}  ")
            return [
                line.append(f"a worker was lost ({labels.get('lost', 1)}); the step is done again", "yellow")
            ]
        return []

    def _peak(self) -> float:
        return max(_float(labels, "output_tokens_per_s") or 0.0 for labels in self.points)


def _trouble(name: str, event: Record, elapsed_seconds: float) -> Text:
    labels = event.get("labels") or {}
    told = labels.get("reason") or labels.get("detail") or labels.get("error") or event.get("error_type")
    line = Text(f"{duration(elapsed_seconds):>9}  ")
    line.append(f"{STAGES.get(str(labels.get('step')), name)} failed", style="yellow")
    return line.append(f": {told}" if told else "")


def point_line(labels: Record, *, peak: float, width: int) -> Text:
    """Return a point of a workload as a bar and its numbers, as wide as the terminal allows."""
    speed = _float(labels, "output_tokens_per_s")
    load = load_name(labels.get("concurrency"), labels.get("requests_per_s"))
    first, failed = _float(labels, "ttft_p50_ms"), _float(labels, "failed") or 0
    wide = width >= 72  # noqa: PLR2004  # columns that all the numbers need beside a bar
    line = Text(f"{load:>14}  " if wide else f"{load:>12} ", no_wrap=True)
    line.append(bar(speed or 0.0, peak, 14 if wide else 10), style="cyan")
    line.append(f" {number(speed, 'tokens/s'):>17}", style="bold")
    line.append(f"  first token {number(first, 'ms')}" if wide else f"  {number(first, 'ms')}")
    if failed:
        line.append(f"  {failed:.0f} failed", style="red")
    return line


def load_name(concurrency: object, requests_per_s: object) -> str:
    """Return the load of a point: `4 at a time`, or `2.5 per s`."""
    return f"{requests_per_s} per s" if requests_per_s is not None else f"{concurrency or 1} at a time"


def bar(value: float, peak: float, columns: int) -> str:
    """Return a bar of `#`, which every terminal has, padded to `columns`."""
    filled = round(columns * value / peak) if peak > 0 else 0
    return ("#" * max(1 if value > 0 else 0, filled)).ljust(columns, ".")


def _float(labels: Record, name: str) -> float | None:
    try:
        return float(labels[name])
    except (KeyError, TypeError, ValueError):
        return None
