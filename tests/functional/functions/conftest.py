from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from rune.clock import SystemClock
from rune.tenants.uses import TokenUses
from tests.builders import FakeClock
from tests.functional.functions.loading import loaded

if TYPE_CHECKING:
    from tests.cloud import Cloud


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """The clock of all handlers; without it, the builders' jobs would expire one day."""
    fake = FakeClock()
    monkeypatch.setattr(SystemClock, "now", lambda _: fake.now())
    return fake


@pytest.fixture(autouse=True)
def _uses_of_tokens_are_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a module's tests only the first would make that call; `test_api_token_uses.py` makes it."""
    monkeypatch.setattr(TokenUses, "note", lambda *_: None)


@pytest.fixture
def address() -> str:
    """A source address that no other test has: a handler's memory of failures outlives the table."""
    number = next(_addresses)
    return f"198.51.{number // 256}.{number % 256}"


_addresses = count(1)


@pytest.fixture(scope="module")
def api(shared_cloud: Cloud) -> Iterator[ModuleType]:
    with loaded("api.handler", shared_cloud.environment) as handler:
        yield handler
