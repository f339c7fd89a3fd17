"""A tenant stops everything of its own, and takes that back."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

from rune.jobs import stops
from rune.jobs.places import RowChange
from tests.builders import JOB_ID, NOW, TENANT, a_claimed_job, an_http_event
from tests.functional.functions.asking import (
    ACMES_TOKEN,
    FLAT,
    OF_ACME,
    ask,
    get,
    post,
    put,
    the_rental_store,
)
from tests.rental_builders import RENTAL_ID, a_kept_rental

if TYPE_CHECKING:
    from tests.cloud import Cloud

STOP = "/v1/stop"


def give_slot(cloud: Cloud) -> None:
    slot = {"pk": "PLACES", "sk": "SLOT#0000", "job_id": JOB_ID, "tenant": TENANT}
    cloud.dynamodb.put_item(TableName="rune-test", Item={name: {"S": value} for name, value in slot.items()})


def test_tenant_stops_everything_and_takes_that_back(api: ModuleType, cloud: Cloud) -> None:
    put(cloud, a_claimed_job())
    give_slot(cloud)
    the_rental_store(cloud).open(a_kept_rental())

    stopped = post(api, None, path=STOP)

    assert stopped.status == 202
    assert stopped.document["stopped_by"] == "tenant"
    assert (stopped.document["done"], stopped.document["running_job_count"]) == (False, 1)
    assert [(each["rental_id"], each["state"]) for each in stopped.document["machines"]] == [
        (RENTAL_ID, "releasing")
    ]
    assert stopped.document["usd_per_hour"] == stopped.document["machines"][0]["price_usd_per_hour"]
    job = cloud.store.read(JOB_ID)
    assert job is not None
    assert (job.cancel_requested_at is not None, job.cancelled_by) == (True, "token:env-1")
    refused = post(api, FLAT)
    assert (refused.status, refused.document["code"]) == (409, "stopped")
    planned = post(api, {**FLAT, "dry_run": True})
    assert (planned.status, planned.document["code"]) == (409, "stopped")
    assert post(api, FLAT, OF_ACME, token=ACMES_TOKEN).status == 202

    assert ask(api, an_http_event("DELETE", STOP)).document["stopped_by"] is None
    assert post(api, FLAT).status == 202


def test_stop_of_the_operator_is_seen_and_not_taken_back(api: ModuleType, cloud: Cloud) -> None:
    change = stops.begin("operator", NOW)
    cloud.store.write_rows([RowChange(row, change) for row in stops.rows_of(None)])

    ask(api, an_http_event("DELETE", STOP))

    found = get(api, STOP)
    assert (found.status, found.document["stopped_by"], found.document["done"]) == (200, "operator", True)
    assert post(api, FLAT).status == 409


def test_stop_takes_no_options(api: ModuleType, cloud: Cloud) -> None:
    refused = post(api, {"dry_run": True}, path=STOP)

    assert (refused.status, refused.document["code"]) == (422, "invalid_request")
    assert post(api, {}, path=STOP).status == 202
