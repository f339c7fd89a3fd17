"""The prices in docs/triggers.md, by what each way calls."""

from __future__ import annotations

import re

import pytest

from local.settings import ROOT
from rune.services.intake.drops import MOST_LINES
from rune.services.intake.inbox import LINES_BETWEEN_ANSWERS
from tests.template import load_template

# Of a million, in USD: docs/triggers.md names them, with the date of the list in docs/deploy.md.
PUT, GET, EVENT, PUBLISH, TRANSITION, SQS, CALL = 5.00, 0.40, 1.00, 0.50, 25.00, 0.40, 0.20
USD_PER_GB_SECOND = 0.0000133334
MEMORY_GB: float = load_template()["Resources"]["TriggerFunction"]["Properties"]["MemorySize"] / 1024


def work(seconds: float) -> float:
    """Return the price of a million times so much of the function."""
    return seconds * MEMORY_GB * USD_PER_GB_SECOND * 1e6


def message(at_once: int) -> float:
    """Return the price of a message and its work: sent by itself, and received and deleted with others."""
    return SQS + 2 * SQS / at_once + CALL / at_once + work(0.050)


OBJECT = PUT + EVENT + message(1) + GET + PUT
LINE = (OBJECT + (MOST_LINES / LINES_BETWEEN_ANSWERS - 1) * PUT) / MOST_LINES + work(0.030)
PRICES = {
    "objects": (OBJECT, None),
    "lines of an object with 1,000": (LINE, None),
    "events": (EVENT + message(1), EVENT + message(10)),
    "messages": (message(1), message(10)),
    "a topic": (PUBLISH + message(1), PUBLISH + message(10)),
    "calls": (CALL + work(0.050), None),
    "state machines": (2 * TRANSITION + message(1), 2 * TRANSITION + message(10)),
}


@pytest.mark.parametrize("way", PRICES)
def test_price_is_the_one_that_the_calls_make(way: str) -> None:
    page = (ROOT / "docs/triggers.md").read_text()
    row = re.search(rf"^\| {re.escape(way)} \| [^|]* \| ([\d.]+) \| ([\d.]*) ?\|$", page, re.MULTILINE)

    assert row is not None
    alone, among_ten = PRICES[way]
    assert float(row[1]) == pytest.approx(alone, abs=0.006)
    assert row[2] == ("" if among_ten is None else f"{among_ten:.2f}")
