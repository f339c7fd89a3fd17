"""Settings that all tests share."""

import os

import pytest
from hypothesis import settings

# The same examples in every run: a red build shows its cause again. To look for new ones:
# pytest --hypothesis-profile=explore
settings.register_profile("same", derandomize=True, deadline=None, database=None)
settings.register_profile("explore", deadline=None, max_examples=2000, print_blob=True)
settings.load_profile("same")

# They need what `make test-real` builds, and it names.
collect_ignore = [] if "RUNE_LLAMA_SERVER" in os.environ else ["real"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures that tests recorded, whether they passed or not."""
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, text in report.user_properties:
                if name == "figures" and report.when == "call":
                    terminalreporter.write_line(f"\n{text}")
