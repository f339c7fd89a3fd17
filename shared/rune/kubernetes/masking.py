"""Secrets are taken out of what a cluster answers, before a model, a transcript or a log sees it.

Structure first (`mask_object`): it knows what is a value of what. Then patterns (`mask_text`) over every rendered
text, as a log line has no structure. A text is masked whole and cut afterwards: half of a token is still one.
"""

import base64
import re
from collections.abc import Mapping, Sequence

MASK = "***"

REFUSED_KINDS = frozenset({"secret", "secrets"})
"""Kinds of any group that are never read, in lower case."""

_MIN_LITERAL_CHARS = 8
"""Of the job's own credentials: a shorter one could be part of any word."""

_TELLING = re.compile(
    r"pass(?:word|wd|phrase|code)|(?<![a-z])(?:pass|pwd|dsn|jwt|sas|salt|hmac|sig|signature)(?![a-z])|secret|token"
    r"|(?:api|access|account|private|signing|encryption|master|session|shared|auth|webhook)[_.-]?key"
    r"|credential|authorization|conn(?:ection)?[_.-]?str",
    re.IGNORECASE,
)
# What names a secret or tells something of it, without being one: secretName, secretKeyRef, tokenExpirationSeconds.
_HARMLESS_END = re.compile(
    r"(?:names?|refs?|reference|seconds|path|file|dir|mount|types?|count|policy|version|expir(?:y|ation)|ttl"
    r"|secrets|class|provider|store|url|uri|endpoint|issuer|audience|enabled|required|length|limit)$",
    re.IGNORECASE,
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_PASSWORD = re.compile(r"pass|pwd|key", re.IGNORECASE)

_BEGIN_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:(?s:.){0,16384}?-----END [A-Z0-9 ]{0,50}-----|(?:\s|\\n|\\r|[A-Za-z0-9+/=]{8,})*)"
)
_END_KEY = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_BASE64_RUN = re.compile(r"[A-Za-z0-9+/=]{40,}")
_LAST_RUN = re.compile(r"(?:^|\s)[A-Za-z0-9+/=]{2,}\s*$")

_TOKENS = re.compile(
    r"eyJ[A-Za-z0-9_+/=-]{8,}(?:\.[A-Za-z0-9_-]*){0,2}"  # JSON web tokens, and other JSON in base64
    r"|\bk8s-aws-v1\.[A-Za-z0-9_-]+"
    r"|\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{12,}"  # AWS
    r"|\bgh[pousr]_[A-Za-z0-9]{16,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}"  # GitHub, GitLab
    r"|\bxox[abeoprs]-[\w-]{8,}|\bhooks\.slack\.com/services/[\w/]+"  # Slack
    r"|\bAIza[\w-]{30,}|\bya29\.[\w.-]{8,}"  # Google
    r"|\b(?:sk|rk|pk)[-_][\w-]{16,}|\bwhsec_[\w+/=-]{16,}"  # OpenAI, Anthropic, Stripe
    r"|\bhf_[A-Za-z0-9]{16,}|\bnpm_[A-Za-z0-9]{16,}|\bpypi-[\w-]{16,}|\bSG\.[\w-]{16,}\.[\w-]{8,}"
    r"|\bdop_v1_[a-f0-9]{16,}|\bhvs\.[\w-]{16,}"  # DigitalOcean, Vault
)
_SCHEMES = re.compile(r"\b(bearer|basic|negotiate|digest)([ \t]+|%20)([A-Za-z0-9._~+/=-]{6,})", re.IGNORECASE)
_SCHEME_WORDS = frozenset({"token", "tokens", "authentication", "authorization", "access", "credentials"})
_USER_INFO = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30}://)([^\s/@:\"'<>]*)(:[^\s/\"'<>]*)?@")

_KEY = re.compile(
    r"(?<![A-Za-z0-9_.\-])(?P<key>[A-Za-z0-9_.\-]+)"
    r"(?P<sep>\\?[\"']?[ \t]*(?:=>|:=|=|:)[ \t]*|[\"']?[ \t]+(?=[\"']))"
)
_VALUE = re.compile(r"\\\"(?:(?!\\\")[^\n])*(?:\\\")?|\"(?:[^\"\\\n]|\\.)*\"?|'[^'\n]*'?|[^\s&;\"']+")
_OPTION = re.compile(
    r"(?<!\S)(?P<key>--?[A-Za-z0-9][A-Za-z0-9_.\-]*)(?P<sep>[ \t]+)(?P<value>[^\s\"'-][^\s\"']*)"
)
_PLAIN_VALUES = frozenset({"true", "false", "null", "none", "<none>", "~", "yes", "no", "on", "off"})
_NUMBER = re.compile(r"-?[0-9]{1,12}(?:\.[0-9]+)?")
_VERSION = re.compile(r"v?[0-9]{1,5}(?:\.[0-9]+)*(?:[-.+][\w.]+)?[)\]]?")

_SHOWN_ANNOTATIONS = re.compile(r"(?:[a-z0-9.-]+\.)?(?:kubernetes\.io|k8s\.io)/[\w.-]+")
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_RANDOM_MIN_CHARS = 20


def mask_text(text: str, secrets: Sequence[str] = ()) -> str:
    """Return the text with secrets replaced by `***`; names beside them are kept.

    Parameters
    ----------
    secrets
        The job's own credentials, also found in base64.
    """
    text = mask_literals(text, secrets)
    text = _without_key_ends(_BEGIN_KEY.sub(MASK, text))
    text = _USER_INFO.sub(_mask_user_info, text)
    text = _SCHEMES.sub(_mask_scheme, text)
    text = _TOKENS.sub(MASK, text)
    return _mask_pairs(_OPTION.sub(_mask_option, text))


def shorten(text: str, max_chars: int) -> str:
    """Return a text on one line, masked before it is cut: half of a secret may have no shape to find it by."""
    return " ".join(mask_text(text).split())[:max_chars]


def mask_literals(text: str, secrets: Sequence[str]) -> str:
    """Return the text without the job's own credentials, as they are and in base64."""
    for secret in secrets:
        if len(secret) >= _MIN_LITERAL_CHARS:
            text = text.replace(secret, MASK)
            text = text.replace(base64.b64encode(secret.encode()).decode().rstrip("="), MASK)
    return text


def mask_object(value: object) -> object:
    """Return an object of the cluster without secrets; a changed copy, of which nothing is shared but scalars.

    Values of variables under telling names, and values that look like keys, are masked; of annotations only those
    of Kubernetes itself are shown; the data of Secrets and ConfigMaps never.
    """
    if isinstance(value, dict):
        return _mask_mapping(value)
    if isinstance(value, list):
        return _mask_list(value)
    return mask_text(value) if isinstance(value, str) else value


def is_telling(name: str) -> bool:
    """Return whether what has this name is a secret, by the name alone."""
    spelled = _CAMEL.sub("_", name)
    if spelled.lower().strip("\"'") == "auth":
        return True
    return bool(_TELLING.search(spelled)) and not _HARMLESS_END.search(spelled)


def _mask_mapping(value: Mapping[str, object]) -> dict[str, object]:
    is_holder = str(value.get("kind")).lower() in {"secret", "configmap"}
    name = value.get("name")
    masked: dict[str, object] = {}
    for key, member in value.items():
        if is_holder and key in {"data", "stringData", "binaryData"}:
            masked[key] = dict.fromkeys(member, MASK) if isinstance(member, dict) else MASK
        elif key == "annotations" and isinstance(member, dict):
            masked[key] = _mask_annotations(member)
        elif key == "value" and isinstance(name, str) and isinstance(member, str):
            masked[key] = MASK if is_telling(name) or _looks_random(member) else mask_text(member)
        elif key == ".dockerconfigjson" or _is_secret_member(key, member):
            masked[key] = MASK
        else:
            masked[key] = mask_object(member)
    return masked


def _is_secret_member(key: str, member: object) -> bool:
    return isinstance(member, str) and is_telling(key) and member.lower() not in _PLAIN_VALUES


def _mask_annotations(annotations: Mapping[str, object]) -> dict[str, object]:
    return {
        key: mask_object(member) if _SHOWN_ANNOTATIONS.fullmatch(key) and not is_telling(key) else MASK
        for key, member in annotations.items()
        if key != LAST_APPLIED
    }


def _mask_list(value: Sequence[object]) -> list[object]:
    """Return the list; what follows `--password` in a command is the password."""
    masked: list[object] = []
    follows_option = False
    for member in value:
        is_text = isinstance(member, str)
        masked.append(MASK if is_text and follows_option else mask_object(member))
        follows_option = isinstance(member, str) and member.startswith("-") and _is_telling_option(member)
    return masked


def _is_telling_option(text: str) -> bool:
    return "=" not in text and " " not in text and is_telling(text.lstrip("-"))


def _looks_random(value: str) -> bool:
    """Return whether a variable's value looks like a key: long, one word of mixed characters, no address."""
    if len(value) < _RANDOM_MIN_CHARS or not re.fullmatch(r"[A-Za-z0-9+/=_-]+", value):
        return False
    kinds = (str.isupper, str.islower, str.isdigit)
    return all(any(is_kind(character) for character in value) for is_kind in kinds) and "/" not in value[:1]


def _mask_user_info(match: re.Match[str]) -> str:
    scheme, user, password = match.groups()
    if password is not None:
        return f"{scheme}{user}:{MASK}@"
    return f"{scheme}{user if user == 'git' else MASK}@"


def _mask_scheme(match: re.Match[str]) -> str:
    scheme, blank, value = match.groups()
    return match[0] if value.lower().rstrip(".") in _SCHEME_WORDS else f"{scheme}{blank}{MASK}"


def _mask_option(match: re.Match[str]) -> str:
    return f"{match['key']}{match['sep']}{MASK}" if is_telling(match["key"]) else match[0]


def _mask_pairs(text: str) -> str:
    """Return the text with the values of telling names masked; another name's value may hold such pairs."""
    parts: list[str] = []
    end = 0
    for match in _KEY.finditer(text):
        if match.start() < end or not is_telling(match["key"]):
            continue
        value = _VALUE.match(text, match.end())
        if value is None or _is_plain(match["key"], value[0]) or _is_prose(match, value):
            continue
        parts += [text[end : match.end()], _masked_value(value[0])]
        end = value.end()
    return "".join([*parts, text[end:]])


def _masked_value(value: str) -> str:
    opening = re.match(r"\\?[\"']", value)
    closing = re.search(r"\\?[\"'][,)}\]]*\Z", value) if opening and len(value) > len(opening[0]) else None
    return f"{opening[0] if opening else ''}{MASK}{closing[0] if closing else ''}"


def _is_plain(key: str, value: str) -> bool:
    bare = value.strip("\"'\\,)}]").lower()
    if not bare or bare in _PLAIN_VALUES or bare[0] in "[{" or set(bare) == {"*"}:
        return True
    return "token" in key.lower() and _NUMBER.fullmatch(bare) is not None


def _is_prose(match: re.Match[str], value: re.Match[str]) -> bool:
    """Return whether it is a name with a port or a version, or a sentence: `invalid token: it has expired`."""
    key, sep, text = match["key"], match["sep"], match.string
    before = text[match.start() - 1] if match.start() else ""
    if sep == ":" and value[0][:1] not in {'"', "'"}:
        if before == "/" or _VERSION.fullmatch(value[0].rstrip(",:")):
            return True
        return not _PASSWORD.search(key)
    if not sep.strip():
        # `secret "db" not found`; only an option of a command has its value after a blank.
        return not key.startswith("-")
    after = text[value.end() : value.end() + 2]
    is_word = value[0].isalpha() and re.match(r"[ \t][A-Za-z\"']", after) is not None
    return sep.strip() == ":" and is_word and not _PASSWORD.search(key)


def _without_key_ends(text: str) -> str:
    """Return the text without the rest of a private key whose beginning was cut off."""
    while (end := _END_KEY.search(text)) is not None:
        lines = text[: end.start()].split("\n")
        kept = len(lines) if lines[-1].strip() else len(lines) - 1
        if kept and _LAST_RUN.search(lines[kept - 1]):
            kept -= 1
        while kept and _BASE64_RUN.search(lines[kept - 1]):
            kept -= 1
        text = "\n".join([*lines[:kept], MASK]) + text[end.end() :]
    return text
