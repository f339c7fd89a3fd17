"""Kubeconfigs for the simulated cluster, as JSON, which kubectl reads as well."""

import base64
import json


def write_kubeconfig(
    address: str,
    ca_pem: bytes,
    *,
    token: str | None = None,
    client: tuple[bytes, bytes] | None = None,
    namespace: str = "shop",
) -> str:
    """Return a kubeconfig with one context, all in it: no path, no program.

    Parameters
    ----------
    address
        With the cluster's prefix.
    client
        Certificate and key, as PEM.
    """
    user: dict[str, str] = {}
    if token is not None:
        user["token"] = token
    if client is not None:
        user["client-certificate-data"], user["client-key-data"] = (_encode(each) for each in client)
    cluster = {"server": address, "certificate-authority-data": _encode(ca_pem)}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "simulated",
        "clusters": [{"name": "simulated", "cluster": cluster}],
        "users": [{"name": "simulated", "user": user}],
        "contexts": [
            {
                "name": "simulated",
                "context": {"cluster": "simulated", "user": "simulated", "namespace": namespace},
            }
        ],
    }
    return json.dumps(document)


def _encode(content: bytes) -> str:
    return base64.b64encode(content).decode()
