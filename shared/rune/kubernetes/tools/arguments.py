"""What a model gives a tool: read generously, since models write numbers as text and add what no tool has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rune.kubernetes.tools.errors import ToolError
from rune.llm.fields import as_list, as_object, mend_text
from rune.llm.protocol import ToolSpec

_MAX_TEXT_CHARS = 400
_MAX_IGNORED = 8
_TRUE, _FALSE = frozenset({"true", "yes", "1", "on"}), frozenset({"false", "no", "0", "off"})
_NOTHING = frozenset({"", "none", "null"})


@dataclass(frozen=True, slots=True)
class Arguments:
    """Arguments of one call, as the tool's schema has them.

    Attributes
    ----------
    ignored
        Names that the schema does not have.
    """

    texts: Mapping[str, str]
    numbers: Mapping[str, int]
    flags: Mapping[str, bool]
    ignored: Sequence[str] = ()

    def text(self, name: str) -> str | None:
        """Return a text; None where it was not given."""
        return self.texts.get(name)

    def required(self, name: str) -> str:
        """Return a text that the schema requires."""
        return self.texts[name]

    def number(self, name: str, default: int) -> int:
        """Return a number within the schema's bounds."""
        return self.numbers.get(name, default)

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return whether something is wanted."""
        return self.flags.get(name, default)

    def scope(self) -> dict[str, object]:
        """Return what was asked, for the head of the result."""
        return {**self.texts, **self.numbers, **self.flags}


def read_arguments(spec: ToolSpec, given: Mapping[str, object]) -> Arguments:
    """Return the arguments of a call.

    Raises
    ------
    ToolError
        A required one is missing, or a value cannot be read as its type (`bad_arguments`).
    """
    schemas = as_object(spec.parameters.get("properties"))
    texts: dict[str, str] = {}
    numbers: dict[str, int] = {}
    flags: dict[str, bool] = {}
    for name, schema in schemas.items():
        value = given.get(name)
        if value is None or (isinstance(value, str) and value.strip().lower() in _NOTHING):
            continue
        members = as_object(schema)
        match members.get("type"):
            case "integer":
                numbers[name] = _number(name, value, members)
            case "boolean":
                flags[name] = _flag(name, value)
            case _:
                texts[name] = _text(name, value, members)
    missing = [each for each in as_list(spec.parameters.get("required")) if each not in texts]
    if missing:
        raise ToolError("bad_arguments", f"{spec.name} needs {' and '.join(map(str, missing))}.")
    ignored = [mend_text(str(name))[:40] for name in given if name not in schemas][:_MAX_IGNORED]
    return Arguments(texts, numbers, flags, ignored)


def _number(name: str, value: object, schema: Mapping[str, object]) -> int:
    try:
        number = int(float(str(value).strip()))
    except (ValueError, OverflowError):
        raise ToolError("bad_arguments", f"{name} must be a whole number.") from None
    low, high = schema.get("minimum"), schema.get("maximum")
    number = max(number, low) if isinstance(low, int) else number
    return min(number, high) if isinstance(high, int) else number


def _flag(name: str, value: object) -> bool:
    text = str(value).strip().lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ToolError("bad_arguments", f"{name} must be true or false.")


def _text(name: str, value: object, schema: Mapping[str, object]) -> str:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, str | int | float):
        raise ToolError("bad_arguments", f"{name} must be a text.")
    text = mend_text(str(value)).strip()
    if len(text) > _MAX_TEXT_CHARS or not text.isprintable():
        raise ToolError("bad_arguments", f"{name} must be at most {_MAX_TEXT_CHARS} printable characters.")
    allowed = [str(each) for each in as_list(schema.get("enum"))]
    if allowed and text.lower() not in allowed:
        raise ToolError("bad_arguments", f"{name} must be one of {', '.join(allowed)}.")
    return text.lower() if allowed else text
