"""Logs of instances, which can be read some time after they were requested."""

import re
import shlex
from dataclasses import dataclass, field
from hashlib import sha256

from local.simulators.vastai.contracts import Contract

LOGS_PATH = "/instance_logs/"


@dataclass(slots=True)
class LogStore:
    """The requested logs, by name."""

    delay_seconds: float
    _logs: dict[str, tuple[float, str]] = field(default_factory=dict)

    def request(self, contract: Contract, tail_count: int, now: float) -> str:
        """Keep the latest lines, and return the path at which they will be readable."""
        lines = _lines_of(contract, now)[-tail_count:] if tail_count > 0 else []
        name = sha256(f"log {contract.contract_id} {now} {tail_count}".encode()).hexdigest()
        self._logs[name] = (now + self.delay_seconds, "".join(f"{line}\n" for line in lines))
        return f"{LOGS_PATH}{name}.log"

    def read(self, path: str, now: float) -> str | None:
        """Return a log; None while it is not readable."""
        name = path.removeprefix(LOGS_PATH).removesuffix(".log")
        available_at, text = self._logs.get(name, (now + 1, ""))
        return text if available_at <= now else None


def _lines_of(contract: Contract, now: float) -> list[str]:
    lines = []
    for moment in contract.moments:
        if moment.at > now:
            break
        lines.append(f"{moment.at:.3f} {moment.actual or 'scheduling'} {moment.text.strip()}".rstrip())
        if moment.is_up and contract.order.onstart == "/bin/sh":
            lines += _echoed_by(contract.order.args)
        if moment.is_up and contract.serves:
            lines.append(f"{moment.at:.3f} Listening on [::]:11434 (version 0.33.0)")
    return lines


def _echoed_by(args: tuple[str, ...]) -> list[str]:
    """Return what the lines `echo "..."` of a script write, those without variables."""
    found = [line for script in args for line in re.findall(r"^ *echo ([^$\n]*)$", script, re.MULTILINE)]
    return [" ".join(shlex.split(words)) for words in found]
