"""What `make coverage` prints: lines and branches of the product that tests reach, by room."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

ROOTS = (PurePosixPath("shared/rune"), PurePosixPath("functions"))
TOTAL = "total"


@dataclass(slots=True)
class Reached:
    """Counts of one room, or of all."""

    lines: int = 0
    lines_reached: int = 0
    branches: int = 0
    branches_reached: int = 0

    def add(self, summary: Mapping[str, int]) -> None:
        """Add one file, as coverage.py's JSON report sums it up."""
        self.lines += summary["num_statements"]
        self.lines_reached += summary["covered_lines"]
        self.branches += summary["num_branches"]
        self.branches_reached += summary["covered_branches"]


def room_of(path: str) -> str:
    """Return a file's room: its folder below the root, or the root for files that lie there."""
    for root in ROOTS:
        if PurePosixPath(path).is_relative_to(root):
            inside = PurePosixPath(path).relative_to(root).parts
            return str(root / inside[0]) if len(inside) > 1 else str(root)
    raise ValueError(f"{path} is not product code")


def sum_rooms(files: Mapping[str, Mapping[str, Any]]) -> dict[str, Reached]:
    """Return the counts by room, in the order of their names, and last those of all rooms together."""
    rooms: dict[str, Reached] = defaultdict(Reached)
    total = Reached()
    for path, file in files.items():
        rooms[room_of(path)].add(file["summary"])
        total.add(file["summary"])
    return {**dict(sorted(rooms.items())), TOTAL: total}


def percent(reached: int, count: int) -> str:
    """Return a share with one decimal, rounded down: 100.0 means every one."""
    return "" if count == 0 else f"{reached * 1000 // count / 10:.1f} %"


def table(rooms: Mapping[str, Reached]) -> Iterable[str]:
    """Yield the lines of the table."""
    yield f"{'room':<26}{'lines':>7}{'reached':>10}{'branches':>10}{'reached':>10}"
    for room, counts in rooms.items():
        lines = percent(counts.lines_reached, counts.lines)
        branches = percent(counts.branches_reached, counts.branches)
        yield f"{room:<26}{counts.lines:>7}{lines:>10}{counts.branches:>10}{branches:>10}"


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in table(sum_rooms(json.load(sys.stdin)["files"])))
