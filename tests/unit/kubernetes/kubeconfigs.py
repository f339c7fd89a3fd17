"""Kubeconfigs as kubectl writes them, to be changed by tests."""

import base64
import json
from collections.abc import Mapping
from typing import Any

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nTUlJQg==\n-----END CERTIFICATE-----\n"
KEY = "-----BEGIN PRIVATE KEY-----\nTUlHSGNhbmFyeWNhbmFyeQ==\n-----END PRIVATE KEY-----\n"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def kubeconfig(
    *,
    cluster: Mapping[str, Any] | None = None,
    user: Mapping[str, Any] | None = None,
    **top: Any,  # noqa: ANN401
) -> str:
    """Return a kubeconfig of one context; a member that is None is left out."""
    whole_cluster = {"server": "https://k.example:6443", "certificate-authority-data": encoded(CERTIFICATE)}
    document = {
        "kind": "Config",
        "apiVersion": "v1",
        "preferences": {},
        "clusters": [{"name": "c", "cluster": _without_none({**whole_cluster, **(cluster or {})})}],
        "users": [{"name": "u", "user": _without_none({"token": "canary-token-0123456789", **(user or {})})}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "shop"}}],
        "current-context": "x",
        **top,
    }
    return json.dumps(document)


def _without_none(members: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in members.items() if value is not None}
