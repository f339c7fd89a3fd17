"""Loading where a server with OpenAI's API can be told to, and nothing where it cannot."""

import pytest

from rune.errors import (
    ModelNotFoundError,
    ModelServerError,
    OutOfMemoryError,
    ServerFailedError,
    ServerOverloadedError,
    ServerTimeoutError,
)
from rune.llm.protocol import WarmUpRequest
from tests.unit.llm.asking import ask_routed, ask_routes
from tests.unit.llm.flavour_answers import (
    ANSWER,
    CHAT,
    LIST,
    LLAMA,
    OLD_STUDIO,
    OLLAMA,
    ROUTER,
    STUDIO,
    STUDIO_MODEL,
    TGI,
    UNKNOWN,
    VLLM,
    Routes,
    listing,
    router_listing,
)
from tests.unit.llm.scripted_server import Pause, Script, whole


def warm_up(routes: Routes, *, model: str = "m", timeout_seconds: float = 5.0) -> tuple[float, list[str]]:
    """Return how long loading took, and what was asked."""
    request = WarmUpRequest(model, timeout_seconds)
    done, asked = ask_routes("openai", {**routes, CHAT: ANSWER}, lambda server: server.warm_up(request))
    return done.load_ms, asked


def statuses(*values: str, **more: object) -> list[Script]:
    return [[whole(200, router_listing(value, **more))] for value in values]


LOAD = "POST /models/load"
SUCCESS = {"success": True}
ALREADY = [[whole(400, {"error": {"code": 400, "message": "model is already running"}})]]


@pytest.mark.parametrize("routes", [VLLM, LLAMA, TGI, OLD_STUDIO, OLLAMA, UNKNOWN])
def test_warm_up_asks_for_no_load_where_the_server_cannot(routes: Routes) -> None:
    load_ms, asked = warm_up(routes)

    assert load_ms == 0.0
    assert {route for route in asked if route.startswith("POST")} == {CHAT}


@pytest.mark.parametrize("loaded", [SUCCESS, ALREADY])
def test_router_loads_and_waits_until_the_model_is_there(loaded: object) -> None:
    routes = {**ROUTER, LIST: statuses("unloaded", "unloaded", "loading", "loading", "loaded"), LOAD: loaded}

    load_ms, asked = warm_up(routes)

    assert load_ms > 100
    assert asked == [LIST, LIST, "GET /props", LOAD, LIST, LIST, LIST, CHAT]


@pytest.mark.parametrize(("status", "list_count"), [("loaded", 3), ("sleeping", 3), ("loading", 3)])
def test_router_is_not_told_to_load_what_is_loaded_or_on_its_way(status: str, list_count: int) -> None:
    _, asked = warm_up({**ROUTER, LIST: statuses(status, status, "loaded")})

    assert asked == [LIST] * list_count + [CHAT]


@pytest.mark.parametrize(
    ("routes", "error_type"),
    [
        ({LIST: statuses("unloaded"), LOAD: SUCCESS}, ServerFailedError),
        ({LIST: listing({"id": "o", "status": {"value": "unloaded"}})}, ModelNotFoundError),
        (
            {
                LIST: statuses("unloaded"),
                LOAD: [[whole(404, {"error": {"code": 404, "message": "model is not found"}})]],
            },
            ModelNotFoundError,
        ),
    ],
)
def test_router_load_fails_with_a_name_when_the_model_does_not_come(
    routes: Routes, error_type: type[ModelServerError]
) -> None:
    with pytest.raises(error_type):
        warm_up({**ROUTER, **routes})


def test_router_load_ends_in_time_when_the_model_is_never_there() -> None:
    with pytest.raises(ServerTimeoutError):
        warm_up({**ROUTER, LIST: statuses("loading")}, timeout_seconds=0.2)


def test_router_load_says_with_which_code_the_model_died() -> None:
    with pytest.raises(ServerFailedError, match=r"'m' \(exit code 1\)"):
        warm_up({**ROUTER, LIST: statuses("unloaded", failed=True, exit_code=1), LOAD: SUCCESS})


def test_router_that_is_full_is_not_made_to_drop_a_model() -> None:
    entries = [{"id": "m", "status": {"value": "unloaded"}}, {"id": "o", "status": {"value": "loaded"}}]
    routes = {LIST: listing(*entries), "GET /props": {"role": "router", "max_instances": 1}, LOAD: SUCCESS}

    with pytest.raises(ServerOverloadedError, match="holds 1 models"):
        warm_up(routes)


def test_lm_studio_is_told_to_load_what_is_not_loaded() -> None:
    unloaded = {"models": [STUDIO_MODEL | {"loaded_instances": []}]}
    loading: list[Script] = [[Pause(0.03), whole(200, {"instance_id": "m", "status": "loaded"})]]
    routes = {**STUDIO, "GET /api/v1/models": unloaded, "POST /api/v1/models/load": loading}

    request = WarmUpRequest("m", 5.0)
    done, server = ask_routed("openai", {**routes, CHAT: ANSWER}, lambda one: one.warm_up(request))

    assert done.load_ms > 25
    assert server.asked[-2:] == ["POST /api/v1/models/load", CHAT]
    assert server.requests[-2].body == {"model": "m"}


def test_lm_studio_loads_no_second_instance() -> None:
    assert "POST /api/v1/models/load" not in warm_up(STUDIO)[1]


def test_lm_studio_loads_nothing_when_it_cannot_be_asked_what_is_loaded() -> None:
    models: list[Script] = [[whole(200, STUDIO["GET /api/v1/models"])], [whole(500, {"error": "strange"})]]

    with pytest.raises(ServerFailedError):
        warm_up({**STUDIO, "GET /api/v1/models": models})


def test_load_failure_has_its_name() -> None:
    routes = {
        **STUDIO,
        "GET /api/v1/models": {"models": [STUDIO_MODEL | {"loaded_instances": []}]},
        "POST /api/v1/models/load": [[whole(500, {"error": {"message": "out of memory"}})]],
    }

    with pytest.raises(OutOfMemoryError):
        warm_up(routes)
