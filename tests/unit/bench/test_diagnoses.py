"""What an investigation is right and wrong about."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rune.bench.diagnoses import Expected, entity_key, grade
from rune.kubernetes.causes import Cause, ClusterStatus
from rune.kubernetes.findings import Evidence, Finding, Report
from rune.kubernetes.recorded.case import ExpectedFinding, Trap

PAYMENTS, CART = "Deployment/shop/payments", "Deployment/shop/cart"
OWNERS = {
    "Pod/shop/payments-6b7c-k2x9q": "ReplicaSet/shop/payments-6b7c",
    "ReplicaSet/shop/payments-6b7c": PAYMENTS,
    "Pod/kube-system/kube-scheduler-node-a": "Node/node-a",
}


def a_finding(cause: Cause, *entities: str, is_found: bool = True) -> Finding:
    return Finding(cause, entities, "because", "high", (Evidence("E1", "REGION_ID", is_found),))


def a_trap(cause: Cause, entity: str) -> Trap:
    return Trap(cause, entity, "It is over.")


def a_report(*findings: Finding, status: str = "unhealthy", bound: str | None = None) -> Report:
    return Report(ClusterStatus(status), "Payments wait.", findings, bound=bound)


EXPECTED = Expected(
    ClusterStatus.UNHEALTHY,
    (ExpectedFinding(Cause.CONFIG_MISSING, (PAYMENTS, "ConfigMap/shop/payments-env"), ()),),
    (a_trap(Cause.OOM_KILLED, CART), a_trap(Cause.NODE_DISK_PRESSURE, "Node/node-b")),
    OWNERS,
)
RIGHT = a_finding(Cause.CONFIG_MISSING, PAYMENTS)
INVENTED = a_finding(Cause.DNS_FAILURE, "Deployment/shop/search")
TRAPPED = a_finding(Cause.OOM_KILLED, CART)


@pytest.mark.parametrize(
    ("report", "outcome"),
    [
        (a_report(RIGHT), "correct"),
        (a_report(RIGHT, RIGHT), "correct"),
        (
            a_report(a_finding(Cause.CONFIG_MISSING, "configmap/shop/payments-env", "Service/shop/x")),
            "correct",
        ),
        (a_report(a_finding(Cause.CONFIG_MISSING, "Pod/shop/payments-6b7c-k2x9q")), "correct"),
        (a_report(RIGHT, bound="turns"), "correct"),
        (a_report(RIGHT, status="healthy"), "partial"),
        (a_report(RIGHT, INVENTED), "partial"),
        (a_report(RIGHT, TRAPPED), "wrong"),
        (a_report(INVENTED), "wrong"),
        (a_report(a_finding(Cause.CONFIG_MISSING, CART)), "wrong"),
        (a_report(a_finding(Cause.APP_CRASH, PAYMENTS)), "wrong"),
        (a_report(INVENTED, status="undetermined"), "wrong"),
        (a_report(status="healthy"), "wrong"),
        (a_report(status="undetermined"), "abstained"),
        (a_report(status="undetermined", bound="turns"), "no_answer"),
        (None, "no_answer"),
    ],
)
def test_outcome_of_an_ill_cluster(report: Report | None, outcome: str) -> None:
    assert grade(EXPECTED, report).outcome == outcome


@pytest.mark.parametrize(
    ("expected", "report", "outcome"),
    [
        ("healthy", a_report(status="healthy"), "correct"),
        ("healthy", a_report(status="recovered"), "correct"),
        ("recovered", a_report(status="recovered"), "correct"),
        ("recovered", a_report(status="healthy"), "correct"),
        ("healthy", a_report(status="unhealthy"), "wrong"),
        ("healthy", a_report(RIGHT, status="healthy"), "wrong"),
        ("healthy", a_report(status="undetermined"), "abstained"),
        ("undetermined", a_report(status="undetermined"), "correct"),
        ("undetermined", a_report(status="undetermined", bound="tokens"), "no_answer"),
        ("undetermined", a_report(RIGHT, status="undetermined"), "wrong"),
        ("undetermined", a_report(status="healthy"), "wrong"),
    ],
)
def test_outcome_where_no_cause_is_expected(expected: str, report: Report, outcome: str) -> None:
    assert grade(Expected(ClusterStatus(expected)), report).outcome == outcome


def test_grade_names_what_was_right_and_wrong() -> None:
    unproven = a_finding(Cause.DNS_FAILURE, "Service/shop/search", is_found=False)

    found = grade(EXPECTED, a_report(unproven, TRAPPED))

    missed = "config_missing at Deployment/shop/payments, ConfigMap/shop/payments-env"
    assert (found.found, found.missed, found.unproven_count) == ((), (missed,), 1)
    assert found.invented == ("dns_failure at Service/shop/search", "oom_killed at Deployment/shop/cart")
    assert found.trapped == ("oom_killed at Deployment/shop/cart",)


def test_accepted_cause_is_right() -> None:
    expected = ExpectedFinding(Cause.APP_CRASH, (PAYMENTS,), accept=(Cause.BAD_CREDENTIALS,))

    found = grade(
        Expected(ClusterStatus.UNHEALTHY, (expected,)), a_report(a_finding(Cause.BAD_CREDENTIALS, PAYMENTS))
    )

    assert (found.outcome, found.invented) == ("correct", ())


@pytest.mark.parametrize(
    ("finding", "is_trapped"),
    [
        (a_finding(Cause.OOM_KILLED, CART), True),
        (a_finding(Cause.APP_CRASH, CART), True),
        (a_finding(Cause.NODE_DISK_PRESSURE, "Node//node-c"), True),
        (a_finding(Cause.APP_CRASH, "Node//node-b"), True),
        (a_finding(Cause.CONFIG_MISSING, PAYMENTS, CART), True),
        (a_finding(Cause.APP_CRASH, "Deployment/shop/search"), False),
    ],
)
def test_cause_or_entity_of_a_red_herring_traps(finding: Finding, is_trapped: bool) -> None:
    assert bool(grade(EXPECTED, a_report(finding)).trapped) == is_trapped


def test_herring_with_an_expected_cause_or_entity_traps_by_both_together() -> None:
    expected = Expected(
        ClusterStatus.UNHEALTHY,
        (ExpectedFinding(Cause.OOM_KILLED, (PAYMENTS,), ()),),
        (a_trap(Cause.OOM_KILLED, CART), a_trap(Cause.APP_CRASH, PAYMENTS)),
    )

    right = a_report(a_finding(Cause.OOM_KILLED, PAYMENTS))
    both = a_report(a_finding(Cause.OOM_KILLED, PAYMENTS, CART))

    assert grade(expected, right).outcome == "correct"
    assert grade(expected, both).trapped == ("oom_killed at Deployment/shop/payments, Deployment/shop/cart",)


@pytest.mark.parametrize(
    ("entity", "key"),
    [
        ("Deployment/shop/payments", "deployment/shop/payments"),
        (" deployment / shop / payments ", "deployment/shop/payments"),
        ("Node/node-b", "node//node-b"),
        ("Node//node-b", "node//node-b"),
        ("Pod/shop/a/b", "pod/shop/a/b"),
        ("nothing", "nothing/"),
        ("", "/"),
    ],
)
def test_entities_are_compared_in_one_form(entity: str, key: str) -> None:
    assert entity_key(entity) == key


def test_pod_of_a_node_is_itself_and_circles_end() -> None:
    circle = Expected(
        ClusterStatus.HEALTHY, owners={"Pod/a/x": "ReplicaSet/a/y", "ReplicaSet/a/y": "Pod/a/x"}
    )
    static = Expected(ClusterStatus.HEALTHY, owners=OWNERS)

    assert static.fold("Pod/kube-system/kube-scheduler-node-a") == "pod/kube-system/kube-scheduler-node-a"
    assert circle.fold("Pod/a/x") == "replicaset/a/y"


CAUSES = (Cause.APP_CRASH, Cause.OOM_KILLED, Cause.DNS_FAILURE)
ENTITIES = tuple(f"Deployment/shop/{name}" for name in "abc")
CAUSE, SOME = st.sampled_from(CAUSES), st.lists(st.sampled_from(ENTITIES), min_size=1, max_size=3)
PAIRS = st.lists(st.tuples(CAUSE, SOME), max_size=3)


@given(wanted=PAIRS, named=PAIRS)
def test_found_missed_and_invented_are_what_sets_say(
    wanted: Sequence[tuple[Cause, list[str]]], named: Sequence[tuple[Cause, list[str]]]
) -> None:
    expected = Expected(
        ClusterStatus.UNHEALTHY, tuple(ExpectedFinding(cause, tuple(where), ()) for cause, where in wanted)
    )

    found = grade(expected, a_report(*(a_finding(cause, *where) for cause, where in named)))

    all_wanted = [{(cause, entity) for entity in where} for cause, where in wanted]
    all_named = [{(cause, entity) for entity in where} for cause, where in named]
    met = [any(each & other for other in all_named) for each in all_wanted]
    assert (len(found.found), len(found.missed)) == (sum(met), len(met) - sum(met))
    assert len(found.invented) == sum(not any(each & other for other in all_wanted) for each in all_named)
    assert (found.outcome == "correct") == (not found.missed and not found.invented)
