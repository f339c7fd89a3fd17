"""`report_findings`, the tool that ends an investigation, and how its arguments are read.

What a small model may plausibly write is understood: one value for a list of one, a list as JSON text, other words
for a confidence. What cannot be understood goes back to it.
"""

import difflib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

from rune.agents.investigation.evidence import result_id_in, stands_in
from rune.agents.investigation.limits import Bound
from rune.agents.investigation.state import KeptResult
from rune.kubernetes.causes import Cause, ClusterStatus
from rune.kubernetes.findings import Evidence, Finding, Report
from rune.llm.protocol import ToolSpec

NAME = "report_findings"

MOST_FINDINGS = 20
MOST_ENTITIES = 20
MOST_QUOTES = 10
MOST_LINES = 20
LONGEST_TEXT_CHARS = 2_000
LONGEST_QUOTE_CHARS = 500

_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}

SPEC = ToolSpec(
    NAME,
    "Ends the investigation with its answer. Call it once, when nothing more needs to be read.",
    {
        "type": "object",
        "required": ["status", "summary", "findings"],
        "properties": {
            "status": {
                "type": "string",
                "enum": [each.value for each in ClusterStatus],
                "description": "recovered: it was ill and is well now; undetermined: what decides cannot be read",
            },
            "summary": {"type": "string", "description": "the answer, for people"},
            "findings": {
                "type": "array",
                "description": "one for each independent cause; empty unless unhealthy",
                "items": {
                    "type": "object",
                    "required": ["cause", "entities", "because", "evidence", "confidence"],
                    "properties": {
                        "cause": {"type": "string", "enum": [each.value for each in Cause]},
                        "entities": {
                            "type": "array",
                            "items": _TEXT,
                            "description": "what must be changed: Kind/namespace/name, of pods their owner",
                        },
                        "because": _TEXT,
                        "evidence": {
                            "type": "array",
                            "items": {
                                "type": "object",
                                "required": ["result", "quote"],
                                "properties": {
                                    "result": {"type": "string", "description": "such as E4"},
                                    "quote": {"type": "string", "description": "copied from it, short"},
                                },
                            },
                        },
                        "confidence": {"type": "string", "enum": ["low", "medium", "high"]},
                    },
                },
            },
            "missing": _TEXTS | {"description": "what could not be read"},
            "next_steps": _TEXTS,
        },
    },
)

WELL = frozenset({ClusterStatus.HEALTHY, ClusterStatus.RECOVERED})
"""Answers that nothing is wrong."""

_STATUSES = {each.value: each for each in ClusterStatus}
_CAUSES = {each.value: each for each in Cause}
_CONFIDENCES: Mapping[str, Literal["low", "medium", "high"]] = {
    "low": "low",
    "medium": "medium",
    "high": "high",
}


@dataclass(frozen=True, slots=True)
class ReadReport:
    """A report as the model wrote it, as far as it was understood.

    Attributes
    ----------
    problems
        What the model has to correct; empty where everything was understood.
    """

    report: Report
    problems: tuple[str, ...]


def read_report(
    arguments: Mapping[str, object], results: Mapping[str, KeptResult], *, bound: Bound | None
) -> ReadReport:
    """Return the report in the arguments of a call, with each quote looked up in the result that it names."""
    problems: list[str] = []
    status = _STATUSES.get(_word(arguments.get("status")))
    if status is None:
        problems.append(f"status must be one of {', '.join(_STATUSES)}")
    listed = [*_list_of(arguments.get("findings"))][:MOST_FINDINGS]
    findings = [_finding(each, number, results, problems) for number, each in enumerate(listed, 1)]
    kept = tuple(each for each in findings if each is not None)
    if status is None:
        status = ClusterStatus.UNHEALTHY if kept else ClusterStatus.UNDETERMINED
    if status is ClusterStatus.UNHEALTHY and not kept:
        problems.append("unhealthy needs at least one finding; where none is certain, say undetermined")
    if status in WELL and kept:
        problems.append(f"{status} has no findings: a cause that still is one makes it unhealthy")
    report = Report(
        status=status,
        summary=_text(arguments.get("summary"), LONGEST_TEXT_CHARS),
        findings=kept,
        missing=tuple(_lines(arguments.get("missing"))),
        next_steps=tuple(_lines(arguments.get("next_steps"))),
        bound=None if bound is None else bound.value,
    )
    return ReadReport(report, tuple(problems))


def as_far_as_read(report: Report, *, has_read: bool) -> Report:
    """Return the report; undetermined where the model calls the cluster well and has not looked to the end.

    Parameters
    ----------
    has_read
        Whether anything of the cluster was read.
    """
    if report.status not in WELL or (has_read and report.bound is None):
        return report
    why = "the investigation was ended early" if has_read else "it had read nothing of the cluster"
    sentence = f"The model said {report.status.value}, but {why}."
    return replace(
        report,
        status=ClusterStatus.UNDETERMINED,
        summary=f"{sentence} {report.summary}".strip(),
        bound=report.bound or Bound.NOTHING_READ.value,
    )


def unproven(report: Report, results: Mapping[str, KeptResult]) -> tuple[str, ...]:
    """Return what is wrong with the evidence of each finding that has none; empty where all have some."""
    wrong: list[str] = []
    for number, finding in enumerate(report.findings, 1):
        if finding.is_supported:
            continue
        if not finding.evidence:
            wrong.append(f"finding {number} ({finding.cause}) has no quote")
        for each in finding.evidence:
            elsewhere = [key for key, result in results.items() if stands_in(each.quote, result.text)]
            hint = f"; it stands in {elsewhere[0]}" if elsewhere else ""
            wrong.append(
                f"finding {number} ({finding.cause}): {each.quote!r} is not in {each.result_id}{hint}"
            )
    return tuple(wrong)


def _finding(
    value: object, number: int, results: Mapping[str, KeptResult], problems: list[str]
) -> Finding | None:
    if not isinstance(value, dict):
        problems.append(f"finding {number} must be an object")
        return None
    word = _word(value.get("cause"))
    because = _text(value.get("because"), LONGEST_TEXT_CHARS)
    cause = _CAUSES.get(word)
    if cause is None:
        near = difflib.get_close_matches(word, _CAUSES, n=3, cutoff=0.5)
        meant = f"; near it are {', '.join(near)}" if near else ""
        problems.append(f"finding {number}: cause {word!r} is not on the list{meant}; otherwise use other")
        cause, because = Cause.OTHER, f"{word}: {because}" if word else because
    entities = tuple(_entity(each) for each in _lines(value.get("entities"))[:MOST_ENTITIES])
    if not entities:
        problems.append(f"finding {number} names no entity")
    elif wrong := [each for each in entities if each.count("/") != 2]:  # noqa: PLR2004  # kind, namespace, name
        problems.append(f"finding {number}: {wrong[0]!r} is not Kind/namespace/name")
    return Finding(
        cause=cause,
        entities=entities,
        because=because,
        confidence=_CONFIDENCES.get(_word(value.get("confidence")), "low"),
        evidence=tuple(_evidence(each, results) for each in _list_of(value.get("evidence"))[:MOST_QUOTES]),
    )


def _evidence(value: object, results: Mapping[str, KeptResult]) -> Evidence:
    members = value if isinstance(value, dict) else {"quote": value}
    result_id = result_id_in(_text(members.get("result"), LONGEST_QUOTE_CHARS))
    quote = _text(members.get("quote"), LONGEST_QUOTE_CHARS)
    result = results.get(result_id)
    return Evidence(result_id, quote, result is not None and stands_in(quote, result.text))


def _entity(text: str) -> str:
    """Return an entity with empty namespace where it has none, such as `Node/node-a`."""
    parts = [part.strip() for part in text.strip().strip("/").split("/")]
    return f"{parts[0]}//{parts[1]}" if len(parts) == 2 else "/".join(parts)  # noqa: PLR2004  # kind, name


def _word(value: object) -> str:
    return _text(value, LONGEST_QUOTE_CHARS).casefold().replace("-", "_").replace(" ", "_")


def _text(value: object, most_chars: int) -> str:
    """Return a value as text."""
    if isinstance(value, str):
        return value.strip()[:most_chars]
    return "" if value is None else json.dumps(value, ensure_ascii=False)[:most_chars]


def _list_of(value: object) -> Sequence[object]:
    """Return a list, also of one that came as JSON text or alone."""
    if isinstance(value, str):
        with suppress(ValueError):
            value = json.loads(value) if value.strip()[:1] in ("[", "{") else value
    if isinstance(value, list):
        return value
    return [] if value in (None, "") else [value]


def _lines(value: object) -> list[str]:
    texts = (_text(each, LONGEST_TEXT_CHARS) for each in _list_of(value))
    return [text for text in texts if text][:MOST_LINES]
