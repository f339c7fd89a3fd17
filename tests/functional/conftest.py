from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from rune.aws.provider_limits import DynamoBoard
from rune.aws.rental_store import DynamoLedger
from rune.rentals.store import Board, Ledger
from tests.memory_rental_store import MemoryBoard, MemoryLedger

if TYPE_CHECKING:
    from tests.cloud import Cloud

in_both = ["dynamodb", "memory"]


@pytest.fixture(scope="module")
def shared_cloud() -> Iterator[Cloud]:
    from tests.cloud import simulated_cloud  # noqa: PLC0415  # moto takes a second to load

    with simulated_cloud() as cloud:
        yield cloud


@pytest.fixture
def cloud(shared_cloud: Cloud) -> Cloud:
    shared_cloud.empty()
    return shared_cloud


@pytest.fixture(params=in_both)
def ledger(request: pytest.FixtureRequest) -> Ledger:
    if request.param == "memory":
        return MemoryLedger()
    cloud: Cloud = request.getfixturevalue("cloud")
    return DynamoLedger(cloud.dynamodb, "rune-test")


@pytest.fixture(params=in_both)
def board(request: pytest.FixtureRequest) -> Board:
    if request.param == "memory":
        return MemoryBoard()
    cloud: Cloud = request.getfixturevalue("cloud")
    return DynamoBoard(cloud.dynamodb, "rune-test")
