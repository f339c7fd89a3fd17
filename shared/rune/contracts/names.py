"""Names that callers give."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

MAX_MODEL_NAME_CHARS = 256
"""Servers that were started with a path call the model by it: 145 characters were seen."""

MAX_MODEL_NAME_BYTES = 512
"""In UTF-8. The name ends a sort key of a row of usage, which DynamoDB bounds to 1024 bytes."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_UNSEEN = re.compile(r"[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")
"""What shows as nothing, or turns the text after it around (https://www.unicode.org/reports/tr9)."""


def _refuse_unusable(name: str) -> str:
    if not name.strip():
        raise ValueError("The model's name is blank.")
    if _CONTROL.search(name):
        raise ValueError("The model's name holds a control character or a line break.")
    if _UNSEEN.search(name):
        raise ValueError("The model's name holds a character that cannot be seen.")
    if len(name.encode()) > MAX_MODEL_NAME_BYTES:
        raise ValueError(f"The model's name has more than {MAX_MODEL_NAME_BYTES} bytes.")
    return name


type ModelName = Annotated[
    str, Field(min_length=1, max_length=MAX_MODEL_NAME_CHARS), AfterValidator(_refuse_unusable)
]
"""Name of a model on its server. No server has a model whose name is blank, or holds a control character
or one that cannot be seen."""
