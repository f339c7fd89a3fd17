"""What RUNE takes of a kubeconfig, and what it refuses: it never runs a program, and never reads a file for one.

The text is JSON, as `kubectl config view --raw --minify --flatten -o json` writes it: one context, files inlined,
and nothing that a YAML reader could take in two ways.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from rune.errors import ClusterNotUsableError
from rune.json_members import once_each
from rune.llm.fields import as_list, as_object, read_number, read_text

MAX_TEXT_BYTES = 64 * 1024
MAX_TOKEN_CHARS = 4096
"""As much as fits a header."""

COMMAND = "kubectl config view --raw --minify --flatten -o json"

_PEM_CERTIFICATE = re.compile(
    r"-----BEGIN CERTIFICATE-----\s[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----", re.MULTILINE
)
_PEM_KEY = re.compile(r"-----BEGIN (?:EC |RSA )?PRIVATE KEY-----\s[A-Za-z0-9+/=\s]+-----END [A-Z ]+-----")
_TOKEN = re.compile(r"[!-~]+")
_HOST_NAME = re.compile(r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9_-]{1,63}")
_EKS_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-[0-9]{1,2}")
_LATEST = datetime.max.replace(tzinfo=UTC)

_INLINE = f"make the text with `{COMMAND}`, which inlines files"
_READER = "make a token of a service account that only reads (docs/kubernetes.md)"
_REFUSED_OF_CLUSTER: Mapping[str, str] = {
    "certificate-authority": _INLINE,
    "proxy-url": "RUNE connects directly; give the server's own address",
    "insecure-skip-tls-verify": "give certificate-authority-data, by which the server is known",
}
_REFUSED_OF_USER: Mapping[str, str] = {
    "exec": f"RUNE runs no program; {_READER}, or bind an EKS cluster",
    "auth-provider": f"RUNE runs no program; {_READER}",
    "client-certificate": _INLINE,
    "client-key": _INLINE,
    "tokenFile": _INLINE,
    "as": _READER,
    "as-uid": _READER,
    "as-groups": _READER,
    "as-user-extra": _READER,
    "username": f"API servers take no passwords any more; {_READER}",
    "password": f"API servers take no passwords any more; {_READER}",
}


@dataclass(frozen=True, slots=True)
class EksBinding:
    """A cluster of EKS, for which the function's own role signs.

    Attributes
    ----------
    cluster_name
        For which the token is signed; another cluster does not take it.
    """

    cluster_name: str
    region: str


@dataclass(frozen=True, slots=True)
class ClusterCredentials:
    """One cluster, and as whom it is read. Its `repr` has no secret.

    Attributes
    ----------
    server
        Address with https, and the path before every path of the API, if it has one (Rancher's do).
    ca_pem
        Whom alone to trust; None for the public roots.
    tls_name
        Which the server's certificate must have; None for the host.
    namespace
        Of the context, for people who look at it.
    token_expires_at
        What the token says itself; None where it does not.
    eks
        Where a token is signed for each connection; there is no other credential then.
    """

    server: str
    ca_pem: str | None = field(repr=False)
    token: str | None = field(default=None, repr=False)
    certificate_pem: str | None = field(default=None, repr=False)
    key_pem: str | None = field(default=None, repr=False)
    tls_name: str | None = None
    namespace: str | None = None
    token_expires_at: datetime | None = None
    eks: EksBinding | None = None

    def secrets(self) -> tuple[str, ...]:
        """Return what may stand in no text: the token, and the lines of the private key."""
        lines = (self.key_pem or "").splitlines()
        return tuple(
            each
            for each in (self.token or "", *lines)
            if len(each) >= 16 and "-----" not in each  # noqa: PLR2004
        )


def read_cluster(text: str, now: datetime) -> ClusterCredentials:
    """Return a cluster's credentials as the operator has stored them: a kubeconfig, or a binding to EKS.

    Raises
    ------
    ClusterNotUsableError
        It cannot be used; the sentence names the field and what to do, and no value.
    """
    if len(text.encode("utf-8", "replace")) > MAX_TEXT_BYTES:
        raise ClusterNotUsableError(f"The text is longer than {MAX_TEXT_BYTES} bytes.")
    try:
        document = json.loads(text, object_pairs_hook=once_each)
    except (ValueError, RecursionError):
        raise ClusterNotUsableError(f"The text is no JSON: make it with `{COMMAND}`.") from None
    members = as_object(document)
    credentials = _read_eks(as_object(members["eks"])) if "eks" in members else _read_kubeconfig(members)
    if credentials.token_expires_at is not None and credentials.token_expires_at <= now:
        over = credentials.token_expires_at.strftime("%Y-%m-%d %H:%M UTC")
        raise ClusterNotUsableError(f"The token's time was over at {over}: make another one.")
    return credentials


def _read_kubeconfig(document: Mapping[str, object]) -> ClusterCredentials:
    if document.get("kind") not in {None, "Config"} or "contexts" not in document:
        raise ClusterNotUsableError(f"The text is no kubeconfig: make it with `{COMMAND}`.")
    context = _named(
        document, "contexts", "context", read_text(document, "current-context"), "current-context"
    )
    cluster = _named(document, "clusters", "cluster", read_text(context, "cluster"), "the context's cluster")
    user = _named(document, "users", "user", read_text(context, "user"), "the context's user")
    _refuse(cluster, _REFUSED_OF_CLUSTER)
    _refuse(user, _REFUSED_OF_USER)
    token = _read_token(user)
    certificate = _read_pem(user, "client-certificate-data", _PEM_CERTIFICATE)
    key = _read_pem(user, "client-key-data", _PEM_KEY)
    if (certificate is None) != (key is None):
        raise ClusterNotUsableError("Give both client-certificate-data and client-key-data, or none of them.")
    if token is None and key is None:
        raise ClusterNotUsableError(f"The user has no credential that RUNE takes: {_READER}.")
    return ClusterCredentials(
        server=_read_server(cluster, "server"),
        ca_pem=_read_pem(cluster, "certificate-authority-data", _PEM_CERTIFICATE),
        token=token,
        certificate_pem=certificate,
        key_pem=key,
        tls_name=_read_host(cluster),
        namespace=read_text(context, "namespace") or None,
        token_expires_at=None if token is None else _expiry_of(token),
    )


def _read_eks(binding: Mapping[str, object]) -> ClusterCredentials:
    unknown = binding.keys() - {"cluster", "region", "endpoint", "ca"}
    if unknown:
        raise ClusterNotUsableError("`eks` has cluster, region, endpoint and ca, and nothing else.")
    name, region = read_text(binding, "cluster"), read_text(binding, "region")
    if not _EKS_NAME.fullmatch(name) or not _REGION.fullmatch(region):
        raise ClusterNotUsableError("`eks` needs the cluster's name, and its region, such as eu-central-1.")
    ca_pem = _read_pem(binding, "ca", _PEM_CERTIFICATE)
    if ca_pem is None:
        raise ClusterNotUsableError("`eks` needs ca: what EKS calls certificateAuthority.data.")
    return ClusterCredentials(_read_server(binding, "endpoint"), ca_pem, eks=EksBinding(name, region))


def _named(
    document: Mapping[str, object], section: str, member: str, name: str, reference: str
) -> Mapping[str, object]:
    entries = [as_object(each) for each in as_list(document.get(section))]
    found = [each for each in entries if name and each.get("name") == name]
    if len(found) != 1:
        told = "names none" if not found else "names several"
        raise ClusterNotUsableError(f"{reference} {told} of the {section}; it must name one.")
    return as_object(found[0].get(member))


def _refuse(holder: Mapping[str, object], refused: Mapping[str, str]) -> None:
    for key, remedy in refused.items():
        if holder.get(key) not in (None, "", False, [], {}):
            raise ClusterNotUsableError(f"`{key}` is not taken: {remedy}.")


def _read_server(holder: Mapping[str, object], key: str) -> str:
    server = read_text(holder, key)
    scheme, _, rest = server.partition("://")
    if scheme != "https" or not rest:
        # kubectl sends no token over http either.
        raise ClusterNotUsableError(f"`{key}` must begin with https://.")
    if "@" in rest or "?" in rest or "#" in rest:
        raise ClusterNotUsableError(f"`{key}` may have no user, no query and no fragment.")
    return server.rstrip("/")


def _read_token(user: Mapping[str, object]) -> str | None:
    token = read_text(user, "token")
    if not token:
        return None
    if len(token) > MAX_TOKEN_CHARS or not _TOKEN.fullmatch(token):
        raise ClusterNotUsableError(f"`token` is at most {MAX_TOKEN_CHARS} visible ASCII characters.")
    return token


def _read_host(cluster: Mapping[str, object]) -> str | None:
    name = read_text(cluster, "tls-server-name")
    if name and not _HOST_NAME.fullmatch(name):
        raise ClusterNotUsableError("`tls-server-name` is no host name.")
    return name or None


def _read_pem(holder: Mapping[str, object], key: str, shape: re.Pattern[str]) -> str | None:
    """Return a PEM text that stands in base64; None where there is none."""
    encoded = read_text(holder, key)
    if not encoded:
        return None
    try:
        text = base64.b64decode("".join(encoded.split()), validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        raise ClusterNotUsableError(f"`{key}` is no base64 of a PEM text.") from None
    found = shape.findall(text)
    if not found:
        what = "an unencrypted private key" if shape is _PEM_KEY else "a certificate"
        raise ClusterNotUsableError(f"`{key}` holds no PEM of {what}.")
    return "\n".join(found) + "\n"


def _expiry_of(token: str) -> datetime | None:
    """Return when a JSON web token says that its time is over; its signature is the server's to check."""
    parts = token.split(".")
    if len(parts) != 3:  # noqa: PLR2004  # head, payload, signature
        return None
    try:
        payload = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return None
    seconds = read_number(as_object(payload), "exp")
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return _LATEST
