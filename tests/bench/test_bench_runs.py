"""The table can be made, and the counts in it hold. Times are looked at by people."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from typing import Any

import pytest

from local.settings import ROOT
from tests.bench.__main__ import Report, tabulate
from tests.bench.artifacts import BUILD
from tests.bench.aws_calls import Calls
from tests.bench.client_starts import ClientStart
from tests.bench.cold_imports import ColdImport
from tests.bench.cold_starts import ColdStart, Pairs
from tests.bench.costs import Usage
from tests.bench.engine_costs import Cost
from tests.bench.warm_requests import WarmRequest

pytestmark = [
    pytest.mark.skipif(not BUILD.exists(), reason="nothing is built: make build"),
    pytest.mark.timeout(300),
]


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    """Return what the program prints; a process of its own keeps moto and the handlers out of this one."""
    finished = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.bench",
            "--json",
            "--runs",
            "1",
            "--pairs",
            "1",
            "--waiting",
            "10",
            "300",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=280.0,
    )
    assert finished.returncode == 0, finished.stderr
    printed: dict[str, Any] = json.loads(finished.stdout)
    return printed


CLAIM = ["BatchGetItem", "UpdateItem"]
NOTICE = ["SendMessage"]
FIRST_CLAIM = ["BatchGetItem", "TransactWriteItems", "BatchGetItem", *NOTICE]
"""With its event; the row is read again, since a transaction does not return what it has written."""

REQUEST, STATE = ["BatchGetItem"], ["BatchGetItem"]
COMMIT = ["TransactWriteItems", *NOTICE]
TALLY = ["Query", "BatchGetItem"]
"""The job's events, and the summary that they are added to."""

FREE_SLOT = ["Query", "TransactWriteItems", "Query"]
ADMIT = ["Query", "BatchGetItem", "TransactWriteItems", "SendMessage", "Query"]
"""The index `waiting`, its first jobs, the admission, and the places again."""

ALL_TURNS = [
    *FIRST_CLAIM,
    *(*REQUEST, *COMMIT),
    *(*REQUEST, *COMMIT),
    # What is measured, and the result, are long enough for the bucket.
    *(*REQUEST, *STATE, "PutObject", *COMMIT),
    *(*REQUEST, *STATE, "GetObject", "Query", "PutObject", "BatchGetItem", *COMMIT),
    *FREE_SLOT,
]


@pytest.mark.parametrize(
    ("act", "operations"),
    [
        ("POST job", ["Query", "TransactWriteItems", *NOTICE, "SendMessage"]),
        ("POST job, waits", ["Query", "TransactWriteItems", *NOTICE, "Query"]),
        ("GET job", ["BatchGetItem"]),
        ("GET job, waiting", ["BatchGetItem", "Query", "Query"]),
        ("GET events", ["GetItem", "Query"]),
        ("401", ["PutItem"]),
        ("422", []),
        ("DELETE job, waiting", ["GetItem", "BatchGetItem", *TALLY, *COMMIT]),
        ("DELETE job, running", ["GetItem", "BatchGetItem", "UpdateItem", "SendMessage"]),
        ("one turn of a job", [*FIRST_CLAIM, *REQUEST, *COMMIT, "SendMessage"]),
        ("turn, cancelled", [*CLAIM, *TALLY, *COMMIT, *FREE_SLOT]),
        ("all turns of a job", ALL_TURNS),
        ("all turns, and the next job's slot", [*ALL_TURNS, *ADMIT]),
        ("message, duplicate", CLAIM),
        ("tick, nothing late", 29 * ["Query"]),
        (
            "tick, one late turn",
            [
                *(14 * ["Query"]),
                *("BatchGetItem", "GetQueueAttributes", "UpdateItem", "SendMessage"),
                *(5 * ["Query"]),
                *("BatchGetItem", "Query"),
                # Long releases, schedules, outboxes.
                *(9 * ["Query"]),
            ],
        ),
    ],
)
def test_act_makes_these_aws_calls_in_this_order(
    report: dict[str, Any], act: str, operations: list[str]
) -> None:
    assert report["aws_calls"][act] == operations


@pytest.mark.parametrize(("request_", "most"), [("POST job", 4), ("GET job", 1), ("401", 1), ("422", 1)])
def test_request_stays_within_its_budget_of_aws_calls(
    report: dict[str, Any], request_: str, most: int
) -> None:
    assert len(report["aws_calls"][request_]) <= most


@pytest.mark.parametrize("tenants", [1, 100])
@pytest.mark.parametrize(
    "act",
    [
        "POST of a job that waits",
        "one turn with its message",
        "the job's other turns, and the next job's admission",
        "tick with nothing late",
    ],
)
def test_act_writes_and_calls_as_much_beside_few_and_many_waiting_jobs(
    report: dict[str, Any], act: str, tenants: int
) -> None:
    few, many = (
        {**cost["usage"], "read_units": None}
        for cost in report["costs"]
        if (cost["act"], cost["tenants"]) == (act, tenants)
    )

    assert few == many


def test_thousand_jobs_of_twenty_turns_cost_less_than_twenty_cents_with_their_events(
    report: dict[str, Any],
) -> None:
    (cost,) = [cost for cost in report["costs"] if cost["act"] == "1,000 jobs of twenty turns"]

    assert cost["usage"]["bus_events"] == 6_000
    assert Decimal(str(cost["usd"])) < Decimal("0.20")


def test_no_function_imports_what_it_does_not_use(report: dict[str, Any]) -> None:
    imported = {cold["function"]: cold["packages"] for cold in report["cold_imports"]}

    assert imported == {
        "api": ["fastapi", "mangum", "pydantic", "boto3"],
        "worker": ["pydantic", "httpx", "boto3"],
        "janitor": ["boto3"],
    }


def test_every_first_event_is_measured_beside_the_empty_function(report: dict[str, Any]) -> None:
    measured = [(start["function"], start["until"]) for start in report["cold_starts"]]

    assert measured == [
        ("api", "init"),
        ("api", "GET job"),
        ("api", "POST job"),
        ("worker", "init"),
        ("worker", "turn"),
        ("janitor", "init"),
        ("janitor", "tick"),
    ]
    assert {start["beside_empty"]["count"] for start in report["cold_starts"]} == {1, 2}


def test_pairs_are_folded_pair_by_pair() -> None:
    pairs = Pairs.of([110.0, 240.0, 130.0], [100.0, 200.0, 130.0])

    assert pairs == Pairs(built_ms=130.0, other_ms=130.0, ratio=1.1, saved_ms=-10.0, count=3)


def test_table_shows_every_figure() -> None:
    beside = Pairs(built_ms=220.0, other_ms=200.0, ratio=1.1, saved_ms=-20.0, count=5)
    before = Pairs(built_ms=220.0, other_ms=300.0, ratio=0.73, saved_ms=80.0, count=5)
    start = ColdStart("api", "GET job", beside, before)
    cold = ColdImport(
        "janitor", import_ms=300.0, without_bytecode_ms=600.0, bare_ms=15.0, packages=("boto3",)
    )
    warm = WarmRequest("GET job", request_ms=0.5, without_aws_ms=0.15, empty_ms=0.1)
    calls = [Calls("GET job", ("Query",)), Calls("401", ())]

    usage = Usage(5, 20, 3, Decimal("2.5"), 1, 3, 2, 4, 6)
    costs = [Cost("a job", usage), Cost("a tick", usage.times(2), waiting=10, tenants=1)]

    clients = [ClientStart("rune --help", ms=90.0, click_ratio=1.34, typer_ratio=0.23)]

    table = tabulate(Report([start], [cold], [warm], calls, costs, clients))

    assert table.splitlines() == [
        "cold start  until    processor  x empty function  empty        pairs",
        "api         GET job  220 ms     1.10              200 ms       5",
        "",
        "cold start  until    processor  x other build     other build  pairs  saved",
        "api         GET job  220 ms     0.73              300 ms       5      80 ms",
        "",
        "cold import   median       x python -c pass  without bytecode    imports",
        (
            "janitor       300 ms       20.0              40.0                "
            "boto3; not fastapi, mangum, pydantic, httpx"
        ),
        "",
        "warm request  without AWS  x empty app       with AWS's clients",
        "GET job       0.150 ms     1.50              0.50 ms",
        "",
        "AWS calls  count  in order",
        "GET job    1      Query",
        "401        0      -",
        "",
        (
            "cost of the engine  waiting  tenants  calls  write units  of indexes  read units  "
            "messages  SQS requests  S3 puts  S3 gets  bus  USD per million"
        ),
        (
            "a job                                 5      20           3           2.5         "
            "1         3             2        4        6    33.5"
        ),
        (
            "a tick              10       1        10     40           6           5.0         "
            "2         6             4        8        12   67.0"
        ),
        "",
        "command line  shortest  x bare click  x bare Typer",
        "rune --help   90 ms     1.34          0.23",
    ]
