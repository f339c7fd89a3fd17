"""How a server with OpenAI's API differs from what RUNE asks first, learnt from its refusals.

Servers refuse fields that others need: newer models of OpenAI take `max_completion_tokens` alone, strict gateways
no `stream_options`, reasoning models no `temperature`. A field that a refusal names is left out or renamed, and the
chat is asked again. What was learnt so counts for all later chats of the job.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rune.errors import (
    ModelServerError,
    ModelUnsupportedError,
    RequestRejectedError,
    ServerAccessError,
    ServerFailedError,
    StreamFailedError,
)

LENGTH_FIELD = "max_tokens"
NEW_LENGTH_FIELD = "max_completion_tokens"

OPTIONAL_FIELDS = ("stream_options", "ignore_eos", "seed", "temperature", "tool_choice", "stream")
"""Fields of a chat without which it is the same chat, in the order in which they are given up unnamed."""

_REFUSALS = (RequestRejectedError, ModelUnsupportedError, ServerFailedError, StreamFailedError)

# Said where no field is named.
_UNKNOWN_FIELD = re.compile(
    r"extra (?:inputs|fields)|(?:unknown|unrecogni[sz]ed|unexpected|unsupported|additional)"
    r" (?:request )?(?:fields?|parameters?|arguments?|propert(?:y|ies)|keyword|keys?|options?)"
)
_WANTS_ANOTHER_NAME = re.compile(
    rf"{NEW_LENGTH_FIELD}|unsupported|not supported|unknown|unrecogni[sz]ed|unexpected|not permitted"
    r"|not allowed|deprecated"
)

_COMPLAINT = re.compile(
    r"support|unknown|unrecogni[sz]ed|unexpected|permitted|allowed|forbidden|extra|invalid|deprecated|must be"
    r"|should be|only the default|cannot be|remove|omit"
)
_NO_STREAMS = re.compile(
    r"(?:not|n't|un)\W?support\w*\b.{0,40}\bstream(?:ing|s)?\b"
    r"|\bstream(?:ing|s)?\b.{0,40}\b(?:not supported|unsupported|not available|must be false)"
)

_KEY_HEADERS = {
    "x-api-key": re.compile(r"x-api-key"),
    "api-key": re.compile(r"(?<!x-)api-key\b|subscription key"),
    "Authorization": re.compile(r"authorization|bearer"),
}


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a server was found to want.

    Attributes
    ----------
    left_out
        Fields that it refuses.
    length_field
        In which the longest answer is sent.
    takes_own_length
        Whether it takes a length that RUNE chose, such as the one token of a warm-up.
    api_path
        What follows the given address before `/chat/completions`, such as `/v1`; None where that is not known.
    key_header
        In which the key is sent.
    """

    left_out: tuple[str, ...] = ()
    length_field: str = LENGTH_FIELD
    takes_own_length: bool = True
    api_path: str | None = None
    key_header: str = "Authorization"

    def notes(self) -> tuple[str, ...]:
        """Return a sentence on each thing that chats lack or have otherwise."""
        said = [f"The server refuses {name}, which was left out." for name in self.left_out]
        if self.length_field != LENGTH_FIELD:
            said.append(f"The server refuses {LENGTH_FIELD}; {self.length_field} was sent instead.")
        if not self.takes_own_length:
            said.append("The server refuses the short limit of a warm-up, whose answer had none.")
        return tuple(said)


STANDARD = Dialect()
"""What every server is asked in first."""


def merge(one: Dialect, other: Dialect) -> Dialect:
    """Return all that both have learnt; where they differ otherwise, the later one counts."""
    return replace(
        other,
        left_out=tuple(sorted({*one.left_out, *other.left_out})),
        length_field=other.length_field if other.length_field != LENGTH_FIELD else one.length_field,
        takes_own_length=one.takes_own_length and other.takes_own_length,
        api_path=one.api_path if other.api_path is None else other.api_path,
    )


def learn(
    dialect: Dialect, body: Mapping[str, object], error: ModelServerError, *, wanted: Sequence[str]
) -> Dialect | None:
    """Return the dialect in which a refused chat may be taken; None where its fields are not what was refused.

    Parameters
    ----------
    body
        Of the chat, as it was sent.
    wanted
        Fields that the caller chose: without them, or with others, it would be another measurement. The length may
        have another name.
    """
    if not isinstance(error, _REFUSALS):
        return None
    told = error.told
    if dialect.length_field in body and _names(told, dialect.length_field):
        return _learn_length(dialect, told, is_wanted=LENGTH_FIELD in wanted)
    free = [name for name in OPTIONAL_FIELDS if name in body and name not in wanted]
    named = [name for name in free if _refuses(told, name)]
    if not named and free and _UNKNOWN_FIELD.search(told) and not _names_any(told, body):
        named = free[:1]
    if not named:
        return None
    return replace(dialect, left_out=tuple(sorted({*dialect.left_out, *named})))


def learn_key_header(dialect: Dialect, error: ModelServerError) -> Dialect | None:
    """Return the dialect with the header in which the server misses the key; None where it names no other."""
    if not isinstance(error, ServerAccessError):
        return None
    named = next((header for header, words in _KEY_HEADERS.items() if words.search(error.told)), None)
    return None if named in {None, dialect.key_header} else replace(dialect, key_header=named or "")


def _learn_length(dialect: Dialect, told: str, *, is_wanted: bool) -> Dialect | None:
    if dialect.length_field == LENGTH_FIELD and _WANTS_ANOTHER_NAME.search(told):
        return replace(dialect, length_field=NEW_LENGTH_FIELD)
    return None if is_wanted or not dialect.takes_own_length else replace(dialect, takes_own_length=False)


def _refuses(told: str, name: str) -> bool:
    if name == "stream":
        return _NO_STREAMS.search(told) is not None
    return _names(told, name) and _COMPLAINT.search(told) is not None


def _names(told: str, name: str) -> bool:
    return re.search(rf"(?<![a-z0-9_]){name}(?![a-z0-9_])", told) is not None


def _names_any(told: str, body: Mapping[str, object]) -> bool:
    return any(_names(told, name) for name in body if name not in _SPOKEN)


_SPOKEN = frozenset({"model", "messages", "stream"})
"""Names of fields that are also words of which a sentence may speak."""
