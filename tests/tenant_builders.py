"""Tenants as their documents make them."""

from __future__ import annotations

import json
from collections.abc import Mapping

from rune.net.addresses import AddressPolicy
from rune.tenants.reading import DocumentContext, read_document
from rune.tenants.settings import FixedTenants, TenantSettings

EVERYWHERE = AddressPolicy.parse("0.0.0.0/0")


def a_tenant(
    document: Mapping[str, object],
    *,
    policy: AddressPolicy = EVERYWHERE,
    home_region: str = "eu-central-1",
    has_bedrock: bool = True,
) -> TenantSettings:
    """Return the settings in a document that is understood whole."""
    context = DocumentContext(policy, home_region, has_bedrock)
    settings, refused = read_document(json.dumps(document), context)
    assert refused == ()
    return settings


def tenants_with(document: Mapping[str, object], tenant: str = "default") -> FixedTenants:
    """Return a source in which one tenant has a document."""
    return FixedTenants({tenant: a_tenant(document)})
