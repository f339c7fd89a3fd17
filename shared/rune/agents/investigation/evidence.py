"""Whether a quote stands where it is said to stand. Code decides it, not a model."""

import json
import re

_MARKS = "`\"'“”‘’…. \t\r\n"  # noqa: RUF001  # what models put around quotes
_ID = re.compile(r"[A-Za-z]+[0-9]+")
_SHORTEST_CHARS = 3


def fold(text: str) -> str:
    """Return the text without case, and each run of blanks as one."""
    return " ".join(text.split()).casefold()


def readable_part(text: str) -> str:
    """Return a result without what the model itself has put into it: the scope in its header repeats arguments."""
    head, _, body = text.partition("\n")
    try:
        header = json.loads(head)
    except ValueError:
        return text
    if not isinstance(header, dict):
        return text
    told = {name: value for name, value in header.items() if name not in {"id", "scope"}}
    return f"{json.dumps(told, ensure_ascii=False)}\n{body}"


def stands_in(quote: str, text: str) -> bool:
    """Return whether a result has the quote; blanks and case do not count, and marks around it neither."""
    wanted = fold(quote.strip(_MARKS))
    if len(wanted) < _SHORTEST_CHARS or not any(char.isalnum() for char in wanted):
        return False
    return wanted in fold(readable_part(text))


def result_id_in(text: str) -> str:
    """Return the id in what a model wrote for it, such as `[e4]`."""
    found = _ID.search(text)
    return found.group().upper() if found else text.strip()
