"""The types of the client's documents, printed by `PYTHONPATH=shared:functions python -m tests.client_documents`.

datamodel-code-generator makes them of the OpenAPI document. It needs `requirements/openapi.txt` (`make setup`).
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.conformance.contract import DOCUMENT

ROOT = Path(__file__).parents[1]
FILE = ROOT / "clients" / "python" / "rune_client" / "documents.py"
GENERATOR = ROOT / ".local" / "venvs" / "openapi" / "bin" / "datamodel-codegen"
HEAD = '"""The documents of RUNE, printed from its OpenAPI document. Answers may have members that are not here."""'


def describe() -> str:
    """Return the module of today."""
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder) / "openapi.json", Path(folder) / "documents.py"
        source.write_text(json.dumps(DOCUMENT))
        subprocess.run(  # noqa: S603  # ours
            [
                *(str(GENERATOR), "--input", str(source), "--input-file-type", "openapi"),
                *("--output", str(made), "--output-model-type", "typing.TypedDict"),
                *("--target-python-version", "3.13", "--use-schema-description", "--use-double-quotes"),
                *("--disable-timestamp", "--formatters", "builtin", "--custom-file-header", HEAD),
            ],
            check=True,
        )
        return _formatted(_simplified(made.read_text()))


def _simplified(module: str) -> str:
    """Return the module for the standard library's TypedDict, which cannot say that a request is closed."""
    module = module.replace(", closed=True", "")
    module = module.replace("from typing_extensions import TypedDict\n", "from typing import TypedDict\n")
    return re.sub(r'"""\n\s+([^\n]+)\n\s+"""', r'"""\1"""', module)


def _formatted(module: str) -> str:
    """Return the module as `ruff` wants it."""
    name = ["--stdin-filename", str(FILE), "-"]
    for command in (["check", "--quiet", "--fix", "--select", "I,F401"], ["format", "--quiet"]):
        done = subprocess.run(  # noqa: S603  # ours
            [sys.executable, "-m", "ruff", *command, *name],
            input=module,
            capture_output=True,
            text=True,
            check=True,
        )
        module = done.stdout
    return module


if __name__ == "__main__":
    FILE.write_text(describe())
