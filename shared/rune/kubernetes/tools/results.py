"""How a result is written: one line of JSON that tells what it is, then text that fits.

The text is masked whole, then cut. So a secret cannot hide at the edge, and a quote of the result is what the model
has seen.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from difflib import get_close_matches
from enum import Enum, auto

from rune.kubernetes.masking import mask_text
from rune.kubernetes.tools.errors import ToolError
from rune.kubernetes.tools.reader import UnknownNameError
from rune.llm.fields import mend_text
from rune.llm.toolbox import ToolResult

BUDGET_BYTES = 6 * 1024
"""What a result takes."""

HARD_BYTES = 8 * 1024
"""What it never passes, header included."""

_MAX_LINE_CHARS = 700
_MAX_SIMILAR = 5
_MAX_SCOPE_CHARS = 120
_MAX_ERROR_CHARS = 1500


class Keep(Enum):
    """Which lines stay where not all fit."""

    HEAD = auto()
    TAIL = auto()


@dataclass(slots=True)
class Text:
    """What a tool has read.

    Attributes
    ----------
    blocks
        Each with a title, which is never cut off, and lines; they share the room, in the order of their places.
    total
        What was there to show; None where it has no number.
    shown
        How many of it the lines show before they are cut; a line each, where `lines_are_items`.
    is_partial
        Whether more is there than was read.
    smaller
        Gives the lines in a form that fits so many bytes, by leaving out what is deepest.
    """

    scope: Mapping[str, object]
    blocks: list["Block"]
    total: int | None = None
    narrow_by: Sequence[str] = ()
    is_partial: bool = False
    notes: list[str] = field(default_factory=list)
    lines_are_items: bool = False
    smaller: Callable[[int], list[str]] | None = None


@dataclass(slots=True)
class Block:
    """Lines that are cut together."""

    lines: list[str]
    title: str = ""
    keep: Keep = Keep.HEAD


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes the results of one call.

    Attributes
    ----------
    secrets
        The job's own credentials.
    ignored
        Arguments that the tool does not have.
    """

    result_id: str
    as_of: datetime
    max_bytes: int
    secrets: Sequence[str] = ()
    ignored: Sequence[str] = ()

    def write(self, text: Text) -> ToolResult:
        """Return what was read."""
        blocks = [self._masked(block) for block in text.blocks]
        whole = sum(_size(block) for block in blocks)
        budget = max(256, min(BUDGET_BYTES, self.max_bytes) - len(self._header(text, 0, is_cut=True)))
        is_cut = whole > budget
        if is_cut and text.smaller is not None:
            smaller = Block(text.smaller(budget - sum(_size(block) for block in blocks[1:])), blocks[0].title)
            blocks[0] = self._masked(smaller)
        if is_cut:
            blocks = _fit(blocks, budget)
        kept = sum(len(block.lines) for block in blocks)
        dropped = sum(len(block.lines) for block in text.blocks) - kept
        shown = None if text.total is None else max(0, text.total - dropped)
        if text.lines_are_items:
            shown = kept
        header = self._header(text, shown, is_cut=is_cut or text.is_partial)
        return ToolResult(self.result_id, self._bounded("\n".join([header, *_lines(blocks)])))

    def write_error(self, error: ToolError, scope: Mapping[str, object]) -> ToolResult:
        """Return why nothing was read."""
        sentence = error.sentence
        if isinstance(error, UnknownNameError):
            near = similar_names(error.name, error.known)
            sentence += f" There are: {', '.join(near)}." if near else ""
        header: dict[str, object] = {"id": self.result_id, "error": error.code, "scope": _short(scope)}
        header |= {"ignored_arguments": list(self.ignored)} if self.ignored else {}
        header |= {"as_of": _instant(self.as_of)}
        text = mask_text(mend_text(sentence), self.secrets)[:_MAX_ERROR_CHARS]
        return ToolResult(
            self.result_id,
            self._bounded(f"{mask_text(_compact(header), self.secrets)}\n{text}"),
            is_error=True,
        )

    def _header(self, text: Text, shown: int | None, *, is_cut: bool) -> str:
        header: dict[str, object] = {"id": self.result_id, "scope": _short(text.scope)}
        if text.total is not None:
            header |= {"shown": shown, "total": text.total}
        header["truncated"] = is_cut
        if is_cut and text.narrow_by:
            header["narrow_by"] = list(text.narrow_by)
        if text.notes:
            header["notes"] = [note[:300] for note in text.notes[:4]]
        if self.ignored:
            header["ignored_arguments"] = list(self.ignored)
        header["as_of"] = _instant(self.as_of)
        return mask_text(mend_text(_compact(header)), self.secrets)

    def _masked(self, block: Block) -> Block:
        masked = mask_text(mend_text("\n".join(block.lines)), self.secrets)
        lines = masked.split("\n") if block.lines else []
        return Block([_short_line(line) for line in lines], mask_text(block.title, self.secrets), block.keep)

    def _bounded(self, text: str) -> str:
        limit = min(HARD_BYTES, self.max_bytes)
        return text.encode("utf-8", "replace")[:limit].decode("utf-8", "ignore")


def similar_names(name: str, known: Sequence[str]) -> tuple[str, ...]:
    """Return up to five known names that are nearest to one; the first ones where none is near."""
    by_lower = {each.lower(): each for each in known}
    asked = name.lower()
    near = [each for each in by_lower if asked and (asked in each or each in asked)]
    near += get_close_matches(asked, by_lower, n=_MAX_SIMILAR, cutoff=0.5)
    chosen = list(dict.fromkeys(near)) or sorted(by_lower)
    return tuple(by_lower[each] for each in chosen[:_MAX_SIMILAR])


def _fit(blocks: Sequence[Block], budget: int) -> list[Block]:
    """Return the blocks cut so that they fit together: what small ones leave is for the large ones."""
    left = budget - sum(len(block.title.encode()) + 1 for block in blocks if block.title)
    rooms: dict[int, int] = {}
    by_size = sorted(range(len(blocks)), key=lambda place: _size(blocks[place]))
    for count, place in enumerate(by_size):
        share = max(0, left) // (len(by_size) - count)
        rooms[place] = min(share, _size(Block(blocks[place].lines)))
        left -= rooms[place]
    return [_cut(block, rooms[place]) for place, block in enumerate(blocks)]


def _cut(block: Block, room: int) -> Block:
    kept: list[str] = []
    lines = block.lines if block.keep is Keep.HEAD else block.lines[::-1]
    for line in lines:
        room -= len(line.encode("utf-8", "replace")) + 1
        if room < 0:
            break
        kept.append(line)
    return Block(kept if block.keep is Keep.HEAD else kept[::-1], block.title, block.keep)


def _size(block: Block) -> int:
    return sum(len(line.encode("utf-8", "replace")) + 1 for line in _lines([block]))


def _lines(blocks: Sequence[Block]) -> list[str]:
    return [line for block in blocks for line in ([block.title] if block.title else []) + block.lines]


def _short_line(line: str) -> str:
    if len(line) <= _MAX_LINE_CHARS:
        return line
    half = _MAX_LINE_CHARS // 2
    return f"{line[:half]} […{len(line) - 2 * half} characters…] {line[-half:]}"


def _short(scope: Mapping[str, object]) -> dict[str, object]:
    return {
        key: value[:_MAX_SCOPE_CHARS] if isinstance(value, str) else value
        for key, value in scope.items()
        if value not in {None, ""}
    }


def _compact(header: Mapping[str, object]) -> str:
    return json.dumps(header, separators=(",", ":"), ensure_ascii=False)


def _instant(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")
