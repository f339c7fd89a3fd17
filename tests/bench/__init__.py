"""Measurements: ratios within one run, and counts. Never timed tests."""

import sys
from pathlib import Path

_ROOT = Path(__file__).parents[2]
# pytest has them from pyproject.toml; `python -m tests.bench` has nobody to tell it.
sys.path[:0] = [path for name in ("shared", "functions") if (path := str(_ROOT / name)) not in sys.path]
