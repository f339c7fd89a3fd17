"""Tenants' documents as the operator changes and sees them; pure, and no secret leaves in what is shown."""

import json
import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime

from rune.tenants.entries import TENANT, RefusedEntry
from rune.tenants.reading import DocumentContext, read_document
from rune.tenants.tokens import Scope, digest_of
from rune_admin.errors import OperatorError

type Document = dict[str, object]

TOKEN_BYTES = 32
STANDARD_BYTES = 4096
ADVANCED_BYTES = 8192
"""What a parameter holds at most; above 4 KB it costs 0.05 USD a month."""

_HASH_CHARS = 8
_MASK = "…"
_SECRET_NAMES = ("api_key",)


def check_name(tenant: str) -> str:
    """Return a tenant's name; raises OperatorError where it is none."""
    if not TENANT.fullmatch(tenant):
        raise OperatorError(
            "A tenant's name is 1 to 64 letters, digits, `_`, `.` and `-`, and begins with a letter or a digit."
        )
    return tenant


def parse(text: str) -> Document:
    """Return a document; raises OperatorError, which does not repeat it, where it is no JSON object."""
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise OperatorError(
            f"The document is no JSON: {error.msg} in line {error.lineno}, column {error.colno}."
        ) from None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise OperatorError("The document is no JSON object: it is to stand in braces.")
    return document


def to_text(document: Mapping[str, object]) -> str:
    """Return a document as it is stored; raises OperatorError where a parameter cannot hold it."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    size = len(text.encode())
    if size > ADVANCED_BYTES:
        raise OperatorError(f"The document has {size} bytes, and a parameter holds {ADVANCED_BYTES}.")
    return text


def find_refused(text: str, context: DocumentContext) -> tuple[RefusedEntry, ...]:
    """Return each thing of a document that the functions do not understand."""
    return read_document(text, context)[1]


def make_token() -> str:
    """Return a new token."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def add_token(
    document: Document,
    name: str,
    token: str,
    *,
    scopes: Iterable[Scope] = tuple(Scope),
    expires_at: datetime | None = None,
    contact: str | None = None,
) -> Document:
    """Return the document with one more token, as its hash; raises OperatorError where the name is taken."""
    tokens = _tokens_of(document)
    if name in tokens:
        raise OperatorError(f"The tenant has a token {name!r} already.")
    entry: Document = {"hash": f"sha256:{digest_of(token).hex()}", "scopes": [each.value for each in scopes]}
    if expires_at is not None:
        entry["expires_at"] = expires_at.isoformat(timespec="seconds")
    if contact is not None:
        entry["contact"] = contact
    return {**document, "tokens": {**tokens, name: entry}}


def rotate_token(
    document: Document,
    name: str,
    new_name: str,
    token: str,
    old_expires_at: datetime | None,
    *,
    expires_at: datetime | None = None,
) -> Document:
    """Return the document with a new token beside an old one, which may as much and expires as given.

    Parameters
    ----------
    old_expires_at
        Until when the old one is taken at most; its own end stays where that is earlier.
    expires_at
        When the new one expires; None for one that does not.

    Raises
    ------
    OperatorError
        There is no such token, the new name is taken, or the old one expires and nobody said when the new one does.
    """
    tokens = _tokens_of(document)
    old = _entry_of(tokens, name)
    if new_name in tokens:
        raise OperatorError(f"The tenant has a token {new_name!r} already.")
    new = {**old, "hash": f"sha256:{digest_of(token).hex()}"}
    # Its own end would soon be over.
    if new.pop("expires_at", None) is not None and expires_at is None:
        raise OperatorError(f"{name!r} expires: say with --expires-in-days when the new one does.")
    if expires_at is not None:
        new["expires_at"] = expires_at.isoformat(timespec="seconds")
    if old_expires_at is not None:
        old = {**old, "expires_at": _earlier(old.get("expires_at"), old_expires_at)}
    return {**document, "tokens": {**tokens, name: old, new_name: new}}


def end_of_token(document: Document, name: str) -> str:
    """Return when a token expires, as its document says; raises OperatorError where there is none of this name."""
    return str(_entry_of(_tokens_of(document), name).get("expires_at", "its revocation"))


def revoke_token(document: Document, name: str) -> Document:
    """Return the document without a token; raises OperatorError where there is none of this name."""
    tokens = _tokens_of(document)
    _entry_of(tokens, name)
    return {**document, "tokens": {each: entry for each, entry in tokens.items() if each != name}}


def set_suspended(document: Document, *, is_suspended: bool) -> Document:
    """Return the document of a tenant that is suspended, or is not."""
    rest = {name: value for name, value in document.items() if name != "suspended"}
    return {"suspended": True, **rest} if is_suspended else rest


def without_secrets(document: Mapping[str, object]) -> Document:
    """Return what may be shown of a document: hashes are cut, keys are masked, unknown texts are left out."""
    shown = {name: _masked(name, value) for name, value in document.items() if name != "tokens"}
    tokens = document.get("tokens")
    if isinstance(tokens, dict):
        shown["tokens"] = {name: _shown_token(entry) for name, entry in tokens.items()}
    return shown


def _shown_token(entry: object) -> object:
    if isinstance(entry, dict):
        known = {name: entry[name] for name in ("scopes", "expires_at", "contact") if name in entry}
        return {"hash": _cut(entry.get("hash")), **known}
    return {"hash": _cut(entry), "scopes": [scope.value for scope in Scope]}


def _cut(text: object) -> str:
    digits = text.removeprefix("sha256:") if isinstance(text, str) else ""
    # Anything else in its place may be a token in plain.
    is_hash = isinstance(text, str) and text.startswith("sha256:") and len(digits) == 2 * TOKEN_BYTES
    return f"sha256:{digits[:_HASH_CHARS]}{_MASK}" if is_hash else f"{_MASK} (no hash)"


def _masked(name: str, value: object) -> object:
    if name in _SECRET_NAMES:
        return _MASK
    if isinstance(value, dict):
        return {each: _masked(each, inner) for each, inner in value.items()}
    if isinstance(value, list):
        return [_masked(name, inner) for inner in value]
    return value


def _tokens_of(document: Document) -> Document:
    tokens = document.get("tokens", {})
    if not isinstance(tokens, dict):
        raise OperatorError("`tokens` is no object. Write a whole document with `tenant put`.")
    return tokens


def _entry_of(tokens: Document, name: str) -> Document:
    if name not in tokens:
        known = ", ".join(sorted(tokens)) or "none"
        raise OperatorError(f"The tenant has no token {name!r}. It has: {known}.")
    entry = tokens[name]
    return dict(entry) if isinstance(entry, dict) else {"hash": entry}


def _earlier(stored: object, given: datetime) -> str:
    """Return the earlier end: a rotation never lengthens the life of the old token."""
    try:
        known = datetime.fromisoformat(stored) if isinstance(stored, str) else None
    except ValueError:
        known = None
    end = given if known is None or known.tzinfo is None else min(known, given)
    return end.isoformat(timespec="seconds")
