"""The drawing of the graph of steps, made from `rune.workflows.graph`.

`PYTHONPATH=shared python -m tests.job_graph` writes the page anew.
"""

from __future__ import annotations

from pathlib import Path

from rune.jobs.record import StepName
from rune.workflows.graph import EDGES, RENTING, USING, Edge

PAGE = Path(__file__).parents[1] / "docs" / "job-graph.md"

_HEAD = """\
# The graph of steps

Made from `shared/rune/workflows/graph.py` by `PYTHONPATH=shared python -m tests.job_graph`. A test fails when the
two differ.

A job is in one step at a time. At its end a step says what it found, and the graph says which step follows. In
brackets: the only jobs that take the edge. Of several edges from one step after one fact, the first in the table
counts. A step that is not ready yet is taken again later; that is no edge. Nor is one that a job
waits again without its slot, since it may not rent yet: it goes on with `rent`.

A job that is cancelled before a worker has taken it ends at once, in whichever step it would have begun.
"""
_GROUPS = {"renting": ("to a rented machine", RENTING), "using": ("on a model server", USING)}


def render() -> str:
    """Return the page: a drawing in Mermaid's language, and the same as a table."""
    drawing = ["```mermaid", "flowchart TD", *_boxes(), *_arrows(), "```"]
    return "\n".join([_HEAD, *drawing, "", *_rows(), ""])


def _boxes() -> list[str]:
    boxes = ["    begin([job accepted])", "    over([job over])"]
    for group, (title, steps) in _GROUPS.items():
        boxes += [f'    subgraph {group} ["{title}"]', *(f"        {step}" for step in steps), "    end"]
    return boxes


def _arrows() -> list[str]:
    """Return one arrow for each pair of boxes, with all that leads from the one to the other."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for edge in EDGES:
        for origin in _origins(edge):
            reasons.setdefault((origin, edge.to or "over"), []).append(_reason(edge))
    return [
        f'    {origin} -- "{"<br>".join(dict.fromkeys(told))}" --> {target}'
        for (origin, target), told in reasons.items()
    ]


def _origins(edge: Edge) -> list[str]:
    for group, (_, steps) in _GROUPS.items():
        if edge.steps == steps:
            return [group]
    return [step or "begin" for step in edge.steps]


def _reason(edge: Edge) -> str:
    return edge.fact.value if edge.only is None else f"{edge.fact} [{edge.only}]"


def _rows() -> list[str]:
    rows = ["| in step | after | only jobs with | follows |", "|---|---|---|---|"]
    for edge in EDGES:
        steps = ", ".join(_code(step) if step else "before the first" for step in edge.steps)
        rows.append(
            f"| {steps} | {edge.fact} | {edge.only or ''} | {_code(edge.to) if edge.to else 'the end'} |"
        )
    return rows


def _code(step: StepName) -> str:
    return f"`{step}`"


if __name__ == "__main__":
    PAGE.write_text(render())
