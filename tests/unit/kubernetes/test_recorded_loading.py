import json
import re
from collections import Counter

import pytest

from rune.kubernetes.causes import ClusterStatus
from rune.kubernetes.recorded.documents import strings_of
from rune.kubernetes.recorded.entities import Entity
from rune.kubernetes.recorded.loading import MAX_CASE_BYTES, load_suite, parse_case
from rune.kubernetes.recorded.problems import CaseProblem, InvalidCaseError
from rune.kubernetes.recorded.staging import stage
from rune.kubernetes.recorded.world import World
from tests.unit.kubernetes.recorded_cases import case_document

CLASSICS = load_suite("kubernetes-classics")
BY_ID = {case.id: case for case in CLASSICS}


@pytest.mark.parametrize("case_id", BY_ID)
def test_own_case_has_no_problem(case_id: str) -> None:
    assert parse_case(BY_ID[case_id].document) == BY_ID[case_id]


def test_own_cases_are_18_faults_and_12_without_one() -> None:
    statuses = Counter(case.expected.status for case in CLASSICS)

    assert statuses == {
        ClusterStatus.UNHEALTHY: 18,
        ClusterStatus.HEALTHY: 4,
        ClusterStatus.RECOVERED: 4,
        ClusterStatus.UNDETERMINED: 4,
    }
    assert len(BY_ID) == len(CLASSICS)


def test_own_cases_name_no_object_after_an_illness() -> None:
    illnesses = re.compile(r"crash|broken|fail|oom|evict|missing|denied|quota|unhealthy|stuck|expired")
    named = {each.name for case in CLASSICS for each in stage(case).world.objects}

    assert [name for name in named if illnesses.search(name)] == []


def folded(text: str) -> str:
    return " ".join(text.lower().split())


def readable_texts(world: World) -> set[str]:
    told = {text for each in (*world.objects.values(), *world.events) for text in strings_of(each)}
    logged = {line.text for lines in world.logs.values() for line in lines}
    return {folded(text) for text in told | logged}


@pytest.mark.parametrize("seed", [1, 7])
def test_seed_changes_names_and_keeps_what_is_expected(seed: int) -> None:
    for case in CLASSICS:
        staged = stage(case, seed)
        texts = readable_texts(staged.world)
        for quote in staged.expected.quotes:
            assert any(folded(quote) in text for text in texts), (case.id, quote)
        for finding in staged.expected.findings:
            assert any(Entity.parse(each) in staged.world.objects for each in finding.entities), case.id
        for trap in staged.red_herrings:
            assert Entity.parse(trap.entity) in staged.world.objects, case.id


def test_same_seed_gives_the_same_and_another_seed_other_names() -> None:
    case = CLASSICS[0]

    one, same, other = stage(case, 4), stage(case, 4), stage(case, 5)

    assert json.dumps([*one.world.objects.values()]) == json.dumps([*same.world.objects.values()])
    assert set(one.world.objects) != set(other.world.objects)


def problems_of(**members: object) -> list[CaseProblem]:
    with pytest.raises(InvalidCaseError) as caught:
        parse_case(case_document(**members))
    return [*caught.value.problems]


POD = "Pod/shop/cart-77d9b6-a1a1a"
LOG_OF_POD = "/logs/Pod~1shop~1cart-77d9b6-a1a1a~1"
NO_FINDING = "findings are expected where the status is unhealthy, and nowhere else"
TOO_MANY = "Input should be less than or equal to 1000"
UNSEEN = "stands in nothing that can be read"


def healthy(*quotes: str) -> dict[str, object]:
    return {"expect": {"status": "healthy", "quotes": quotes}}


def added(**members: object) -> dict[str, object]:
    return {"changes": [{"add": "Pod/shop/a", **members}]}


EVENT = {"on": POD, "reason": "Unhealthy", "from": "kubelet", "message": "m", "last": "-5m"}


@pytest.mark.parametrize(
    ("members", "pointer", "message"),
    [
        ({"colour": "red"}, "/colour", "there is no such field"),
        (
            {"changes": [{"patch": POD, "with": {"wating": {}}}]},
            "/changes/0/with/wating",
            "there is no such field",
        ),
        ({"base": "nowhere"}, "/base", "there is no base 'nowhere'"),
        ({"base": "../shop-3-nodes"}, "/base", "there is no base '../shop-3-nodes'"),
        ({"ask": None}, "/ask", "Input should be a valid string"),
        (
            added(owner="ReplicaSet/shop/b"),
            "/changes/0/owner",
            "there is no ReplicaSet/shop/b",
        ),
        (
            added(like="Pod/shop/b"),
            "/changes/0/like",
            "there is no Pod/shop/b",
        ),
        ({"changes": [{"add": POD}]}, "/changes/0/add", f"{POD} is there already"),
        ({"changes": [{"patch": "Pod/shop/b", "with": {}}]}, "/changes/0/patch", "there is no Pod/shop/b"),
        ({"changes": [{"remove": "Pod/shop/b"}]}, "/changes/0/remove", "there is no Pod/shop/b"),
        ({"changes": [{"add": "Unicorn/shop/b"}]}, "/changes/0/add", "'Unicorn' is no kind that cases know"),
        ({"changes": [{"add": "Node/shop/b"}]}, "/changes/0/add", "'Node/shop/b' is not Node//name"),
        ({"events": [{**EVENT, "on": "Pod/shop/b"}]}, "/events/0/on", "there is no Pod/shop/b"),
        ({"logs": {"Pod/shop/b/app": ["x"]}}, "/logs/Pod~1shop~1b~1app", "there is no Pod/shop/b"),
        (
            {"logs": {f"{POD}/web": ["x"]}},
            "/logs/Pod~1shop~1cart-77d9b6-a1a1a~1web",
            f"no pod of {POD} has a container 'web'",
        ),
        (
            {"expect": {"status": "healthy", "quotes": ["never seen"]}},
            "/expect/quotes/0",
            "'never seen' stands in nothing that can be read",
        ),
        (
            {"expect": {"status": "healthy", "quotes": ["c2ltdWxhdGVk"]}},
            "/expect/quotes/0",
            "'c2ltdWxhdGVk' stands in nothing that can be read",
        ),
        (
            {"expect": {"status": "unhealthy"}},
            "/expect",
            "findings are expected where the status is unhealthy, and nowhere else",
        ),
        (
            {
                "expect": {
                    "status": "unhealthy",
                    "findings": [{"cause": "app_crash", "entities": ["Pod/shop/b"]}],
                }
            },
            "/expect/findings/0/entities",
            "none of these objects is in the cluster",
        ),
        (
            {"red_herrings": [{"cause": "app_crash", "entity": "Deployment/shop/mailer", "why": "w"}]},
            "/red_herrings/0/entity",
            "nothing that the case changes, and no event or log of it, shows Deployment/shop/mailer",
        ),
        ({"now": "2026-11-29T09:00:00"}, "/now", "the time has no offset from UTC; end it with Z"),
        ({"numbers": {"n": [3, 1]}}, "/numbers/n", "the lowest number is above the highest"),
        (
            {"logs": {f"{POD}/app": {"lines": ["x"], "count": 1001}}},
            "/logs/Pod~1shop~1cart-77d9b6-a1a1a~1app/count",
            "Input should be less than or equal to 1000",
        ),
    ],
)
def test_bad_case_is_refused_with_the_place(members: dict[str, object], pointer: str, message: str) -> None:
    assert CaseProblem(pointer, message) in problems_of(**members)


def test_case_is_refused_when_it_is_too_large_or_too_deep() -> None:
    deep: object = "x"
    for _ in range(40):
        deep = {"a": deep}

    large = problems_of(changes=[{"add": "ConfigMap/shop/a", "data": {"a": "x" * MAX_CASE_BYTES}}])
    nested = problems_of(changes=[{"add": "ConfigMap/shop/a", "fields": {"a": deep}}])

    assert large[0].message.startswith(f"a case has at most {MAX_CASE_BYTES} bytes, this one has ")
    assert nested == [CaseProblem("", "a case is nested at most 30 levels deep")]


@pytest.mark.parametrize("document", [None, [], "x", 3])
def test_case_that_is_no_object_is_refused(document: object) -> None:
    with pytest.raises(InvalidCaseError) as caught:
        parse_case(document)

    assert caught.value.problems == (CaseProblem("", "a case is a JSON object"),)


def test_case_whose_object_has_a_member_of_a_wrong_type_is_refused() -> None:
    found = problems_of(changes=[{"patch": "Service/shop/cart", "with": {"spec": {"ports": 80}}}])

    assert [each.pointer for each in found] == ["/changes"]


def test_unknown_suite_is_not_found() -> None:
    with pytest.raises(LookupError):
        load_suite("kubernetes-moderns")
