"""What every tool is given."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from rune.kubernetes.tools.arguments import Arguments
from rune.kubernetes.tools.reader import ClusterReader
from rune.kubernetes.tools.results import Text


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a tool.

    Attributes
    ----------
    now
        Against which ages are told.
    """

    reader: ClusterReader
    arguments: Arguments
    now: datetime


type Tool = Callable[[Call], Awaitable[Text]]
"""Returns what was read; raises ToolError where nothing was."""
