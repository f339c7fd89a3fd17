"""A tenant's document, entry by entry."""

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rune.money.limits import TenantSpending
from rune.net.addresses import AddressPolicy
from rune.tenants.document import BedrockSettings, HolmesSettings, TenantDocument
from rune.tenants.entries import RefusedEntry
from rune.tenants.reading import DocumentContext, read_document
from rune.tenants.settings import TenantSettings
from rune.tenants.tokens import Scope, Token
from tests.unit.tenants.test_tokens import MISTYPED_HASHES

KEY = "sk-lab-0123456789abcdef"
TOKEN = "token-of-a-laptop-0123456789-abcdefg"
DIGEST = hashlib.sha256(TOKEN.encode()).digest()
HASH = f"sha256:{DIGEST.hex()}"
OTHER_HASH = f"sha256:{hashlib.sha256(b'another').hexdigest()}"
LATER = "2027-01-31T00:00:00Z"
LAB = "https://llm.example:8443"
HOME = "eu-central-1"
CONTEXT = DocumentContext(AddressPolicy.parse("127.0.0.0/8, 10.1.0.0/16"), HOME, has_bedrock=True)

WHOLE: dict[str, object] = {
    "suspended": False,
    "tokens": {
        "laptop": HASH,
        "ci": {"hash": OTHER_HASH, "scopes": ["read"], "expires_at": LATER, "contact": "Ann"},
    },
    "tenants_of_tokens": {OTHER_HASH: "acme"},
    "agents": {"holmes": {"base_url": "https://holmes.example", "api_key": KEY}},
    "credentials": {"lab": {"api_key": KEY, "url": LAB}},
    "clusters": {"prod": {"namespaces": ["shop", "kube-system"]}},
    "bedrock": {"regions": ["us-east-1"], "models": ["anthropic.claude-*"]},
    "templates": ["c166c11f", "4e17788f"],
    "weight": 2,
    "max_running_jobs": 3,
    "max_waiting_jobs": 40,
    "max_polls_per_second": 30,
    "max_submits_per_second": 7,
    "max_runtime_seconds": 5400,
    "max_cost_usd": 2.5,
    "daily_budget_usd": 20,
    "monthly_budget_usd": 200.5,
    "max_machines": 3,
    "max_usd_per_hour": 12,
    "max_dph": 2.5,
    "keep_limit_seconds": 7200,
    "guard_instances": False,
}


def read(
    document: object, context: DocumentContext = CONTEXT
) -> tuple[TenantSettings, tuple[RefusedEntry, ...]]:
    return read_document(json.dumps(document), context)


def settings_of(document: object, context: DocumentContext = CONTEXT) -> TenantSettings:
    settings, refused = read(document, context)
    assert refused == ()
    return settings


def admits(settings: TenantSettings, token: str) -> bool:
    return settings.find_token(token) is not None


def places(document: object) -> list[str]:
    return [entry.place for entry in read(document)[1]]


# ---------------------------------------------------------------- understood


def test_whole_document_is_understood() -> None:
    settings = settings_of(WHOLE)

    assert (settings.is_suspended, admits(settings, TOKEN)) == (False, True)
    holmes = settings.agents.holmes
    assert holmes is not None
    assert holmes.api_key is not None
    assert (holmes.base_url, holmes.api_key.get_secret_value()) == ("https://holmes.example", KEY)
    assert settings.backends.credentials["lab"].origin == ("https", "llm.example", 8443)
    assert settings.backends.credentials["lab"].api_key == KEY
    assert settings.backends.bedrock == BedrockSettings(
        regions=("us-east-1",), models=("anthropic.claude-*",), max_tokens_per_job=1_000_000
    )
    assert settings.backends.home_region == HOME
    assert settings.clusters["prod"].namespaces == ("shop", "kube-system")
    assert settings.templates == {"c166c11f", "4e17788f"}
    assert settings.keep_limit == timedelta(hours=2)
    assert (settings.weight, settings.max_running_jobs, settings.max_waiting_jobs) == (2, 3, 40)
    assert settings.max_runtime == timedelta(minutes=90)
    assert TenantSpending.of(settings) == TenantSpending(20_000_000, 200_500_000, 3, 12_000_000, 2_500_000)


def test_schema_and_reader_agree_on_what_a_whole_document_is() -> None:
    assert TenantDocument.model_fields.keys() == WHOLE.keys()
    TenantDocument.model_validate(WHOLE)


def test_empty_document_gives_the_tenant_nothing_but_its_existence() -> None:
    settings = settings_of({})

    assert settings.backends.home_region == HOME
    assert settings == TenantSettings(backends=settings.backends)
    assert (settings.is_suspended, settings.templates, settings.keep_limit) == (
        False,
        frozenset(),
        timedelta(hours=4),
    )


def test_bedrock_is_nobodys_where_the_deployment_may_not_use_it() -> None:
    assert settings_of(WHOLE, DocumentContext(CONTEXT.policy, HOME)).backends.bedrock is None


@pytest.mark.parametrize("name", ["driver", "a2a"])
def test_agents_server_is_read_with_its_token(name: str) -> None:
    settings = settings_of({"agents": {name: {"base_url": "https://agent.example", "token": KEY}}})

    server = getattr(settings.agents, name)
    assert (server.base_url, server.token.get_secret_value()) == ("https://agent.example", KEY)
    assert KEY not in repr(settings)


def test_key_of_holmes_is_optional_and_its_network_is_judged_later() -> None:
    settings = settings_of({"agents": {"holmes": {"base_url": "http://10.0.0.7:5050/holmes"}}})

    assert settings.agents.holmes == HolmesSettings(base_url="http://10.0.0.7:5050/holmes")


def test_settings_never_show_a_key_when_they_are_printed() -> None:
    settings = settings_of(WHOLE)

    assert KEY not in f"{settings!r} {settings} {settings.agents.model_dump_json()}"


# ---------------------------------------------------------------- suspended


@pytest.mark.parametrize(
    "text", ["", "not json", "[]", '"text"', "null", "[" * 8000, '{"tokens": {}', "\x00"]
)
def test_tenant_is_suspended_when_its_document_is_no_json_object(text: str) -> None:
    settings, refused = read_document(text, CONTEXT)

    assert settings == TenantSettings(is_suspended=True)
    assert [entry.place for entry in refused] == ["document"]


@pytest.mark.parametrize("value", ["yes", "true", 1, 0, None, [], "false"])
def test_suspension_that_is_neither_true_nor_false_is_one(value: object) -> None:
    settings, refused = read({**WHOLE, "suspended": value})

    assert (settings.is_suspended, [entry.place for entry in refused]) == (True, ["suspended"])


@pytest.mark.parametrize("value", [True, False, None])
@pytest.mark.parametrize(
    "name", ["Suspended", "SUSPENDED", "suspended ", "suspend", "supsended", "is_suspended", "suspension"]
)
def test_field_with_almost_the_name_suspends(name: str, value: object) -> None:
    settings, refused = read({**WHOLE, name: value})

    assert settings.is_suspended
    assert [entry.place for entry in refused] == ["…", "suspended"]


@pytest.mark.parametrize("name", ["disabled", "expanded", "comment", "template", "keep_limit", "s" * 8000])
def test_field_with_another_name_does_not_suspend(name: str) -> None:
    assert not read({**WHOLE, name: True})[0].is_suspended


def test_suspension_that_stands_twice_is_one() -> None:
    settings, _ = read_document('{"suspended": true, "suspended": false}', CONTEXT)

    assert settings.is_suspended


# ---------------------------------------------------------------- refused entries


def a_credential(name: str = "lab", **changes: object) -> dict[str, object]:
    return {"credentials": {name: {"api_key": KEY, "url": LAB, **changes}}}


def a_holmes(**holmes: object) -> dict[str, object]:
    return {"agents": {"holmes": holmes}}


def a_token_entry(**fields: object) -> dict[str, object]:
    return {"tokens": {"laptop": {"hash": HASH, **fields}}}


def a_share(**changes: object) -> dict[str, object]:
    return {"bedrock": {"regions": ["us-east-1"], "models": ["*"], **changes}}


REFUSED: list[tuple[dict[str, object], str]] = [
    ({KEY: {}}, "…"),
    ({"tokens": [KEY]}, "tokens"),
    ({"tokens": {"laptop": KEY}}, "tokens/1"),
    ({"tokens": {"laptop": TOKEN}}, "tokens/1"),
    ({"tokens": {"laptop": [HASH]}}, "tokens/1"),
    ({"tokens": {"my laptop": HASH}}, "tokens/1"),
    (a_token_entry(hash=TOKEN), "tokens/1"),
    (a_token_entry(hash=[HASH]), "tokens/1"),
    (a_token_entry(scopes="read"), "tokens/1"),
    (a_token_entry(scopes=[7]), "tokens/1"),
    (a_token_entry(expires=LATER), "tokens/1"),
    (a_token_entry(expires_at="2027-01-31T00:00:00"), "tokens/1"),
    (a_token_entry(expires_at="2027-01-31"), "tokens/1"),
    (a_token_entry(expires_at="tomorrow"), "tokens/1"),
    (a_token_entry(expires_at=1_800_000_000), "tokens/1"),
    (a_token_entry(contact="c" * 201), "tokens/1"),
    ({"tokens": {"laptop": {"scopes": ["read"]}}}, "tokens/1"),
    ({"tokens": {TOKEN: "laptop"}}, "tokens/1"),
    ({"tenants_of_tokens": [HASH]}, "tenants_of_tokens"),
    ({"tenants_of_tokens": {TOKEN: "acme"}}, "tenants_of_tokens/1"),
    ({"tenants_of_tokens": {HASH: "../acme"}}, "tenants_of_tokens/1"),
    ({"tenants_of_tokens": {HASH: ["acme"]}}, "tenants_of_tokens/1"),
    ({"agents": KEY}, "agents"),
    ({"agents": {KEY: {}}}, "agents/1"),
    (a_holmes(api_key=KEY), "agents/1"),
    ({"agents": {"a2a": {"base_url": "http://agent.example", "token": KEY}}}, "agents/1"),
    (a_holmes(base_url="https://holmes.example", api_key=[KEY]), "agents/1"),
    (a_holmes(base_url="https://holmes.example", key=KEY), "agents/1"),
    (a_holmes(base_url=f"https://user:{KEY}@holmes.example"), "agents/1"),
    (a_holmes(base_url="holmes.example", api_key=KEY), "agents/1"),
    (a_holmes(base_url="https://holmes.example", api_key=f"{KEY}\r\nX: y"), "agents/1"),
    (a_holmes(base_url="https://holmes.example", api_key=f"{KEY}é"), "agents/1"),
    (a_holmes(base_url="https://holmes.example", api_key="short"), "agents/1"),
    (a_holmes(base_url="http://holmes.example", api_key=KEY), "agents/1"),
    ({"credentials": KEY}, "credentials"),
    ({"credentials": {"lab": KEY}}, "credentials/1"),
    (a_credential(key=KEY), "credentials/1"),
    (a_credential(url=7), "credentials/1"),
    (a_credential(url="ftp://llm.example"), "credentials/1"),
    (a_credential(url=f"{LAB}/{KEY}"), "credentials/1"),
    (a_credential(url="http://llm.example"), "credentials/1"),
    (a_credential(url="http://93.184.216.34"), "credentials/1"),
    (a_credential(url="http://10.2.0.1"), "credentials/1"),
    (a_credential(api_key="short"), "credentials/1"),
    (a_credential(api_key=f"{KEY}\r\n"), "credentials/1"),
    (a_credential(f"{KEY}/"), "credentials/1"),
    ({"credentials": {KEY: {"api_key": "lab", "url": LAB}}}, "credentials/1"),
    ({"tokens": {KEY: "laptop"}}, "tokens/1"),
    (a_credential(api_key=LAB, url=KEY), "credentials/1"),
    (a_credential(api_key=LAB, url=f"https://{KEY}:{KEY}"), "credentials/1"),
    (a_holmes(base_url=KEY, api_key=LAB), "agents/1"),
    ({"bedrock": KEY}, "bedrock"),
    (a_share(regions=[]), "bedrock"),
    (a_share(models=[]), "bedrock"),
    (a_share(regions=["evil/"]), "bedrock"),
    (a_share(max_tokens_per_job=0), "bedrock"),
    (a_share(max_tokens_per_job="many"), "bedrock"),
    (a_share(key=KEY), "bedrock"),
    ({"clusters": {"prod": {"namespaces": ["a/b"]}}}, "clusters/1"),
    ({"clusters": {"prod": {"token": KEY}}}, "clusters/1"),
    ({"clusters": {"a/b": {}}}, "clusters/1"),
    ({"templates": KEY}, "templates"),
    ({"templates": ["c166c11f", [KEY]]}, "templates/2"),
    ({"templates": [""]}, "templates/1"),
    ({"keep_limit_seconds": "7200"}, "keep_limit_seconds"),
    ({"keep_limit_seconds": True}, "keep_limit_seconds"),
    ({"keep_limit_seconds": 59}, "keep_limit_seconds"),
    ({"keep_limit_seconds": 604_801}, "keep_limit_seconds"),
    ({"guard_instances": "no"}, "guard_instances"),
    ({"guard_instances": 0}, "guard_instances"),
    ({"weight": 0}, "weight"),
    ({"weight": 101}, "weight"),
    ({"weight": 1.5}, "weight"),
    ({"max_running_jobs": 0}, "max_running_jobs"),
    ({"max_running_jobs": 1001}, "max_running_jobs"),
    ({"max_waiting_jobs": 0}, "max_waiting_jobs"),
    ({"max_waiting_jobs": 100_001}, "max_waiting_jobs"),
    ({"max_polls_per_second": 0}, "max_polls_per_second"),
    ({"max_submits_per_second": 10_001}, "max_submits_per_second"),
    ({"max_runtime_seconds": 59}, "max_runtime_seconds"),
    ({"max_cost_usd": 0}, "max_cost_usd"),
    ({"max_cost_usd": 0.0099}, "max_cost_usd"),
    ({"max_cost_usd": 10_001}, "max_cost_usd"),
    ({"max_cost_usd": True}, "max_cost_usd"),
    ({"max_cost_usd": "5"}, "max_cost_usd"),
    ({"daily_budget_usd": -1}, "daily_budget_usd"),
    ({"monthly_budget_usd": "unlimited"}, "monthly_budget_usd"),
    ({"max_usd_per_hour": True}, "max_usd_per_hour"),
    ({"max_dph": 1_000_001}, "max_dph"),
    ({"max_machines": -1}, "max_machines"),
    ({"max_machines": 1001}, "max_machines"),
    ({"max_runtime_seconds": 86_401}, "max_runtime_seconds"),
    ({"max_runtime_seconds": "an hour"}, "max_runtime_seconds"),
]


@pytest.mark.parametrize(("wrong", "place"), REFUSED)
def test_entry_is_refused_by_place_and_never_by_value(wrong: dict[str, object], place: str) -> None:
    _, refused = read(wrong)

    assert [entry.place for entry in refused] == [place]
    for secret in (KEY, TOKEN):
        assert secret not in f"{refused}"


@pytest.mark.parametrize(("wrong", "place"), REFUSED)
def test_rest_of_the_document_goes_on(wrong: dict[str, object], place: str) -> None:
    (section,) = wrong
    beside = {name: value for name, value in WHOLE.items() if name != section}

    settings, _ = read({**beside, **wrong})

    whole = settings_of(WHOLE)
    for section_name, told in [
        ("tokens", (settings.tokens, whole.tokens)),
        ("tenants_of_tokens", (settings.tenants_of_tokens, whole.tenants_of_tokens)),
        ("agents", (settings.agents, whole.agents)),
        ("credentials", (settings.backends.credentials, whole.backends.credentials)),
        ("clusters", (settings.clusters, whole.clusters)),
        ("bedrock", (settings.backends.bedrock, whole.backends.bedrock)),
        ("templates", (settings.templates, whole.templates)),
        ("weight", (settings.weight, whole.weight)),
        ("max_running_jobs", (settings.max_running_jobs, whole.max_running_jobs)),
        ("max_waiting_jobs", (settings.max_waiting_jobs, whole.max_waiting_jobs)),
        ("max_polls_per_second", (settings.max_polls_per_second, whole.max_polls_per_second)),
        ("max_submits_per_second", (settings.max_submits_per_second, whole.max_submits_per_second)),
        ("max_runtime_seconds", (settings.max_runtime, whole.max_runtime)),
        ("max_cost_usd", (settings.max_cost_micro_usd, whole.max_cost_micro_usd)),
        ("daily_budget_usd", (settings.daily_budget_micro_usd, whole.daily_budget_micro_usd)),
        ("monthly_budget_usd", (settings.monthly_budget_micro_usd, whole.monthly_budget_micro_usd)),
        ("max_machines", (settings.max_machines, whole.max_machines)),
        ("max_usd_per_hour", (settings.max_micro_usd_per_hour, whole.max_micro_usd_per_hour)),
        ("max_dph", (settings.max_dph_micro_usd, whole.max_dph_micro_usd)),
        ("keep_limit_seconds", (settings.keep_limit, whole.keep_limit)),
        ("guard_instances", (settings.guards_instances, whole.guards_instances)),
    ]:
        if section_name != section:
            assert told[0] == told[1], f"{place} changed {section_name}"


@pytest.mark.parametrize("form", [lambda text: text, lambda text: {"hash": text}], ids=["text", "object"])
@pytest.mark.parametrize("mistyped", MISTYPED_HASHES.values(), ids=MISTYPED_HASHES.keys())
def test_mistyped_hash_is_refused_and_the_tenants_other_token_stays(
    mistyped: str, form: Callable[[str], object]
) -> None:
    settings, refused = read({"tokens": {"ci": form(mistyped), "laptop": HASH}})

    assert (admits(settings, mistyped), admits(settings, TOKEN)) == (False, True)
    assert [entry.place for entry in refused] == ["tokens/1"]


def test_token_has_the_scopes_expiry_and_contact_of_its_entry() -> None:
    settings = settings_of(
        a_token_entry(scopes=["read", "submit"], expires_at=LATER, contact="ann@acme.example")
    )

    scopes, ends = frozenset({Scope.READ, Scope.SUBMIT}), datetime(2027, 1, 31, tzinfo=UTC)
    assert settings.find_token(TOKEN) == Token("laptop", DIGEST, scopes, ends, "ann@acme.example")


@pytest.mark.parametrize("entry", [HASH, {"hash": HASH}], ids=["text", "object"])
def test_token_may_everything_for_ever_when_its_entry_says_nothing_else(entry: object) -> None:
    assert settings_of({"tokens": {"laptop": entry}}).find_token(TOKEN) == Token("laptop", DIGEST)


@pytest.mark.parametrize(
    ("scopes", "understood"),
    [(["read", "submitt"], {Scope.READ}), (["Read", "admin", ""], set()), (["*"], set())],
)
def test_scope_that_is_not_understood_gives_nothing(scopes: list[str], understood: set[Scope]) -> None:
    settings, refused = read({"tokens": {"ci": OTHER_HASH, "laptop": {"hash": HASH, "scopes": scopes}}})

    assert settings.find_token(TOKEN) == Token("laptop", DIGEST, frozenset(understood))
    assert [entry.place for entry in refused] == ["tokens/2"]


def test_token_without_scopes_is_understood() -> None:
    assert settings_of(a_token_entry(scopes=[])).find_token(TOKEN) == Token("laptop", DIGEST, frozenset())


def test_entries_beside_a_refused_one_stay() -> None:
    good, bad = {"api_key": KEY, "url": LAB}, {"api_key": KEY, "url": "http://llm.example"}

    settings, refused = read({"credentials": {"bad": bad, "good": good}, "templates": [7, "c166c11f"]})

    assert ([*settings.backends.credentials], [*settings.templates]) == (["good"], ["c166c11f"])
    assert [entry.place for entry in refused] == ["credentials/1", "templates/1"]


def test_entry_that_stands_twice_is_refused() -> None:
    text = json.dumps({"a": 1}).replace('"a": 1', f'"tokens": {{"laptop": "{HASH}", "laptop": "{HASH}"}}')

    settings, refused = read_document(text, CONTEXT)

    assert (settings.tokens, [entry.place for entry in refused]) == ((), ["tokens/1"])


@pytest.mark.parametrize("section", WHOLE)
def test_null_is_understood_nowhere(section: str) -> None:
    settings, refused = read({**WHOLE, section: None})

    assert [entry.place for entry in refused] == [section]
    empty = settings_of({})
    without = {
        "suspended": settings.is_suspended,
        "tokens": settings.tokens == (),
        "tenants_of_tokens": settings.tenants_of_tokens == {},
        "agents": settings.agents == empty.agents,
        "credentials": settings.backends.credentials == {},
        "clusters": settings.clusters == {},
        "bedrock": settings.backends.bedrock is None,
        "templates": settings.templates == frozenset(),
        "weight": settings.weight == 1,
        "max_running_jobs": settings.max_running_jobs == 1,
        "max_waiting_jobs": settings.max_waiting_jobs == 1,
        "max_polls_per_second": settings.max_polls_per_second == 1,
        "max_submits_per_second": settings.max_submits_per_second == 1,
        "max_runtime_seconds": settings.max_runtime == timedelta(minutes=1),
        "max_cost_usd": settings.max_cost_micro_usd == 10_000,
        "daily_budget_usd": settings.daily_budget_micro_usd == 0,
        "monthly_budget_usd": settings.monthly_budget_micro_usd == 0,
        "max_machines": settings.max_machines == 0,
        "max_usd_per_hour": settings.max_micro_usd_per_hour == 0,
        "max_dph": settings.max_dph_micro_usd == 0,
        "keep_limit_seconds": settings.keep_limit == timedelta(minutes=1),
        "guard_instances": settings.guards_instances,
    }
    assert [name for name, is_without in without.items() if is_without] == [section]


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({"tokens": {"laptop": None}}, "tokens/1"),
        ({"agents": {"holmes": None}}, "agents/1"),
        (a_holmes(base_url="https://holmes.example", api_key=None), "agents/1"),
        (a_credential(api_key=None), "credentials/1"),
        (a_share(max_tokens_per_job=None), "bedrock"),
        (a_share(models=[None]), "bedrock"),
        ({"templates": [None]}, "templates/1"),
    ],
)
def test_null_within_an_entry_is_refused_with_it(document: dict[str, object], place: str) -> None:
    assert places(document) == [place]


def test_limit_that_is_not_understood_counts_as_the_least() -> None:
    limits = (
        "keep_limit_seconds",
        "max_runtime_seconds",
        "max_running_jobs",
        "max_waiting_jobs",
        "max_polls_per_second",
        "max_submits_per_second",
        "max_cost_usd",
        "daily_budget_usd",
        "monthly_budget_usd",
        "max_machines",
        "max_usd_per_hour",
        "max_dph",
        "weight",
    )

    settings, refused = read(dict.fromkeys(limits, "600"))

    assert len(refused) == len(limits)
    assert (settings.keep_limit, settings.max_runtime) == (timedelta(minutes=1), timedelta(minutes=1))
    assert (settings.max_running_jobs, settings.max_waiting_jobs, settings.weight) == (1, 1, 1)
    assert (settings.max_polls_per_second, settings.max_submits_per_second) == (1, 1)
    assert settings.max_cost_micro_usd == 10_000
    assert TenantSpending.of(settings) == TenantSpending(0, 0, 0, 0, 0)


def test_tenant_without_limits_has_those_of_the_deployment() -> None:
    settings = settings_of({})

    assert (settings.weight, settings.max_running_jobs, settings.max_waiting_jobs) == (1, 1000, 1000)
    assert settings.max_runtime is None


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("weight", 1, 100),
        ("max_running_jobs", 1, 1000),
        ("max_waiting_jobs", 1, 100_000),
        ("max_polls_per_second", 1, 10_000),
        ("max_submits_per_second", 1, 10_000),
        ("max_runtime_seconds", 60, 86_400),
    ],
)
def test_limit_is_understood_from_the_least_to_the_most(name: str, least: int, most: int) -> None:
    for number in (least, most):
        assert places({name: number}) == []
        assert getattr(TenantDocument.model_validate({name: number}), name) == number


@pytest.mark.parametrize("url", ["http://127.0.0.1:9000", "http://localhost:9000", "http://10.1.255.1"])
def test_key_travels_in_the_clear_only_where_the_operator_allows_the_network(url: str) -> None:
    document = {**a_credential(url=url), **a_holmes(base_url=url, api_key=KEY)}

    settings = settings_of(document)

    assert settings.backends.credentials["lab"].api_key == KEY
    assert settings.agents.holmes is not None
    _, refused = read(document, DocumentContext(AddressPolicy()))
    assert [entry.place for entry in refused] == ["agents/1", "credentials/1"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*WHOLE, "unknown"]), json_values, max_size=8))
def test_no_document_of_json_raises(document: dict[str, object]) -> None:
    settings, _ = read(document)

    assert settings.is_suspended == (document.get("suspended", False) is not False)


@given(st.text(max_size=60))
def test_no_text_raises(text: str) -> None:
    settings, refused = read_document(text, CONTEXT)

    assert refused or not settings.is_suspended
