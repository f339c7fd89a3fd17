from pathlib import Path

import pytest

from tests.functional.bench.truth import heading

HERE = Path(__file__).parent


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the truth beside what was measured."""
    folder = HERE.relative_to(HERE.parents[2]).as_posix() + "/"
    lines = [
        str(figures)
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        if report.nodeid.startswith(folder) and report.when == "call"
        for name, figures in report.user_properties
        if name == "truth"
    ]
    if lines:
        terminalreporter.write_line("\n".join(["", heading(), *lines]))
