"""What is made when a wheel is built: the outline of the commands, with which help and completion are quick."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CustomBuildHook(BuildHookInterface[Any]):
    """Adds `rune_client/cli/outline.json`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Make the file. One of an editable install would outlive a change of the commands."""
        if version == "editable":
            return
        sys.path.insert(0, self.root)
        from rune_client.cli.outline import FILE_NAME  # noqa: PLC0415  # the path is set above
        from rune_client.cli.outlining import make_outline  # noqa: PLC0415  # as above

        self._made = Path(mkdtemp()) / FILE_NAME
        self._made.write_text(json.dumps({"outline": make_outline()}), encoding="utf-8")
        build_data["force_include"][str(self._made)] = f"rune_client/cli/{FILE_NAME}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002  # hatch's
        """Remove it."""
        if version != "editable":
            self._made.unlink()
            self._made.parent.rmdir()
