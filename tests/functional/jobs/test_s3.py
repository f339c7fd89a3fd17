from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rune.errors import StoreUnavailableError
from rune.jobs.s3 import S3Bodies

if TYPE_CHECKING:
    from tests.cloud import Cloud


def test_bodies_return_what_was_put(cloud: Cloud) -> None:
    bodies = S3Bodies(cloud.s3, "rune-test")

    bodies.put("results/a/1.json", '{"answer": "é 漢 🙂"}')

    assert bodies.get("results/a/1.json") == '{"answer": "é 漢 🙂"}'
    assert (
        cloud.s3.head_object(Bucket="rune-test", Key="results/a/1.json")["ContentType"] == "application/json"
    )


def test_bodies_are_said_to_be_what_they_are(cloud: Cloud) -> None:
    S3Bodies(cloud.s3, "rune-test", "application/x-ndjson").put("records/00-1.jsonl", "{}\n")

    stored = cloud.s3.head_object(Bucket="rune-test", Key="records/00-1.jsonl")
    assert stored["ContentType"] == "application/x-ndjson"


def test_bodies_overwrite_when_the_key_is_there(cloud: Cloud) -> None:
    bodies = S3Bodies(cloud.s3, "rune-test")

    bodies.put("key", "first")
    bodies.put("key", "second")

    assert bodies.get("key") == "second"


def test_bodies_report_the_store_when_the_key_is_missing(cloud: Cloud) -> None:
    with pytest.raises(StoreUnavailableError):
        S3Bodies(cloud.s3, "rune-test").get("nothing")


def test_bodies_report_the_store_when_the_bucket_is_missing(cloud: Cloud) -> None:
    with pytest.raises(StoreUnavailableError):
        S3Bodies(cloud.s3, "nowhere").put("key", "text")
