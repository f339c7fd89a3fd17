"""Options that several commands have, each described once, and what they become in a request's body."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml  # type: ignore[import-untyped]  # it has no types

from rune_client.cli.outcomes import UsageRefusedError

MONEY = "Money"
SERVER = "Model server"
MACHINE = "Rented machine"
WORKLOAD = "Workload"
WAITING = "Waiting"
NAMES = "Names and times"

# ------------------------------------------------------------------------------------------ money and waiting

Yes = Annotated[
    bool,
    typer.Option("--yes", "-y", envvar="RUNE_YES", help="Spend without a question.", rich_help_panel=MONEY),
]
MaxCost = Annotated[
    float | None,
    typer.Option(
        "--max-cost", metavar="USD", help="What it may cost; there it stops.", rich_help_panel=MONEY
    ),
]
Plan = Annotated[
    bool, typer.Option("--plan", help="Show what it would cost, and send nothing.", rich_help_panel=MONEY)
]
New = Annotated[
    bool,
    typer.Option(
        "--new",
        help="Start another job, also where an earlier call of this command did not see its job's end.",
        rich_help_panel=MONEY,
    ),
]
IdempotencyKey = Annotated[
    str | None,
    typer.Option(
        "--idempotency-key",
        envvar="RUNE_IDEMPOTENCY_KEY",
        help="Your own name for the request: the same request under it is the same job.",
        rich_help_panel=MONEY,
    ),
]
Detach = Annotated[
    bool, typer.Option("--detach", help="Print the job's id and do not wait.", rich_help_panel=WAITING)
]
Wait = Annotated[
    float | None,
    typer.Option(
        "--wait",
        metavar="SECONDS",
        min=0,
        help="Longest time to wait for the end (exit code 7; the job goes on).",
        rich_help_panel=WAITING,
    ),
]

# ------------------------------------------------------------------------------------------ what a job asks for

File = Annotated[
    Path | None,
    typer.Option("--file", "-f", help="The request's body as JSON or YAML, - for stdin. Options change it."),
]
Question = Annotated[
    str | None, typer.Option("--question", "-q", envvar="RUNE_QUESTION", help="What to ask.")
]
Model = Annotated[str | None, typer.Option("--model", "-m", envvar="RUNE_MODEL", help="Name of the model.")]
BackendUrl = Annotated[
    str | None,
    typer.Option(envvar="RUNE_BACKEND_URL", help="A model server that runs already.", rich_help_panel=SERVER),
]
BackendType = Annotated[
    str | None,
    typer.Option(envvar="RUNE_BACKEND_TYPE", help="ollama, openai or bedrock.", rich_help_panel=SERVER),
]
BackendCredential = Annotated[
    str | None,
    typer.Option(help="Name of your tenant's credential for that server.", rich_help_panel=SERVER),
]
Warmup = Annotated[
    bool | None,
    typer.Option(
        "--backend-warmup/--no-backend-warmup",
        envvar="RUNE_BACKEND_WARMUP",
        help="Load the model before it is asked; on by default.",
        rich_help_panel=SERVER,
    ),
]
WarmupTimeout = Annotated[
    int | None,
    typer.Option(
        "--backend-warmup-timeout",
        metavar="SECONDS",
        min=1,
        help="Longest time for it.",
        rich_help_panel=SERVER,
    ),
]
Vastai = Annotated[
    bool, typer.Option("--vastai", envvar="RUNE_VASTAI", help="Rent a machine.", rich_help_panel=MACHINE)
]
MaxDph = Annotated[
    float | None, typer.Option(metavar="USD", help="Dearest machine, by the hour.", rich_help_panel=MACHINE)
]
MinDph = Annotated[
    float | None, typer.Option(metavar="USD", help="Cheapest machine, by the hour.", rich_help_panel=MACHINE)
]
Reliability = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Least reliability of its host, 0 to 1.", rich_help_panel=MACHINE),
]
MinVram = Annotated[
    int | None,
    typer.Option("--min-vram-mb", metavar="MB", help="GPU memory that it needs.", rich_help_panel=MACHINE),
]
Keep = Annotated[
    int | None,
    typer.Option(
        "--keep-seconds",
        metavar="SECONDS",
        help="Keep the machine afterwards. It costs on.",
        rich_help_panel=MACHINE,
    ),
]
Name = Annotated[str | None, typer.Option(help="Your name for the job.", rich_help_panel=NAMES)]
Metadata = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY=VALUE", help="Your own texts; may be repeated.", rich_help_panel=NAMES),
]
MaxRuntime = Annotated[
    int | None,
    typer.Option(
        "--max-runtime-seconds",
        metavar="SECONDS",
        help="Longest time that it may run.",
        rich_help_panel=NAMES,
    ),
]
QueueTimeout = Annotated[
    int | None,
    typer.Option(
        "--queue-timeout-seconds", metavar="SECONDS", help="Longest time in the queue.", rich_help_panel=NAMES
    ),
]
AnswerTimeout = Annotated[
    int | None,
    typer.Option(
        "--timeout-seconds", metavar="SECONDS", help="Longest time for an answer.", rich_help_panel=NAMES
    ),
]


def read_file(path: Path | None) -> dict[str, Any]:
    """Return the object in a file of JSON or YAML; an empty one without a file.

    Raises
    ------
    UsageRefusedError
        It cannot be read, or holds no object.
    """
    if path is None:
        return {}
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text()
        # JSON is YAML, but for a few texts that YAML takes for times.
        found = json.loads(text) if text.lstrip().startswith("{") else yaml.safe_load(text)
    except OSError as error:
        raise UsageRefusedError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, yaml.YAMLError) as error:
        raise UsageRefusedError(f"{path} is neither JSON nor YAML: {error}") from error
    if not isinstance(found, dict):
        raise UsageRefusedError(f"{path} holds no object with a request's fields.")
    return found


def pairs(texts: Sequence[str] | None, option: str) -> dict[str, str] | None:
    """Return `key=value` texts as an object; None where there are none."""
    if not texts:
        return None
    found = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator:
            raise UsageRefusedError(f"{option} is KEY=VALUE: '{text}' has no '='.")
        found[key] = value
    return found


def numbers(text: str | None, option: str) -> list[float | int] | None:
    """Return `1,4,16` as numbers; None where nothing is given."""
    if text is None:
        return None
    try:
        return [int(part) if part.strip().isdigit() else float(part) for part in text.split(",")]
    except ValueError:
        raise UsageRefusedError(f"{option} is numbers with commas between them, not '{text}'.") from None


def limits(text: str | None, option: str) -> dict[str, float | int] | None:
    """Return `ttft_ms=500,tpot_ms=50` as an object of numbers; None where nothing is given."""
    given = pairs(None if text is None else text.split(","), option)
    if given is None:
        return None
    return {name: (numbers(value, option) or [0])[0] for name, value in given.items()}


def changed(body: Mapping[str, Any], **given: object) -> dict[str, Any]:
    """Return a body with the options that were given; None is an option that was not."""
    return {**body, **{name: value for name, value in given.items() if value is not None}}
