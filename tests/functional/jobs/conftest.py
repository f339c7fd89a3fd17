from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cloud import Cloud


@pytest.fixture(scope="module")
def shared_cloud() -> Iterator[Cloud]:
    from tests.cloud import simulated_cloud  # noqa: PLC0415  # moto takes a second to load

    with simulated_cloud() as cloud:
        yield cloud


@pytest.fixture
def cloud(shared_cloud: Cloud) -> Cloud:
    shared_cloud.empty()
    return shared_cloud
