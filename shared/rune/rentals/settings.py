"""What a deployment decides about renting."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Self

from rune.errors import SettingsError

_MOST_DIGITS = 7
"""Seconds up to 115 days, as the template's parameter allows."""

DEFAULT_KEEP_LIMIT = timedelta(hours=4)


@dataclass(frozen=True, slots=True)
class KeepLimits:
    """How long a kept machine may live after the job that rented it, at most, by tenant."""

    usual: timedelta = DEFAULT_KEEP_LIMIT
    by_tenant: Mapping[str, timedelta] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the limits in a text such as `14400,acme:86400`: seconds, and exceptions by tenant.

        Raises
        ------
        SettingsError
            It has another form.
        """
        usual, by_tenant = DEFAULT_KEEP_LIMIT, {}
        for entry in filter(None, (part.strip() for part in text.split(","))):
            tenant, colon, seconds = entry.rpartition(":")
            is_number = seconds.isascii() and seconds.isdigit() and len(seconds) <= _MOST_DIGITS
            if not is_number or (colon and not tenant):
                raise SettingsError("Limits of kept machines have the form `seconds` or `tenant:seconds`.")
            if colon:
                by_tenant[tenant] = timedelta(seconds=int(seconds))
            else:
                usual = timedelta(seconds=int(seconds))
        return cls(usual, by_tenant)

    def of(self, tenant: str) -> timedelta:
        """Return a tenant's limit."""
        return self.by_tenant.get(tenant, self.usual)


@dataclass(frozen=True, slots=True)
class RentalSettings:
    """Settings of the functions that rent.

    Attributes
    ----------
    stage
        Part of every label: only machines labelled for this stage are ever touched.
    api_url
        Of the provider's API.
    image
        Runs on a machine for which no template was named.
    """

    stage: str
    api_url: str
    image: str
    keep_limits: KeepLimits = KeepLimits()
