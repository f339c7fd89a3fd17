"""The limit of an answer's size."""

import json

from rune.contracts.problems import Problem

LARGEST_ANSWER_BYTES = 5 * 1024 * 1024
"""Lambda refuses an answer of more than 6 MB, with its headers and as the JSON in which the body is a string.

https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
"""

_MOST_BYTES_A_CHARACTER = 7
"""An escaped control character, whose backslash is escaped again."""

ANSWER_TOO_LARGE = Problem(
    422,
    "answer_too_large",
    "The answer would be larger than 5 MiB; ask for less, or follow the links to records.",
)


def fits(body: str) -> bool:
    """Return whether a body may leave the function, as it is sent."""
    if len(body) * _MOST_BYTES_A_CHARACTER <= LARGEST_ANSWER_BYTES:
        return True
    return len(json.dumps(body, ensure_ascii=False).encode(errors="replace")) <= LARGEST_ANSWER_BYTES
