"""Names that callers give."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def _refuse_unusable(name: str) -> str:
    if not name.strip():
        raise ValueError("The model's name is blank.")
    if _CONTROL.search(name):
        raise ValueError("The model's name holds a control character or a line break.")
    return name


type ModelName = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_refuse_unusable)]
"""Name of a model on its server. No server has a model whose name is blank or holds a control character."""
