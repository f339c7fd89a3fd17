"""The archive's bucket and table in template.yaml are those of the lines that are written into it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rune.contracts import BenchmarkResult, Document
from rune.contracts.archive import ArchivedJob
from rune.jobs.record import Kind
from rune.services.archive import PREFIX, archive_key, archived_job
from rune.tenants.entries import TENANT
from tests.archive_docs import EXAMPLE, PAGE
from tests.builders import an_ended_job
from tests.template import load_template

TEMPLATE: dict[str, Any] = load_template()
RESOURCES: dict[str, Any] = TEMPLATE["Resources"]
BUCKET: dict[str, Any] = RESOURCES["ArchiveBucket"]["Properties"]
TABLE: dict[str, Any] = RESOURCES["ArchivedJobsTable"]["Properties"]["TableInput"]
COLUMNS: dict[str, str] = {each["Name"]: each["Type"] for each in TABLE["StorageDescriptor"]["Columns"]}
PARTITIONS: dict[str, str] = {each["Name"]: each["Type"] for each in TABLE["PartitionKeys"]}
PROJECTION: dict[str, Any] = TABLE["Parameters"]

TYPES = {"string": "string", "integer": "bigint", "boolean": "boolean"}
"""Columns by the types of JSON Schema. There are no others: money and instants are texts."""


def column_of(schema: dict[str, Any]) -> str:
    """Return the column that holds a member: of one type, or of one type and null."""
    (option,) = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    if "$ref" in option:
        return "string"
    match option["type"]:
        case "array":
            return f"array<{column_of(option['items'])}>"
        case "object":
            return f"map<string,{column_of(option['additionalProperties'])}>"
        case simple:
            return TYPES[simple]


def test_columns_and_partitions_are_the_members_of_a_line_with_their_types() -> None:
    schema = ArchivedJob.model_json_schema(mode="serialization")["properties"]

    assert {name: column_of(member) for name, member in schema.items()} == COLUMNS | PARTITIONS
    assert not COLUMNS.keys() & PARTITIONS.keys()


def test_names_are_the_same_in_lower_case_and_need_no_quotes() -> None:
    for name in COLUMNS | PARTITIONS:
        assert re.fullmatch("[a-z][a-z0-9_]*", name)
    # Words that Athena reserves, of those that a job could have.
    # https://docs.aws.amazon.com/athena/latest/ug/reserved-words.html
    assert not {"date", "timestamp", "end", "start", "group", "order", "user"} & {*COLUMNS, *PARTITIONS}


def test_lines_are_read_as_they_are_written() -> None:
    storage = TABLE["StorageDescriptor"]

    assert storage["SerdeInfo"]["SerializationLibrary"] == "org.openx.data.jsonserde.JsonSerDe"
    assert storage["InputFormat"] == "org.apache.hadoop.mapred.TextInputFormat"
    assert storage["Location"] == {"Fn::Sub": f"s3://${{ArchiveBucket}}/{PREFIX}/"}


def test_kinds_and_days_of_the_projection_are_those_that_there_are() -> None:
    assert PROJECTION["projection.enabled"] == "true"
    assert PROJECTION["projection.kind.values"].split(",") == [kind.value for kind in Kind]
    assert PROJECTION["projection.day.range"] == "2026-01-01,NOW"
    assert PROJECTION["projection.day.format"] == "yyyy-MM-dd"
    types = {name: PROJECTION[f"projection.{name}.type"] for name in PARTITIONS}
    assert types == {"tenant": "injected", "kind": "enum", "day": "date"}


def folder_of(**values: str) -> str:
    """Return where Athena looks for a partition, without the bucket."""
    template = PROJECTION["storage.location.template"]["Fn::Sub"].removeprefix("s3://${ArchiveBucket}/")
    # In Fn::Sub, `${!name}` stands for `${name}`.
    return re.sub(r"\$\{!(\w+)\}", lambda found: values[found[1]], template)


@settings(max_examples=50)
@given(
    tenant=st.from_regex(TENANT, fullmatch=True),
    kind=st.sampled_from(Kind),
    finished_at=st.datetimes(datetime(2026, 1, 1), datetime(2100, 1, 1), timezones=st.timezones()),  # noqa: DTZ001
)
def test_line_stands_in_its_partition(tenant: str, kind: Kind, finished_at: datetime) -> None:
    job = an_ended_job(tenant=tenant, kind=kind, finished_at=finished_at)

    key = archive_key(archived_job(job, "{}", None))

    day = finished_at.astimezone(UTC).strftime("%Y-%m-%d")
    assert key == f"{folder_of(tenant=tenant, kind=kind.value, day=day)}{job.job_id}.json"
    assert key.split("/") == [PREFIX, tenant, kind.value, day, f"{job.job_id}.json"]
    assert re.fullmatch(r"[\w.-]+(/[\w.-]+){4}", key, re.ASCII)
    assert not {".", ".."} & {*key.split("/")}


def test_bucket_is_the_archives_own_and_its_expirations_never_meet() -> None:
    expirations = {
        rule["Prefix"]: rule["ExpirationInDays"]
        for rule in BUCKET["LifecycleConfiguration"]["Rules"]
        if "ExpirationInDays" in rule
    }

    assert expirations == {f"{PREFIX}/": {"Ref": "ArchiveDays"}, "athena/": 7}
    assert {RESOURCES["ArchiveBucket"][policy] for policy in ("DeletionPolicy", "UpdateReplacePolicy")} == {
        "Retain"
    }
    assert set(BUCKET["PublicAccessBlockConfiguration"].values()) == {True}


def test_answers_of_queries_stay_out_of_the_table_and_are_bounded() -> None:
    group = RESOURCES["ArchiveWorkGroup"]["Properties"]["WorkGroupConfiguration"]

    location = group["ResultConfiguration"]["OutputLocation"]["Fn::Sub"]
    assert (location, group["EnforceWorkGroupConfiguration"]) == ("s3://${ArchiveBucket}/athena/", True)
    assert group["BytesScannedCutoffPerQuery"] == 10_000_000_000


@pytest.mark.parametrize("name", ["ArchiveDatabase", "ArchivedJobsTable", "ArchiveWorkGroup"])
def test_table_is_there_only_when_it_is_asked_for(name: str) -> None:
    assert RESOURCES[name]["Condition"] == "HasArchiveTable"
    assert TEMPLATE["Parameters"]["ArchiveTable"]["Default"] == "false"
    assert TEMPLATE["Conditions"]["HasArchiveTable"] == {
        "Fn::And": [{"Condition": "HasArchive"}, {"Fn::Equals": [{"Ref": "ArchiveTable"}, "true"]}]
    }


def test_example_has_every_member() -> None:
    assert json.loads(EXAMPLE.model_dump_json()).keys() == COLUMNS.keys() | PARTITIONS.keys()


QUERIES = re.findall(r"```sql\n(.*?)```", PAGE.read_text(), re.DOTALL)
WORDS = {
    *re.findall(r"\w+", "SELECT AS FROM WHERE AND GROUP BY ORDER DESC BETWEEN IS NOT NULL jobs"),
    *re.findall(
        r"\w+", "count sum min max avg cast decimal double hour from_iso8601_timestamp approx_percentile"
    ),
    "json_extract_scalar",
}
"""Of SQL and of Trino, and the table."""


def members_at(path: str) -> bool:
    """Return whether a benchmark's result has a member at a path such as `$.a.b`."""
    document: Any = BenchmarkResult
    for name in path.removeprefix("$.").split("."):
        if not (
            isinstance(document, type) and issubclass(document, Document) and name in document.model_fields
        ):
            return False
        annotation = document.model_fields[name].annotation
        options = [each for each in get_args(annotation) if each is not type(None)] or [annotation]
        document = options[0]
    return True


def test_page_has_five_queries() -> None:
    assert len(QUERIES) == 5


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
def test_query_asks_for_columns_that_there_are_of_one_tenant_and_for_days(query: str) -> None:
    texts = re.findall(r"'([^']*)'", query)
    aliases = set(re.findall(r"\bAS (\w+)", query)) - {"decimal", "double"}
    words = set(re.findall(r"\b[a-zA-Z_]\w*", re.sub(r"'[^']*'", "", query)))

    assert words - WORDS - aliases <= COLUMNS.keys() | PARTITIONS.keys()
    assert "tenant = 'default'" in query
    assert re.search(r"\bday (>=|BETWEEN) '2026-11-01'", query)
    assert [path for path in texts if path.startswith("$") and not members_at(path)] == []
