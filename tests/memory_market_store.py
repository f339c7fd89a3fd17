"""The market as last seen, in memory; `tests/functional/aws` shows that DynamoDB does the same."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import override

from rune.rentals.market import MarketRow, MarketStore, decode_offers, encode_offers, replaces


class MemoryMarketStore(MarketStore):
    """Market rows; like DynamoDB's they hold what is written of an offer, not the offer."""

    def __init__(self) -> None:
        self._rows: dict[int, tuple[MarketRow, str]] = {}

    @override
    def note(self, row: MarketRow) -> None:
        earlier = self._rows.get(row.scope.class_gb)
        if earlier is None or replaces(row, earlier[0]):
            self._rows[row.scope.class_gb] = row, encode_offers(row.offers)

    @override
    def read(self, now: datetime) -> tuple[MarketRow, ...]:
        return tuple(
            replace(row, offers=decode_offers(text))
            for _, (row, text) in sorted(self._rows.items())
            if row.expires_at > now
        )
