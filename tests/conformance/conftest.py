"""Prints what tests here counted, below the summary of the run."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures that tests of this folder recorded, whether they passed or not."""
    folder = Path(__file__).parent.name
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    for report in reports:
        if f"tests/{folder}/" in report.nodeid:
            for name, text in report.user_properties:
                if name == "figures":
                    terminalreporter.write_line(f"\n{text}")
