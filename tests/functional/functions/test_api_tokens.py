"""Who may call: tokens of the tenants' documents in SSM, and of RUNE_API_TOKENS."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta, timezone
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from rune.aws.auth_limiter import DynamoLimiter
from rune.errors import SettingsError
from tests.builders import TOKEN, FakeClock
from tests.functional.functions.asking import (
    OF_ACME,
    UNAUTHORIZED,
    a_problem,
    assert_blocked,
    assert_problem,
    get,
)
from tests.functional.functions.loading import loaded
from tests.parameters import Ssm, a_hash

if TYPE_CHECKING:
    from tests.cloud import Cloud

PATH = "/rune/test/tenants"
LIST = "/v1/jobs"
OLD = "old-token-of-default-0123456789-abcdef"
NEW = "new-token-of-default-0123456789-abcdef"
ACMES = "one-token-of-acme-0123456789-abcdefgh"
OF_VARIABLE = "token-of-the-variable-0123456789-abcde"
SUSPENDED = a_problem(403, "tenant_suspended", "The operator has suspended this tenant.")
UNAVAILABLE = a_problem(503, "store_unavailable", "The settings cannot be read now.")


def a_document(*tokens: str, **more: object) -> dict[str, object]:
    return {"tokens": {f"t{number}": a_hash(token) for number, token in enumerate(tokens)}, **more}


@pytest.fixture
def ssm(cloud: Cloud) -> Ssm:
    ssm = Ssm()
    ssm.write(f"{PATH}/default", a_document(OLD))
    ssm.write(f"{PATH}/acme", a_document(ACMES))
    return ssm


@pytest.fixture
def api(cloud: Cloud, ssm: Ssm) -> Iterator[ModuleType]:
    """An API with tokens in documents, and one of `default` in its environment."""
    tokens = {"RUNE_API_TOKENS": f"default:{OF_VARIABLE}", "RUNE_TENANTS_PATH": PATH}
    with loaded("api.handler", {**cloud.environment, **tokens}) as handler:
        cloud.calls.clear()
        yield handler


def admitted(api: ModuleType, address: str, headers: dict[str, str] | None = None) -> list[str]:
    tokens = {"old": OLD, "new": NEW, "acme's": ACMES, "variable's": OF_VARIABLE}
    return [
        name
        for name, token in tokens.items()
        if get(api, LIST, headers, token=token, address=address).status == 200
    ]


def asked(cloud: Cloud) -> list[str]:
    """Return the names of the tenants whose documents were asked for."""
    names = [call.arguments["Name"] for call in cloud.calls if call.operation == "GetParameter"]
    return [name.removeprefix(f"{PATH}/") for name in names]


def test_tokens_of_both_sources_open_their_tenant_alone(api: ModuleType, address: str) -> None:
    assert admitted(api, address) == ["old", "variable's"]
    assert admitted(api, address, OF_ACME) == ["acme's"]


def test_document_is_read_with_the_first_call_and_then_every_30_seconds(
    api: ModuleType, cloud: Cloud, clock: FakeClock, address: str
) -> None:
    for _ in range(3):
        get(api, LIST, token=OLD, address=address)
    clock.advance(30)
    for _ in range(3):
        get(api, LIST, token=OLD, address=address)

    assert asked(cloud) == ["default", "default"]


def test_tokens_rotate_without_a_moment_in_which_none_is_admitted(
    api: ModuleType, ssm: Ssm, clock: FakeClock, address: str
) -> None:
    ssm.write(f"{PATH}/default", a_document(OLD, NEW))
    clock.advance(30)
    both = admitted(api, address)
    ssm.write(f"{PATH}/default", a_document(NEW))
    clock.advance(30)

    assert (both, admitted(api, address)) == (["old", "new", "variable's"], ["new", "variable's"])


def test_revoked_token_is_refused_30_seconds_later(
    api: ModuleType, ssm: Ssm, clock: FakeClock, address: str
) -> None:
    get(api, LIST, token=OLD, address=address)
    ssm.write(f"{PATH}/default", a_document(NEW))
    clock.advance(29.999)
    before = admitted(api, address)
    clock.advance(0.001)
    response = get(api, LIST, token=OLD, address=address)

    assert before == ["old", "variable's"]
    assert_problem(response, a_problem(401, "unauthorized", UNAUTHORIZED))


@pytest.mark.parametrize("token", [OLD, OF_VARIABLE], ids=["document", "variable"])
def test_suspended_tenant_is_refused_with_tokens_of_either_source(
    token: str, api: ModuleType, ssm: Ssm, clock: FakeClock, address: str
) -> None:
    get(api, LIST, token=token, address=address)
    ssm.write(f"{PATH}/default", a_document(OLD, suspended=True))
    clock.advance(30)

    assert_problem(get(api, LIST, token=token, address=address), SUSPENDED)
    assert get(api, LIST, token=NEW, address=address).status == 401
    assert get(api, LIST, OF_ACME, token=ACMES, address=address).status == 200


def test_call_of_a_suspended_tenant_is_no_failed_authentication(
    api: ModuleType, ssm: Ssm, cloud: Cloud, address: str
) -> None:
    ssm.write(f"{PATH}/default", a_document(OLD, suspended=True))

    for _ in range(12):
        assert get(api, LIST, token=OLD, address=address).status == 403
    assert cloud.rows() == []


def test_broken_document_disables_its_tenant_alone(api: ModuleType, ssm: Ssm, address: str) -> None:
    ssm.write(f"{PATH}/default", "{broken")

    assert_problem(get(api, LIST, token=OF_VARIABLE, address=address), SUSPENDED)
    assert get(api, LIST, OF_ACME, token=ACMES, address=address).status == 200
    assert get(api, "/healthz", token=None, address=address).status == 200


@pytest.mark.parametrize("text", ["{broken", '{"suspended": true}'], ids=["broken", "without its tokens"])
def test_lost_tokens_of_a_suspended_tenant_block_no_other_tenant_of_their_address(
    text: str, api: ModuleType, ssm: Ssm, cloud: Cloud, address: str
) -> None:
    ssm.write(f"{PATH}/default", text)

    for _ in range(12):
        refused = get(api, LIST, token=OLD, address=address)
        assert_problem(refused, a_problem(401, "unauthorized", UNAUTHORIZED))
    assert cloud.rows() == []
    assert get(api, LIST, OF_ACME, token=ACMES, address=address).status == 200


def test_tenants_client_is_admitted_30_seconds_after_its_document_is_mended(
    api: ModuleType, ssm: Ssm, clock: FakeClock, address: str
) -> None:
    ssm.write(f"{PATH}/default", "{broken")
    for _ in range(30):
        assert get(api, LIST, token=OLD, address=address).status == 401
    ssm.write(f"{PATH}/default", a_document(OLD))
    clock.advance(30)

    assert get(api, LIST, token=OLD, address=address).status == 200


def test_hash_does_not_open_its_tenant(api: ModuleType, address: str) -> None:
    assert get(api, LIST, token=a_hash(OLD), address=address).status == 401


def test_expired_token_is_told_so_and_never_blocks_its_address(
    api: ModuleType, ssm: Ssm, cloud: Cloud, clock: FakeClock, address: str
) -> None:
    ends = clock.now() + timedelta(seconds=5)
    entry = {"hash": a_hash(OLD), "expires_at": ends.isoformat()}
    ssm.write(f"{PATH}/default", {"tokens": {"laptop": entry}})
    clock.advance(4)
    before = get(api, LIST, token=OLD, address=address)
    clock.advance(1)
    expired = a_problem(401, "token_expired", "The token has expired; ask the operator for a new one.")

    assert before.status == 200
    for _ in range(12):
        assert_problem(get(api, LIST, token=OLD, address=address), expired)
    assert_problem(get(api, LIST, token=NEW, address=address), a_problem(401, "unauthorized", UNAUTHORIZED))


@pytest.mark.parametrize("path", [LIST, "/v1/nothing"])
def test_answers_tell_in_the_last_14_days_when_the_token_expires(
    path: str, api: ModuleType, ssm: Ssm, clock: FakeClock, address: str
) -> None:
    ends = (clock.now() + timedelta(days=14, seconds=1)).astimezone(timezone(timedelta(hours=2)))
    entry = {"hash": a_hash(OLD), "expires_at": ends.isoformat()}
    ssm.write(f"{PATH}/default", {"tokens": {"laptop": entry}})
    before = get(api, path, token=OLD, address=address)
    clock.advance(1)
    after = get(api, path, token=OLD, address=address)

    assert "token-expires-at" not in before.headers
    assert after.headers["token-expires-at"] == "2026-12-07T12:00:01Z"


def test_token_that_the_operator_names_may_come_without_its_tenant(
    api: ModuleType, ssm: Ssm, clock: FakeClock, address: str
) -> None:
    before = get(api, LIST, token=ACMES, address=address)
    ssm.write(f"{PATH}/default", a_document(OLD, tenants_of_tokens={a_hash(ACMES): "acme"}))
    clock.advance(30)
    meant = get(api, LIST, token=ACMES, address=address)
    named = get(api, LIST, {"x-tenant-id": "default"}, token=ACMES, address=address)

    assert [before.status, meant.status, named.status] == [401, 200, 401]
    assert admitted(api, address) == ["old", "acme's", "variable's"]


def test_token_without_its_tenant_ends_with_the_tenants_own_entry(
    api: ModuleType, ssm: Ssm, clock: FakeClock, address: str
) -> None:
    """The other document only says whom to ask."""
    ssm.write(f"{PATH}/default", a_document(OLD, tenants_of_tokens={a_hash(ACMES): "acme"}))
    ssm.write(f"{PATH}/acme", a_document(NEW))

    response = get(api, LIST, token=ACMES, address=address)

    assert_problem(response, a_problem(401, "unauthorized", UNAUTHORIZED))


# ---------------------------------------------------------------- what a tenant's name costs


def test_unknown_tenant_costs_one_reading_a_minute(
    api: ModuleType, cloud: Cloud, clock: FakeClock, address: str
) -> None:
    stranger = {"x-tenant-id": "stranger"}
    for _ in range(5):
        assert get(api, LIST, stranger, token=OLD, address=address).status == 401
        clock.advance(11.9)
    one_minute = asked(cloud)
    clock.advance(1)
    get(api, LIST, stranger, token=OLD, address=address)

    assert (one_minute, asked(cloud)) == (["stranger"], ["stranger"] * 2)


@pytest.mark.parametrize(
    "headers",
    [
        {"x-tenant-id": "stranger", "authorization": ""},
        {"x-tenant-id": "stranger/../default"},
        {"x-tenant-id": "s" * 65},
    ],
    ids=["no token", "a path", "too long"],
)
def test_call_that_cannot_be_a_tenants_costs_no_reading(
    headers: dict[str, str], api: ModuleType, cloud: Cloud, address: str
) -> None:
    assert get(api, LIST, headers, token=OLD, address=address).status == 401
    assert asked(cloud) == []


def test_blocked_address_costs_no_reading(
    api: ModuleType, cloud: Cloud, clock: FakeClock, address: str
) -> None:
    elsewhere = DynamoLimiter(cloud.dynamodb, "rune-test", clock)
    assert [elsewhere.count_failure(address) for _ in range(10)] == [None] * 10
    cloud.calls.clear()

    for tenant in ("stranger", "another", "acme"):
        assert_blocked(get(api, LIST, {"x-tenant-id": tenant}, token=ACMES, address=address), 60)
    assert cloud.operations == ["GetItem"]


# ---------------------------------------------------------------- without SSM


def test_last_document_holds_while_ssm_is_away_and_then_none(
    api: ModuleType, clock: FakeClock, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    get(api, LIST, token=OLD, address=address)
    go_away(api, monkeypatch)
    clock.advance(329)
    during = admitted(api, address)
    clock.advance(1)
    response = get(api, LIST, token=OLD, address=address)

    assert during == ["old", "variable's"]
    assert_problem(response, UNAVAILABLE)
    assert response.headers["retry-after"] == "1"


def test_no_call_counts_as_failing_while_settings_cannot_be_known(
    api: ModuleType, cloud: Cloud, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_away(api, monkeypatch)

    for _ in range(12):
        assert get(api, LIST, token=NEW, address=address).status == 503
    assert cloud.rows() == []


def go_away(api: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    away = Ssm.__new__(Ssm)
    away.is_down, away.asked = True, []
    monkeypatch.setitem(vars(api.clients), "_ssm", away)


# ---------------------------------------------------------------- RUNE_API_TOKENS


@pytest.mark.parametrize("tokens", ["", " , ", "   ", "default:a-token-of-31-characters-000000", TOKEN])
def test_start_is_refused_when_no_call_could_be_allowed(tokens: str, cloud: Cloud) -> None:
    with (
        pytest.raises(SettingsError, match="no token in RUNE_API_TOKENS and no path") as raised,
        loaded("api.handler", {**cloud.environment, "RUNE_API_TOKENS": tokens, "RUNE_TENANTS_PATH": ""}),
    ):
        pass

    assert TOKEN not in str(raised.value)
    assert "a-token-of-31" not in str(raised.value)


def test_api_starts_without_tokens_when_documents_may_hold_some(cloud: Cloud, ssm: Ssm, address: str) -> None:
    environment = {**cloud.environment, "RUNE_API_TOKENS": "", "RUNE_TENANTS_PATH": PATH}

    with loaded("api.handler", environment) as handler:
        assert admitted(handler, address) == ["old"]


@pytest.mark.parametrize("separator", [",", "\n"], ids=["comma", "line"])
def test_wrong_entry_is_left_out_alone(
    separator: str, cloud: Cloud, address: str, caplog: pytest.LogCaptureFixture
) -> None:
    entries = [f"default:{OLD}", f"default:{a_hash(ACMES)[:-1]}", f"default:{a_hash(NEW)}"]

    with loaded("api.handler", {**cloud.environment, "RUNE_API_TOKENS": separator.join(entries)}) as handler:
        assert admitted(handler, address) == ["old", "new"]
        assert get(handler, LIST, token=a_hash(ACMES)[:-1], address=address).status == 401
    (record,) = [found for found in caplog.records if found.getMessage() == "settings.not_understood"]
    told = record.__dict__
    assert (told["place"], told["metric"]) == ("RUNE_API_TOKENS/2", "SettingsNotUnderstood")
