"""The day on which a token was used last, written by the API and read as an operator would."""

from __future__ import annotations

from datetime import date, timedelta
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from rune.aws.token_use_store import DynamoTokenUseStore
from rune.errors import StoreUnavailableError
from rune.tenants.uses import TokenUses
from tests.builders import FakeClock
from tests.functional.functions.asking import ACMES_TOKEN, OF_ACME, get

if TYPE_CHECKING:
    from tests.cloud import Cloud

LIST = "/v1/jobs"
NOTE = TokenUses.note
"""Before the tests of this folder do without it."""
TODAY = date(2026, 11, 23)


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch, api: ModuleType, cloud: Cloud) -> None:
    monkeypatch.setattr(TokenUses, "note", NOTE)
    api.app.state.services.token_uses._day_of.clear()


def used(cloud: Cloud, tenant: str = "default") -> dict[str, date]:
    return {**DynamoTokenUseStore(cloud.dynamodb, "rune-test").read(tenant)}


def test_day_is_written_once_a_day(api: ModuleType, cloud: Cloud, clock: FakeClock) -> None:
    for _ in range(3):
        get(api, LIST)
    first = cloud.operations.count("UpdateItem"), used(cloud)
    clock.advance(86_400)
    for _ in range(3):
        get(api, LIST)

    assert first == (1, {"env-1": TODAY})
    assert (cloud.operations.count("UpdateItem"), used(cloud)) == (2, {"env-1": TODAY + timedelta(days=1)})


def test_days_are_each_tenants_own_and_strangers_write_none(
    api: ModuleType, cloud: Cloud, address: str
) -> None:
    get(api, LIST, OF_ACME, token=ACMES_TOKEN)
    get(api, LIST, token="a-token-that-nobody-has-0123456789abcdef", address=address)
    get(api, LIST, token=None, address=address)

    assert (used(cloud, "acme"), used(cloud)) == ({"env-1": TODAY}, {})


def test_request_is_answered_when_the_day_cannot_be_written(
    api: ModuleType, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise StoreUnavailableError("The table cannot be reached now.")

    monkeypatch.setattr(DynamoTokenUseStore, "note", fail)
    answers = [get(api, LIST).status for _ in range(2)]

    assert answers == [200, 200]
    assert [record.getMessage() for record in caplog.records].count("token_use.lost") == 1


def test_day_never_goes_back(cloud: Cloud) -> None:
    """As where the clock of another environment is behind."""
    store = DynamoTokenUseStore(cloud.dynamodb, "rune-test")
    for day in (TODAY, TODAY - timedelta(days=1)):
        store.note("default", "ci", day)

    assert used(cloud) == {"ci": TODAY}
