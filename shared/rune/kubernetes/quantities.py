"""Quantities and ages in the words of Kubernetes."""

import re
from datetime import UTC, datetime
from decimal import Decimal

# https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
_QUANTITY = re.compile(
    r"([+-]?[0-9]{1,30}(?:\.[0-9]{0,30})?|[+-]?\.[0-9]{1,30})([eE][+-]?[0-9]{1,2}|[numkMGTPE]|[KMGTPE]i)?"
)
_FACTORS = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def read_quantity(value: object) -> Decimal | None:
    """Return a quantity such as `250m` or `64Mi` as a number; None for anything else."""
    match = _QUANTITY.fullmatch(str(value).strip()) if isinstance(value, str | int | float) else None
    if match is None:
        return None
    number, suffix = Decimal(match[1]), match[2] or ""
    if suffix[:1] in {"e", "E"} and len(suffix) > 1 and suffix != "Ei":
        return number.scaleb(int(suffix[1:]))
    return number * _FACTORS.get(suffix, Decimal(1))


def show_cpu(cores: Decimal | None) -> str:
    """Return cores as `250m`; `-` for none."""
    return "-" if cores is None else f"{round(cores * 1000)}m"


def show_memory(bytes_count: Decimal | None) -> str:
    """Return bytes as `64Mi`; `-` for none."""
    return "-" if bytes_count is None else f"{round(bytes_count / 2**20)}Mi"


def read_time(value: object) -> datetime | None:
    """Return an instant of the API, aware; None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        return None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def show_age(since: datetime | None, now: datetime) -> str:
    """Return how long ago something was, in at most two units, as kubectl does: `45s`, `12m`, `3h20m`, `2d4h`."""
    if since is None:
        return "?"
    seconds = max(0, int((now - since).total_seconds()))
    if seconds < 2 * _MINUTE:
        return f"{seconds}s"
    if seconds < 3 * _HOUR:
        return f"{seconds // _MINUTE}m"
    if seconds < 2 * _DAY:
        hours, minutes = divmod(seconds // _MINUTE, 60)
        return f"{hours}h{minutes}m" if minutes else f"{hours}h"
    days, hours = divmod(seconds // _HOUR, 24)
    return f"{days}d{hours}h" if hours and days < 8 else f"{days}d"  # noqa: PLR2004  # as kubectl
