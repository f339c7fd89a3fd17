"""Request bodies, checked as Go checks them and refused in Go's words."""

import json
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from local.simulators.errors import ServiceError
from local.simulators.investigators import Call, Message
from local.simulators.ollama.durations import parse_keep_alive

_GO_KINDS = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}
_GO_TYPES = {
    "string_type": "string",
    "bool_type": "bool",
    "int_type": "int",
    "list_type": "[]json.RawMessage",
    "dict_type": "map[string]interface {}",
    "model_type": "struct",
}

KeepAlive = Annotated[float | str, AfterValidator(parse_keep_alive)]


def _check_think(value: object) -> object:
    if isinstance(value, str) and value not in {"low", "medium", "high", "max"}:
        raise ValueError(
            f'invalid think value: "{value}" (must be "high", "medium", "low", "max", true, or false)'
        )
    return value


class Body(BaseModel):
    """A request body; as in Go, null counts as absent and unknown fields are ignored."""

    model_config = ConfigDict(strict=True, extra="ignore")

    go_name: ClassVar[str] = "Request"

    @classmethod
    def read(cls, raw: bytes) -> Self:
        """Return the body of a request.

        Raises
        ------
        ServiceError
            400: the body is empty, not JSON, or has a field of the wrong type.
        """
        if not raw.strip():
            raise ServiceError(400, "missing request body")
        try:
            content = json.loads(raw)
        except json.JSONDecodeError as error:
            wrong = error.doc[error.pos : error.pos + 1]
            text = (
                f"invalid character '{wrong}' looking for beginning of value" if wrong else "unexpected EOF"
            )
            raise ServiceError(400, text) from error
        except UnicodeDecodeError as error:
            raise ServiceError(400, "invalid UTF-8 in request body") from error
        return cls.check(content)

    @classmethod
    def check(cls, content: object) -> Self:
        """Return the body in parsed JSON.

        Raises
        ------
        ServiceError
            400: a field of the wrong type.
        """
        if not isinstance(content, dict):
            kind = _GO_KINDS.get(type(content), "null")
            raise ServiceError(400, f"json: cannot unmarshal {kind} into Go value of type api.{cls.go_name}")
        try:
            return cls.model_validate({key: value for key, value in content.items() if value is not None})
        except ValidationError as error:
            raise ServiceError(400, cls._explain(error)) from error

    @classmethod
    def _explain(cls, error: ValidationError) -> str:
        first = error.errors(include_url=False)[0]
        if first["type"] == "value_error":
            return str(first["ctx"]["error"])
        field = ".".join(str(part) for part in first["loc"] if isinstance(part, str))
        kind = _GO_KINDS.get(type(first["input"]), "null")
        wanted = _GO_TYPES.get(first["type"], "value")
        return f"json: cannot unmarshal {kind} into Go struct field {cls.go_name}.{field} of type {wanted}"


class AskBody(Body):
    """The fields that `/api/generate` and `/api/chat` share."""

    model: str = ""
    stream: bool = True
    keep_alive: KeepAlive | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    think: Annotated[bool | str | None, BeforeValidator(_check_think)] = None
    truncate: bool = True
    shift: bool = True
    format: str | dict[str, Any] = ""


class GenerateBody(AskBody):
    """`/api/generate`; the simulator refuses a prompt."""

    go_name: ClassVar[str] = "GenerateRequest"

    prompt: str = ""


def _check_calls(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for call in calls:
        function = call.get("function")
        arguments = function.get("arguments") if isinstance(function, dict) else None
        if arguments is not None and not isinstance(arguments, dict):
            kind = _GO_KINDS.get(type(arguments), "null")
            raise ValueError(
                f"json: cannot unmarshal {kind} into Go value of type api.ToolCallFunctionArguments"
            )
    return calls


class MessageBody(Body):
    """One message of `/api/chat`."""

    role: str = ""
    content: str | None = ""
    tool_calls: Annotated[list[dict[str, Any]], AfterValidator(_check_calls)] | None = None

    @property
    def text(self) -> str:
        """The part of the prompt: the message's text and its tool calls."""
        calls = json.dumps(self.tool_calls) if self.tool_calls else ""
        return (self.content or "") + calls

    def as_message(self) -> Message:
        """Return the message with its calls apart, for a scripted investigator."""
        functions = [call.get("function") or {} for call in self.tool_calls or []]
        calls = tuple(
            Call(str(function.get("name", "")), function.get("arguments") or {}) for function in functions
        )
        return Message(self.role, self.content or "", calls)


class ChatBody(AskBody):
    """`/api/chat`."""

    go_name: ClassVar[str] = "ChatRequest"

    messages: list[MessageBody] = Field(default_factory=list)
    tools: list[dict[str, Any]] = Field(default_factory=list)


class NamedBody(Body):
    """A body that names a model; `name` is the older field for `model`."""

    go_name: ClassVar[str] = "ShowRequest"

    model: str = ""
    name: str = ""

    @property
    def model_name(self) -> str:
        """The name in either field."""
        return self.model or self.name


class PullBody(NamedBody):
    """`/api/pull`."""

    go_name: ClassVar[str] = "PullRequest"

    stream: bool = True
