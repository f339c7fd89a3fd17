"""The outline of the commands: what help and completion need of them, so that they do without Typer.

It is made from the commands themselves (`outlining.py`), and never written by hand. A wheel has it from its build.
From sources it is made when it is first needed, and kept in `$XDG_CACHE_HOME/rune` until a module here changes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from zlib import crc32

from rune_client.version import __version__

type Node = dict[str, Any]
"""A command: its `page` (pieces of help, in order), `short`, `options`, `arguments`, `is_hidden`, `commands`."""

_HERE = Path(__file__).parent
FILE_NAME = "outline.json"


def read_outline() -> Node:
    """Return the outline: the wheel's, the kept one, or else one that is made now and kept."""
    if (found := _read(_HERE / FILE_NAME)) is not None:
        return found["outline"]  # type: ignore[no-any-return]  # our own file
    path, state = kept_path(os.environ), _state_of_modules()
    found = _read(path)
    if found is not None and found.get("state") == state:
        return found["outline"]  # type: ignore[no-any-return]  # our own file
    from rune_client.cli.outlining import make_outline  # noqa: PLC0415  # loads all commands

    outline = make_outline()
    # Where nothing can be kept, it is made each time.
    with suppress(OSError):
        _keep(path, {"state": state, "outline": outline})
    return outline


def kept_path(environment: Mapping[str, str]) -> Path:
    """Return where the outline of these sources is kept."""
    given = environment.get("XDG_CACHE_HOME", "")
    base = (
        Path(given) if given.startswith("/") else Path(environment.get("HOME") or "/nonexistent") / ".cache"
    )
    return base / "rune" / f"outline-{crc32(str(_HERE).encode()):08x}.json"


def _state_of_modules() -> list[Any]:
    """Return what changes when a module of the command line does."""
    states = sorted((each.name, each.stat()) for each in os.scandir(_HERE) if each.name.endswith(".py"))
    return [__version__, str(_HERE), [[name, state.st_mtime_ns, state.st_size] for name, state in states]]


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("outline"), dict) else None


def _keep(path: Path, document: Mapping[str, Any]) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_text(json.dumps(document), encoding="utf-8")
    unfinished.replace(path)
