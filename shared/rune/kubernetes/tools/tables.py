"""The server's tables as text, and which of their rows show a problem."""

import re
from collections.abc import Mapping, Sequence

from rune.kubernetes.masking import shorten
from rune.kubernetes.tools.reader import Listing, row_name, row_namespace
from rune.llm.fields import as_list, as_object, read_text

_RATIO = re.compile(r"([0-9]+)/([0-9]+)")
_RESTARTS = re.compile(r"([0-9]+)\b")
_FINE = frozenset(
    {
        "running",
        "completed",
        "succeeded",
        "active",
        "bound",
        "ready",
        "available",
        "complete",
        "true",
        "",
        "-",
    }
)
_DONE = frozenset({"completed", "succeeded", "complete"})
_MAX_CELL_CHARS = 300
_ENDS = frozenset({"status", "phase"})


def header_of(listing: Listing, *, with_namespace: bool) -> str:
    """Return the line of column names."""
    names = [read_text(column, "name").upper() for column in _columns(listing)] or ["NAME"]
    return "  ".join(["NAMESPACE", *names] if with_namespace else names)


def line_of(listing: Listing, row: Mapping[str, object], *, with_namespace: bool) -> str:
    """Return a row's cells; an object's name where the server knows no tables."""
    cells = [_cell(each) for each in shown_cells(listing, row)] or [row_name(row)]
    return "  ".join([row_namespace(row) or "-", *cells] if with_namespace else cells)


def shown_cells(listing: Listing, row: Mapping[str, object]) -> Sequence[object]:
    """Return the cells of the columns that kubectl shows without `-o wide`."""
    cells = as_list(row.get("cells"))
    return [cell for cell, column in zip(cells, listing.columns, strict=False) if not column.get("priority")]


def cells_by_name(listing: Listing, row: Mapping[str, object]) -> Mapping[str, str]:
    """Return all cells by the lower-case name of their column."""
    cells = as_list(row.get("cells"))
    return {
        read_text(column, "name").lower(): _cell(cell)
        for cell, column in zip(cells, listing.columns, strict=False)
    }


def has_problem(cells: Mapping[str, str]) -> bool:
    """Return whether a row, by its columns' names, shows something that may be an illness, or a past one."""
    status = next((cells[name].lower() for name in cells if name in _ENDS), "")
    if status not in _FINE:
        return True
    if _restarts(cells) > 0:
        return True
    if status in _DONE:
        return False
    return _is_incomplete(cells) or any("<unknown>" in cell or cell == "False" for cell in cells.values())


def _is_incomplete(cells: Mapping[str, str]) -> bool:
    """Return whether fewer are ready, done or new than are wanted."""
    for name in ("ready", "completions"):
        if (ratio := _RATIO.fullmatch(cells.get(name, ""))) and int(ratio[1]) < int(ratio[2]):
            return True
    # Of a Deployment whose rollout stands still: the old pods are ready, and the new ones are too few.
    new, ratio = cells.get("up-to-date", ""), _RATIO.fullmatch(cells.get("ready", ""))
    if ratio and new.isdigit() and int(new) < int(ratio[2]):
        return True
    desired = cells.get("desired", "")
    return desired.isdigit() and any(cells.get(name, desired) != desired for name in ("ready", "up-to-date"))


def _restarts(cells: Mapping[str, str]) -> int:
    match = _RESTARTS.match(cells.get("restarts", ""))
    return int(match[1]) if match else 0


def _columns(listing: Listing) -> Sequence[Mapping[str, object]]:
    return [column for column in listing.columns if not as_object(column).get("priority")]


def _cell(value: object) -> str:
    text = "<none>" if value is None else " ".join(str(value).split())
    # The whole result is masked again; most cells are short, and there may be thousands.
    return text if len(text) <= _MAX_CELL_CHARS else shorten(text, _MAX_CELL_CHARS)
