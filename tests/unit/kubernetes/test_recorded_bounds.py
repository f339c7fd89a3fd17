"""That nothing a tenant writes, and nothing a model asks, makes a recorded cluster fail or grow."""

import copy
import random
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rune.kubernetes.recorded.case import Case
from rune.kubernetes.recorded.cluster import RecordedCluster
from rune.kubernetes.recorded.kinds import KINDS
from rune.kubernetes.recorded.loading import load_suite, parse_case
from rune.kubernetes.recorded.problems import CaseProblem, InvalidCaseError
from rune.kubernetes.recorded.readers import ADMIN
from tests.unit.kubernetes.recorded_cases import TABLE, case_document, cluster_of, get

CLUSTER = cluster_of(reader=ADMIN)
ALL_PATHS = [
    f"{f'/apis/{kind.group}' if kind.group else '/api'}/{kind.version}/{kind.plural}" for kind in KINDS
]
DOCUMENTS = [case.document for case in load_suite("kubernetes-classics")]
ODD: list[Any] = [
    None,
    [],
    {},
    "",
    "x" * 3000,
    -1,
    10**30,
    1.5,
    True,
    ["a"],
    {"a": None},
    "@-99999d",
    "${n}",
    "Pod/a/b",
]


def parse(document: object) -> Case | tuple[CaseProblem, ...]:
    try:
        return parse_case(document)
    except InvalidCaseError as error:
        return error.problems


def places_of(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    if isinstance(value, dict):
        found += [each for key, member in value.items() for each in places_of(member, (*path, key))]
    elif isinstance(value, list):
        found += [each for index, member in enumerate(value) for each in places_of(member, (*path, index))]
    return found


def replaced(document: Mapping[str, object], path: tuple[Any, ...], value: object) -> object:
    changed: Any = copy.deepcopy(document)
    node = changed
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value
    return changed


@pytest.mark.parametrize("round_number", range(3))
def test_case_with_any_member_replaced_is_a_case_or_problems(round_number: int) -> None:
    chance = random.Random(round_number)
    kinds = set()
    for _ in range(20):
        document = chance.choice(DOCUMENTS)
        found = parse(replaced(document, chance.choice(places_of(document)), chance.choice(ODD)))
        if isinstance(found, Case):
            cluster = RecordedCluster(found, 3, ADMIN)
            assert {get(cluster, path, accept=TABLE).status for path in ALL_PATHS} <= {200, 503, 404}
        else:
            assert found
        kinds.add(type(found))

    assert kinds == {Case, tuple}


TEXTS = st.text(max_size=40) | st.sampled_from(
    ["1", "-1", "9" * 30, "true", "a in (b,c)", "a=b,!c", "%", "a" * 5000]
)
PARAMETERS = (
    "labelSelector",
    "fieldSelector",
    "limit",
    "continue",
    "includeObject",
    "tailLines",
    "limitBytes",
    "sinceSeconds",
    "sinceTime",
    "previous",
    "timestamps",
    "container",
    "watch",
)
PATHS = (
    "/api/v1/pods",
    "/api/v1/namespaces/shop/pods/orders-db-0/log",
    "/apis/apps/v1/namespaces/shop/deployments",
    "/api/v1/events",
)


@settings(max_examples=40, deadline=None)
@given(
    path=st.sampled_from(PATHS) | st.text(max_size=30).map(lambda text: f"/api{text}"),
    query=st.dictionaries(st.sampled_from(PARAMETERS), TEXTS, max_size=4),
    accept=st.sampled_from([TABLE, "application/json", "*/*", ""]) | st.text(max_size=20),
)
def test_any_request_is_answered(path: str, query: dict[str, str], accept: str) -> None:
    assert get(CLUSTER, path, query, accept).status in {200, 400, 404, 405, 406, 410, 422}


BIG = {"template": {"image": "x:1", "spec": {"containers": [{"name": "app", "args": ["y" * 40_000]}]}}}


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        (
            {"changes": [{"add": f"Deployment/shop/w{i}", "replicas": 20} for i in range(60)]},
            "the cluster has more than 1000 objects",
        ),
        (
            {
                "changes": [
                    {"add": "Deployment/shop/w", **BIG},
                    *(
                        {"add": f"Deployment/shop/w{i}", "like": "Deployment/shop/w", "replicas": 20}
                        for i in range(9)
                    ),
                ]
            },
            "all objects together have more than 4194304 bytes",
        ),
        (
            {
                "changes": [{"patch": "Deployment/shop/mailer", "with": {"replicas": 1}}],
                "logs": {
                    f"{kind}/app": {"lines": ["z" * 2000], "count": 400}
                    for kind in ("Deployment/shop/payments", "Deployment/shop/cart")
                },
            },
            "all logs have at most 2000000 characters",
        ),
        ({"now": "0001-01-01T00:00:00Z"}, "the year is between 2000 and 2100"),
        ({"numbers": {"n": [0, 10**12]}}, "numbers are between 0 and 9999999"),
    ],
    ids=["objects", "bytes", "logs", "year", "numbers"],
)
def test_case_that_would_grow_is_refused(members: dict[str, object], problem: str) -> None:
    found = parse(case_document(**members))

    assert isinstance(found, tuple)
    assert problem in [each.message for each in found]


def test_number_that_makes_a_text_too_long_is_refused() -> None:
    event = {"on": "Node//node-a", "reason": "R", "from": "k", "message": "x" * 1020 + "${n}", "last": "-1m"}

    found = parse(case_document(numbers={"n": [1, 99_999]}, events=[event]))

    assert found == (CaseProblem("/events/0/message", "String should have at most 1024 characters"),)


def test_cluster_keeps_nothing_between_questions() -> None:
    case = load_suite("kubernetes-classics")[0]
    one, two = RecordedCluster(case, 5), RecordedCluster(case, 5)

    first = get(one, "/api/v1/pods")
    get(one, "/api/v1/pods", {"limit": "1"})

    assert get(one, "/api/v1/pods") == first == get(two, "/api/v1/pods")
