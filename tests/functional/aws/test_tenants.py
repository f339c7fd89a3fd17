"""Tenants whose documents are parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rune.aws.tenants import SsmTenants
from rune.net.addresses import AddressPolicy
from rune.tenants.reading import DocumentContext
from rune.tenants.settings import FixedTenants, TenantSettings, TenantSource
from rune.tenants.tokens import TokenBook
from tests.builders import FakeClock
from tests.parameters import Ssm, a_hash

if TYPE_CHECKING:
    from tests.cloud import Cloud

PATH = "/rune/test/tenants"
CONTEXT = DocumentContext(AddressPolicy())
FIRST = "first-token-of-acme-0123456789-abcdef"
SECOND = "second-token-of-acme-0123456789-abcdef"
OF_BOOK = "token-of-the-variable-0123456789-abcdef"
BOOK = TokenBook.parse(f"acme:{OF_BOOK},team:{OF_BOOK}")


def a_document(*tokens: str, **more: object) -> dict[str, object]:
    return {"tokens": {f"t{number}": a_hash(token) for number, token in enumerate(tokens)}, **more}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def ssm(cloud: Cloud) -> Ssm:
    ssm = Ssm()
    ssm.write(f"{PATH}/acme", a_document(FIRST))
    return ssm


@pytest.fixture
def tenants(ssm: Ssm, clock: FakeClock) -> SsmTenants:
    return SsmTenants(lambda: ssm, PATH, clock, CONTEXT, BOOK)


def admitted(tenants: TenantSource, tenant: str = "acme") -> list[str]:
    return [token for token in (FIRST, SECOND, OF_BOOK) if tenants.of(tenant).find_token(token)]


def test_tokens_of_both_sources_count(tenants: SsmTenants) -> None:
    assert (admitted(tenants), admitted(tenants, "team"), admitted(tenants, "lab")) == (
        [FIRST, OF_BOOK],
        [OF_BOOK],
        [],
    )


def test_tenants_without_documents_have_the_books_tokens_alone() -> None:
    assert admitted(FixedTenants(book=BOOK)) == [OF_BOOK]


def test_revoked_token_is_refused_within_30_seconds(tenants: SsmTenants, ssm: Ssm, clock: FakeClock) -> None:
    before = admitted(tenants)
    ssm.write(f"{PATH}/acme", a_document(SECOND))
    clock.advance(30)

    assert (before, admitted(tenants)) == ([FIRST, OF_BOOK], [SECOND, OF_BOOK])


@pytest.mark.parametrize("tenant", ["acme", "team"])
def test_suspended_tenant_is_suspended_whatever_its_tokens_come_from(
    tenant: str, tenants: SsmTenants, ssm: Ssm, clock: FakeClock
) -> None:
    before = tenants.of(tenant)
    ssm.write(f"{PATH}/{tenant}", a_document(suspended=True))
    clock.advance(30)

    assert (before.is_suspended, tenants.of(tenant).is_suspended) == (False, True)


def test_broken_document_disables_its_tenant_alone(
    tenants: SsmTenants, ssm: Ssm, caplog: pytest.LogCaptureFixture
) -> None:
    ssm.write(f"{PATH}/lab", "{broken")

    assert (tenants.of("lab").is_suspended, tenants.of("acme").is_suspended) == (True, False)
    assert admitted(tenants) == [FIRST, OF_BOOK]
    (record,) = caplog.records
    told = record.__dict__
    assert (record.getMessage(), told["tenant"], told["place"], told["metric"]) == (
        "settings.not_understood",
        "lab",
        "document",
        "SettingsNotUnderstood",
    )


def test_refused_entries_are_logged_by_place_and_never_by_value(
    tenants: SsmTenants, ssm: Ssm, caplog: pytest.LogCaptureFixture
) -> None:
    credential = {"api_key": FIRST, "url": "http://llm.example"}
    ssm.write(f"{PATH}/acme", {"tokens": {"plain": FIRST}, "credentials": {"lab": credential}})

    assert admitted(tenants) == [OF_BOOK]
    assert [record.__dict__["place"] for record in caplog.records] == ["tokens/1", "credentials/1"]
    assert FIRST not in str([record.__dict__ for record in caplog.records])


def test_log_of_one_document_is_bounded(
    tenants: SsmTenants, ssm: Ssm, caplog: pytest.LogCaptureFixture
) -> None:
    ssm.write(f"{PATH}/acme", {"templates": [0] * 100})
    tenants.of("acme")

    assert len(caplog.records) == 20


def test_unknown_tenant_costs_one_reading_a_minute(tenants: SsmTenants, ssm: Ssm, clock: FakeClock) -> None:
    for _ in range(60):
        assert tenants.of("lab") == TenantSettings()
        clock.advance(1)

    assert ssm.asked == [f"{PATH}/lab"]
    tenants.of("lab")
    assert len(ssm.asked) == 2


def test_tenant_of_the_book_is_read_every_30_seconds(tenants: SsmTenants, ssm: Ssm, clock: FakeClock) -> None:
    for _ in range(60):
        tenants.of("team")
        clock.advance(1)

    assert len(ssm.asked) == 2


def test_worker_reads_every_tenant_every_30_seconds(ssm: Ssm, clock: FakeClock) -> None:
    tenants = SsmTenants(lambda: ssm, PATH, clock, CONTEXT, knows_all=True)
    for _ in range(60):
        tenants.of("lab")
        clock.advance(1)

    assert len(ssm.asked) == 2


def test_recall_knows_only_what_was_read(tenants: SsmTenants, ssm: Ssm) -> None:
    before = tenants.recall("acme")
    read = tenants.of("acme")

    assert (before, tenants.recall("acme"), len(ssm.asked)) == (None, read, 1)


def test_new_key_is_there_at_once_after_a_refusal(tenants: SsmTenants, ssm: Ssm, clock: FakeClock) -> None:
    def key_of(settings: TenantSettings) -> str:
        return settings.backends.credentials["lab"].api_key

    def credential(key: str) -> dict[str, object]:
        return {"credentials": {"lab": {"api_key": key, "url": "https://llm.example"}}}

    ssm.write(f"{PATH}/acme", credential("old-key-of-the-lab"))
    tenants.of("acme")
    ssm.write(f"{PATH}/acme", credential("new-key-of-the-lab"))
    clock.advance(2)
    cached = key_of(tenants.of("acme"))

    assert (cached, key_of(tenants.reread("acme"))) == ("old-key-of-the-lab", "new-key-of-the-lab")


def test_tenants_hold_no_token_in_plain(tenants: SsmTenants) -> None:
    settings = tenants.of("acme")

    assert not any(token in f"{settings!r}" for token in (FIRST, OF_BOOK))
