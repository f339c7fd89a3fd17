from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from rune.aws.s3 import S3Links, S3ObjectStore
from rune.aws.wiring import Clients
from rune.errors import StoreUnavailableError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from tests.cloud import Cloud


def test_bodies_return_what_was_put(cloud: Cloud) -> None:
    bodies = S3ObjectStore(lambda: cloud.s3, "rune-test")

    bodies.put("results/a/1.json", '{"answer": "é 漢 🙂"}')

    assert bodies.get("results/a/1.json") == '{"answer": "é 漢 🙂"}'
    assert (
        cloud.s3.head_object(Bucket="rune-test", Key="results/a/1.json")["ContentType"] == "application/json"
    )


def test_bodies_are_said_to_be_what_they_are(cloud: Cloud) -> None:
    S3ObjectStore(lambda: cloud.s3, "rune-test", "application/x-ndjson").put("records/00-1.jsonl", "{}\n")

    stored = cloud.s3.head_object(Bucket="rune-test", Key="records/00-1.jsonl")
    assert stored["ContentType"] == "application/x-ndjson"


def test_bodies_overwrite_when_the_key_is_there(cloud: Cloud) -> None:
    bodies = S3ObjectStore(lambda: cloud.s3, "rune-test")

    bodies.put("key", "first")
    bodies.put("key", "second")

    assert bodies.get("key") == "second"


def test_bodies_report_the_store_when_the_key_is_missing(cloud: Cloud) -> None:
    with pytest.raises(StoreUnavailableError):
        S3ObjectStore(lambda: cloud.s3, "rune-test").get("nothing")


def test_bodies_report_the_store_when_the_bucket_is_missing(cloud: Cloud) -> None:
    with pytest.raises(StoreUnavailableError):
        S3ObjectStore(lambda: cloud.s3, "nowhere").put("key", "text")


# Links.


KEY = "results/a/records/00-1.jsonl"
HOSTS = {
    "of the bucket in its region on AWS": ("", "https://rune-test.s3.eu-central-1.amazonaws.com/"),
    "of an emulator, whatever the bucket": ("http://localhost:4566", "http://localhost:4566/rune-test/"),
}


@pytest.mark.parametrize(("endpoint", "base"), HOSTS.values(), ids=HOSTS.keys())
def test_link_leads_to_the_host(
    endpoint: str, base: str, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    if endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)

    link = Clients().links("rune-test").link(KEY, timedelta(minutes=15))

    assert link.partition("?")[0] == base + KEY


def test_link_opens_one_object_to_one_method_for_a_while(cloud: Cloud) -> None:
    link = Clients().links("rune-test").link(KEY, timedelta(minutes=15))

    query = parse_qs(urlsplit(link).query)
    assert {name: query[name] for name in ("X-Amz-Algorithm", "X-Amz-Expires", "X-Amz-SignedHeaders")} == {
        "X-Amz-Algorithm": ["AWS4-HMAC-SHA256"],
        "X-Amz-Expires": ["900"],
        "X-Amz-SignedHeaders": ["host"],
    }
    assert query["response-content-type"] == ["application/x-ndjson"]
    assert cloud.calls == []


def test_links_are_signed_by_one_client(cloud: Cloud) -> None:
    made: list[S3Client] = []

    def make() -> S3Client:
        made.append(cloud.s3)
        return cloud.s3

    links = S3Links(make, "rune-test")

    assert made == []
    assert [links.link(KEY, timedelta(minutes=1))[:8] for _ in range(2)] == ["https://"] * 2
    assert len(made) == 1


def test_link_is_refused_when_nothing_can_sign_it(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    with pytest.raises(StoreUnavailableError):
        Clients().links("rune-test").link(KEY, timedelta(minutes=15))
