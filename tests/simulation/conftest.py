"""What all simulations share."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def silence() -> Iterator[None]:
    """Keep the product's log to itself: a day writes thousands of lines, and a test would record every one."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
