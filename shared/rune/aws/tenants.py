"""Tenants' documents as parameters of SSM Parameter Store."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import override

from rune.aws.settings_store import MAX_AGE, ParameterCache, ParameterReader
from rune.clock import Clock
from rune.tenants.entries import log_refused
from rune.tenants.reading import DocumentContext, read_document
from rune.tenants.settings import TenantSettings, TenantSource
from rune.tenants.tokens import TokenBook

UNKNOWN_AGE = timedelta(minutes=1)
"""How long it is remembered that a name is no tenant's."""

GRACE = timedelta(minutes=5)
"""How much longer a tenant's settings are used while they cannot be read; then the tenant is refused."""


class SsmTenants(TenantSource):
    """Tenants whose documents are parameters below a path, with the tokens of `RUNE_API_TOKENS` beside them.

    Parameters
    ----------
    path
        Where the documents are, without a slash at its end.
    book
        Tokens that count besides those of the documents.
    knows_all
        Whether only names of tenants are ever asked for, as in a worker, whose jobs have one. Else a name that is
        neither in the book nor a document's is remembered for a minute.
    """

    def __init__(
        self,
        client: Callable[[], ParameterReader],
        path: str,
        clock: Clock,
        context: DocumentContext,
        book: TokenBook | None = None,
        *,
        knows_all: bool = False,
    ) -> None:
        self._path = path
        self._context = context
        self._book = book or TokenBook()
        self._knows_all = knows_all
        self._cache = ParameterCache(
            client, clock, self._understand, grace=GRACE, age_of_missing=self._age_of_missing
        )

    @override
    def recall(self, tenant: str) -> TenantSettings | None:
        return self._cache.recall(self._name_of(tenant))

    @override
    def of(self, tenant: str) -> TenantSettings:
        return self._cache.get(self._name_of(tenant))

    @override
    def reread(self, tenant: str) -> TenantSettings:
        return self._cache.reread(self._name_of(tenant))

    def _name_of(self, tenant: str) -> str:
        return f"{self._path}/{tenant}"

    def _tenant_of(self, name: str) -> str:
        return name.removeprefix(f"{self._path}/")

    def _age_of_missing(self, name: str) -> timedelta:
        return MAX_AGE if self._knows_all or self._tenant_of(name) in self._book else UNKNOWN_AGE

    def _understand(self, name: str, text: str | None) -> TenantSettings:
        tenant = self._tenant_of(name)
        of_book = self._book.tokens_of(tenant)
        if text is None:
            return TenantSettings(tokens=of_book)
        settings, refused = read_document(text, self._context)
        log_refused(refused, tenant)
        return replace(settings, tokens=(*settings.tokens, *of_book), has_document=True)
