from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from rune.aws.host_store import DynamoHostStore
from rune.aws.market_store import DynamoMarketStore
from rune.aws.provider_limits import DynamoProviderLimits
from rune.aws.rental_store import DynamoRentalStore
from rune.rentals.hosts import HostStore
from rune.rentals.market import MarketStore
from rune.rentals.store import ProviderLimits, RentalStore
from tests.memory_host_store import MemoryHostStore
from tests.memory_market_store import MemoryMarketStore
from tests.memory_rental_store import MemoryProviderLimits, MemoryRentalStore

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
def rental_store(request: pytest.FixtureRequest) -> RentalStore:
    if request.param == "memory":
        return MemoryRentalStore()
    cloud: Cloud = request.getfixturevalue("cloud")
    return DynamoRentalStore(cloud.dynamodb, "rune-test")


@pytest.fixture(params=in_both)
def host_store(request: pytest.FixtureRequest) -> HostStore:
    if request.param == "memory":
        return MemoryHostStore()
    cloud: Cloud = request.getfixturevalue("cloud")
    return DynamoHostStore(cloud.dynamodb, "rune-test")


@pytest.fixture(params=in_both)
def market_store(request: pytest.FixtureRequest) -> MarketStore:
    if request.param == "memory":
        return MemoryMarketStore()
    cloud: Cloud = request.getfixturevalue("cloud")
    return DynamoMarketStore(cloud.dynamodb, "rune-test")


@pytest.fixture(params=in_both)
def provider_limits(request: pytest.FixtureRequest) -> ProviderLimits:
    if request.param == "memory":
        return MemoryProviderLimits()
    cloud: Cloud = request.getfixturevalue("cloud")
    return DynamoProviderLimits(cloud.dynamodb, "rune-test")
