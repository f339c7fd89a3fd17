"""A chat as an investigator sees it, whatever wire it came over, and what it answers."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

REPORT = "report_findings"

_FENCED = re.compile(r"<<(\S+)\n(.*)\n\1>>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a tool.

    Attributes
    ----------
    broken
        Arguments as text that is no JSON, which are sent instead.
    """

    name: str
    arguments: Mapping[str, object] = field(default_factory=dict)
    broken: str | None = None

    @property
    def text(self) -> str:
        """The arguments as text."""
        return self.broken if self.broken is not None else json.dumps(dict(self.arguments))

    @property
    def whole_text(self) -> str:
        """The call as a model writes it that does not know how to call."""
        return f'{{"name": "{self.name}", "arguments": {self.text}}}'


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a chat."""

    role: str
    text: str
    calls: tuple[Call, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """What an investigator answers: text, calls, both, or nothing."""

    text: str = ""
    calls: tuple[Call, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """What a tool returned.

    Attributes
    ----------
    header
        Its first line; empty where that is no JSON.
    """

    id: str
    header: Mapping[str, object]
    body: str


@dataclass(frozen=True)
class Conversation:
    """A chat so far.

    Attributes
    ----------
    tools
        Names of the tools that may be called now.
    """

    messages: Sequence[Message]
    tools: Sequence[str]

    @property
    def can_read(self) -> bool:
        """Whether any tool but the report is there."""
        return any(name != REPORT for name in self.tools)

    @cached_property
    def results(self) -> tuple[Result, ...]:
        """What the tools have returned, each once, in order."""
        found: dict[str, Result] = {}
        for message in self.messages:
            if message.role != "tool":
                continue
            for match in _FENCED.finditer(message.text):
                result = _read_result(match[2])
                if result is not None:
                    found.setdefault(result.id, result)
        return tuple(found.values())

    @cached_property
    def made(self) -> tuple[Call, ...]:
        """All calls so far."""
        return tuple(call for message in self.messages for call in message.calls)

    def has_made(self, call: Call) -> bool:
        """Return whether a call was made before."""
        return any(
            (each.name, dict(each.arguments)) == (call.name, dict(call.arguments)) for each in self.made
        )


def report(
    status: str, summary: str, findings: Sequence[Mapping[str, object]] = (), missing: Sequence[str] = ()
) -> Decision:
    """Return the call that ends an investigation."""
    arguments = {
        "status": status,
        "summary": summary,
        "findings": [dict(each) for each in findings],
        "missing": [*missing],
    }
    return Decision(calls=(Call(REPORT, arguments),))


def _read_result(text: str) -> Result | None:
    head, _, body = text.partition("\n")
    try:
        header = json.loads(head)
    except ValueError:
        return None
    if not isinstance(header, dict) or not isinstance(header.get("id"), str):
        return None
    return Result(header["id"], header, body)
