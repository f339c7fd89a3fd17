"""Log lines as JSON objects with known fields only.

An allow-list, because secrets and prompts cannot be recognised by their form: only the fields named here are
logged. For the same reason an exception is logged by its type and its frames, without its message.
"""

import json
import logging
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

FIELDS = (
    "action",
    "actor",
    "admitted",
    "attempts",
    "charged",
    "code",
    "destroyed",
    "ended",
    "endpoint",
    "endpoints",
    "epoch",
    "failed",
    "fired",
    "freed",
    "invocation_id",
    "job_id",
    "lane",
    "left",
    "lost",
    "message_id",
    "method",
    "notice",
    "notices",
    "outcome",
    "part",
    "place",
    "proven",
    "reason",
    "rental_id",
    "request_id",
    "route",
    "schedule_id",
    "sent",
    "seq",
    "sequence",
    "sink",
    "status",
    "step",
    "subject",
    "tenant",
    "token_name",
    "way",
    "webhook_id",
)

_about: ContextVar[Mapping[str, object]] = ContextVar("about")


NAMESPACE = "RUNE"
"""Namespace of the metrics in log lines; alarms in the template refer to it."""

ROWS_NOT_UNDERSTOOD_METRIC = "RowsNotUnderstood"
"""Counts rows and documents that this version does not understand; an alarm rings for it (template.yaml)."""

OWN = ("rune", "api", "worker", "janitor", "notifier", "trigger")
"""Loggers whose messages are stable names."""


@contextmanager
def about(**fields: object) -> Iterator[None]:
    """Let all lines that are written meanwhile, also by tasks that are begun meanwhile, carry these fields.

    What a line says itself counts more. Threads that are started meanwhile know nothing of it.
    """
    token = _about.set({**_about.get({}), **fields})
    try:
        yield
    finally:
        _about.reset(token)


def request_id() -> str | None:
    """Return the id that the lines of this request carry; None outside of one."""
    found = _about.get({}).get("request_id")
    return found if isinstance(found, str) else None


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object; the message is a stable dotted name, such as "turn.committed".

    A record with `metric` counts once for that metric; one with `measured` has values of metrics by their names.

    Parameters
    ----------
    function
        Name of the Lambda function: the dimension of the metrics in its lines.
    """

    def __init__(self, function: str = "") -> None:
        super().__init__()
        self._function = function

    def format(self, record: logging.LogRecord) -> str:
        """Return the line for a record."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            # A library's message is free text, and may repeat its input.
            "event": record.getMessage() if _is_own(record) else f"library.{record.name}",
        }
        known = {**_about.get({}), **vars(record)}
        line.update({name: known[name] for name in FIELDS if name in known})
        measured = {**getattr(record, "measured", {})}
        if metric := getattr(record, "metric", None):
            measured[metric] = 1
        if measured:
            line.update(_as_metrics(measured, self._function, record.created))
        if record.exc_info and record.exc_info[1]:
            line["exception"] = _chain(record.exc_info[1])
        return json.dumps(line, default=str)


def _as_metrics(measured: Mapping[str, float], function: str, created_seconds: float) -> dict[str, object]:
    """Return the members that make CloudWatch take the line's values into metrics.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """
    definition = {
        "Namespace": NAMESPACE,
        "Dimensions": [["FunctionName"]],
        "Metrics": [
            {"Name": name, "Unit": "Count" if isinstance(value, int) else "None"}
            for name, value in measured.items()
        ],
    }
    return {
        "_aws": {"Timestamp": round(created_seconds * 1000), "CloudWatchMetrics": [definition]},
        "FunctionName": function,
        **measured,
    }


def configure(function: str = "") -> None:
    """Make every logger of the function write such lines; called once at start."""
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(logging.StreamHandler())
    for handler in root.handlers:
        handler.setFormatter(JsonFormatter(function))
    # At INFO httpx logs every URL with its query, and botocore every source of credentials.
    root.setLevel(logging.WARNING)
    for own in OWN:
        logging.getLogger(own).setLevel(logging.INFO)


def _is_own(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] in OWN


def _chain(error: BaseException) -> list[dict[str, object]]:
    """Return the exception and what caused it, outermost first."""
    chain: list[dict[str, object]] = []
    current: BaseException | None = error
    while current is not None and len(chain) < 5:  # noqa: PLR2004  # a circle of causes must end
        frames = traceback.extract_tb(current.__traceback__)[-6:]
        places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        chain.append({"type": type(current).__qualname__, "frames": places})
        current = current.__cause__ or current.__context__
    return chain
