"""A Chromium, as Debian has it, that is run once and ends."""

from __future__ import annotations

import shutil
import subprocess
from tempfile import TemporaryDirectory

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run")

_LIMIT_SECONDS = 120


def run_browser(*arguments: str) -> str:
    """Return what a browser of its own writes to its output, with its log after it."""
    assert CHROMIUM
    with TemporaryDirectory() as profile:
        command = [CHROMIUM, *OPTIONS, f"--user-data-dir={profile}", *arguments]
        done = subprocess.run(  # noqa: S603  # ours
            command, capture_output=True, text=True, timeout=_LIMIT_SECONDS, check=True
        )
    return done.stdout + done.stderr
