"""Tools that are lent to a model. What they return is data of strangers, already bounded and masked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from rune.llm.protocol import ToolSpec


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a call returned.

    Attributes
    ----------
    id
        As the model quotes it, such as `E4`.
    text
        For the model: a header line of JSON, then text.
    is_error
        Whether nothing was read; the text then says why.
    """

    id: str
    text: str
    is_error: bool = False


class Toolbox(Protocol):
    """Reading tools over one place. The caller closes it."""

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """What the model is told of the tools."""
        ...

    async def run(
        self, name: str, arguments: Mapping[str, object], *, result_id: str, max_bytes: int
    ) -> ToolResult:
        """Run one tool; wrong arguments and refusals are results with `is_error`.

        Raises
        ------
        ModelServerError, AddressError
            The place cannot be reached, or refuses the credential itself.
        ServerOverloadedError
            It asks to be left alone for a time.
        """
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...
