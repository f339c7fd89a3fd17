"""Settings that all tests share."""

import gc
import os
from collections import Counter, defaultdict
from collections.abc import Mapping

import pytest
from hypothesis import settings

# The same examples in every run: a red build shows its cause again. To look for new ones:
# pytest --hypothesis-profile=explore
settings.register_profile("same", derandomize=True, deadline=None, database=None)
settings.register_profile("explore", deadline=None, max_examples=2000, print_blob=True)
settings.load_profile("same")

# These tests need a llama.cpp server, which `make test-real` builds and names.
collect_ignore = [] if "RUNE_LLAMA_SERVER" in os.environ else ["real"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the conformance tests first, so that processes that share the tests never divide them.

    Their last one looks at what all of them have seen.
    """
    items.sort(key=lambda item: item.path.parent.name != "conformance")


def pytest_collection_finish() -> None:
    """Take all tests and what they import out of the garbage collector's sight, to the end.

    A whole collection looks at all of them, which takes up to half a second, and every measured point makes one. So
    a measurement, which unfreezes what it froze, does not do that here.
    """
    gc.collect()
    gc.freeze()
    gc.unfreeze = lambda: None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures that tests recorded; counts are summed over the cases of a test."""
    totals: dict[str, Counter[str]] = defaultdict(Counter)
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, figures in report.user_properties:
                if name != "figures" or report.when != "call":
                    continue
                if isinstance(figures, Mapping):
                    totals[report.nodeid.partition("[")[0].rpartition("::")[2]].update(figures)
                else:
                    terminalreporter.write_line(f"\n{figures}")
    for test, counts in totals.items():
        told = ", ".join(f"{name} {count:,.6g}" for name, count in counts.items())
        terminalreporter.write_line(f"\n{test}: {told}")
