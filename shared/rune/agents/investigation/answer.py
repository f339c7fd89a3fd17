"""What an investigation found, for people and for programs."""

import json
import re
from collections.abc import Mapping

from rune.agents.investigation.readings import count_by_tool
from rune.agents.investigation.state import Counts, State
from rune.kubernetes.findings import Finding, Report

_IMAGE = re.compile(r"!\[[^\]]*\]\([^)]*\)|<img\b[^>]*>", re.IGNORECASE)
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_ADDRESS = re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s<>\"'`)]+", re.IGNORECASE)

_BOUNDS = {
    "turns": "it had taken all its turns",
    "tool_calls": "it had made as many calls as it may",
    "tokens": "its tokens were used up",
    "seconds": "its time was over",
    "dollars": "what was left of its money did not cover what another answer may cost",
    "nothing_read": "the model had read nothing",
    "repeated_calls": "it repeated its calls",
    "invalid_calls": "too many of its calls could not be understood",
    "no_report": "the model made no call",
    "cluster_lost": "the cluster stopped answering",
    "context": "the conversation did not fit the model's context",
}


def answer_text(report: Report) -> str:
    """Return the answer for people, as Markdown.

    The model's words have no images, links and addresses: what it read may have told it to write them.
    """
    parts = [f"**{report.status.value.capitalize()}.** {_plain(report.summary)}"]
    parts += [_finding(number, each) for number, each in enumerate(report.findings, 1)]
    for title, lines in (("Not known", report.missing), ("Next steps", report.next_steps)):
        if lines:
            parts.append("\n".join([f"{title}:", *(f"- {_plain(line)}" for line in lines)]))
    if report.bound is not None:
        parts.append(f"The investigation was ended early: {_BOUNDS[report.bound]}.")
    return "\n\n".join(parts)


def artifacts_of(report: Report) -> tuple[Mapping[str, str], ...]:
    """Return the findings for programs, each an artifact, after one with the whole as JSON."""
    told = {
        "status": report.status.value,
        "findings": [_as_json(each) for each in report.findings],
        "missing": [*report.missing],
        "next_steps": [*report.next_steps],
        "bound": report.bound,
    }
    return (
        {"type": "report", "content": json.dumps(told, ensure_ascii=False)},
        *(
            {
                "type": "finding",
                "cause": each.cause.value,
                "entities": ", ".join(each.entities),
                "because": _plain(each.because),
                "confidence": each.confidence,
                "support": "supported" if each.is_supported else "unsupported",
            }
            for each in report.findings
        ),
    )


def metadata_of(report: Report, state: State) -> dict[str, str]:
    """Return what the investigation took, by the names of counts; `bound` where one has ended it."""
    counts = state.counts
    told = {
        "status": report.status.value,
        "finding_count": str(len(report.findings)),
        "unsupported_count": str(sum(not each.is_supported for each in report.findings)),
        "turns": str(counts.turns),
        "tool_calls": str(counts.tool_calls),
        "repeated_calls": str(counts.repeated_calls),
        "invalid_calls": str(counts.invalid_calls),
        "text_calls": str(counts.text_calls),
        "tools_used": ", ".join(f"{name} {count}" for name, count in count_by_tool(state).items()),
        "token_count_source": "estimate" if counts.estimated_turns else "usage",
    }
    if state.temperature is not None:
        told["temperature"] = f"{state.temperature:g}"
    return told if report.bound is None else told | {"bound": report.bound}


def less(after: Counts, before: Counts) -> Counts:
    """Return what was used between two states."""
    return Counts(**{name: value - getattr(before, name) for name, value in after})


def _finding(number: int, finding: Finding) -> str:
    entities = ", ".join(f"`{each.replace('`', '')}`" for each in finding.entities)
    lines = [f"{number}. **{finding.cause.value}** at {entities} ({finding.confidence} confidence)"]
    lines.append(f"   {_plain(finding.because)}")
    for each in finding.evidence:
        found = "" if each.is_found else " (not found there)"
        lines.append(f"   - {each.result_id}: `{' '.join(each.quote.split()).replace('`', '')}`{found}")
    if not finding.is_supported:
        lines.append("   - Unsupported: nothing that was read proves it.")
    return "\n".join(lines)


def _as_json(finding: Finding) -> dict[str, object]:
    return {
        "cause": finding.cause.value,
        "entities": [*finding.entities],
        "because": finding.because,
        "confidence": finding.confidence,
        "is_supported": finding.is_supported,
        "evidence": [
            {"result": each.result_id, "quote": each.quote, "is_found": each.is_found}
            for each in finding.evidence
        ],
    }


def _plain(text: str) -> str:
    """Return a model's words without what a reader's program would fetch or link."""
    without = _LINK.sub(r"\1", _IMAGE.sub("", text))
    return _ADDRESS.sub("[address left out]", without)
