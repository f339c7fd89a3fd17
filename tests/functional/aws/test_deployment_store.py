"""The deployment's id in DynamoDB."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from rune.aws.deployment_store import DynamoDeploymentStore
from rune.errors import StoreUnavailableError
from tests.builders import after
from tests.cloud import TABLE

if TYPE_CHECKING:
    from tests.cloud import Cloud


def test_id_is_made_once_and_stays(cloud: Cloud) -> None:
    first = DynamoDeploymentStore(cloud.dynamodb, TABLE).read()
    later = DynamoDeploymentStore(cloud.dynamodb, TABLE).read()

    assert re.fullmatch(r"[0-9a-f]{10}", first.deployment_id)
    assert later == first
    assert cloud.operations == ["BatchGetItem", "UpdateItem", "BatchGetItem"]


def test_two_tables_have_two_ids(cloud: Cloud) -> None:
    first = DynamoDeploymentStore(cloud.dynamodb, TABLE).read()
    cloud.empty()

    assert DynamoDeploymentStore(cloud.dynamodb, TABLE).read() != first


def test_processes_that_begin_at_once_get_one_id(cloud: Cloud) -> None:
    with ThreadPoolExecutor(8) as pool:
        stores = [DynamoDeploymentStore(cloud.dynamodb, TABLE) for _ in range(8)]
        found = set(pool.map(lambda store: store.read(), stores))

    assert len(found) == 1


def test_process_that_was_overtaken_takes_the_others_id(cloud: Cloud) -> None:
    store = DynamoDeploymentStore(cloud.dynamodb, TABLE)
    others = DynamoDeploymentStore(cloud.dynamodb, TABLE).read()

    assert store._make()["deployment_id"] == {"S": others.deployment_id}


def test_renting_ends_at_the_first_close_and_begins_again(cloud: Cloud) -> None:
    store = DynamoDeploymentStore(cloud.dynamodb, TABLE)
    before = store.read()

    assert store.close(after(10)) == replace(before, closed_at=after(10))
    assert store.close(after(20)) == store.read() == replace(before, closed_at=after(10))
    assert store.reopen() == store.read() == before


def test_close_makes_the_row_where_there_is_none(cloud: Cloud) -> None:
    closed = DynamoDeploymentStore(cloud.dynamodb, TABLE).close(after(10))

    assert (len(closed.deployment_id), closed.closed_at) == (10, after(10))


def test_read_says_when_the_table_cannot_be_reached(cloud: Cloud) -> None:
    with pytest.raises(StoreUnavailableError):
        DynamoDeploymentStore(cloud.dynamodb, "no-such-table").read()
