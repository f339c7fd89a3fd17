from rune.kubernetes.recorded.loading import parse_case
from rune.kubernetes.recorded.staging import stage
from tests.unit.kubernetes.recorded_cases import case_document


def test_stage_tells_whose_each_object_is() -> None:
    owners = stage(parse_case(case_document())).owners

    assert owners["Pod/shop/cart-77d9b6-a1a1a"] == "ReplicaSet/shop/cart-77d9b6"
    assert owners["ReplicaSet/shop/cart-77d9b6"] == "Deployment/shop/cart"
    assert "Deployment/shop/cart" not in owners


def test_numbers_stay_within_their_ends_and_are_one_everywhere() -> None:
    message = "seen ${times} times"
    event = {"on": "Node//node-a", "reason": "R", "from": "kubelet", "message": message, "last": "-1m"}
    case = parse_case(case_document(numbers={"times": [3, 900]}, events=[{**event, "count": "${times}"}]))

    seen = [stage(case, seed).world.events[0] for seed in range(8)]

    assert all(3 <= each["count"] <= 900 for each in seen)
    assert [each["message"] for each in seen] == [f"seen {each['count']} times" for each in seen]
    assert len({each["count"] for each in seen}) > 1


def test_name_of_a_cases_own_object_becomes_no_other_objects() -> None:
    own = [{"add": f"Deployment/shop/{name}", "replicas": 1} for name in ("basket", "trolley")]
    case = parse_case(case_document(changes=own))

    for seed in range(1, 9):
        staged = stage(case, seed)
        deployments = [entity.name for entity in staged.world.objects if entity.kind == "Deployment"]
        assert {"basket", "trolley", "cart"} <= set(deployments)
