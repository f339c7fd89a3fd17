"""Tools that an agent lends to a model, under the names that agents use."""

from rune.llm.toolbox import Toolbox, ToolResult

__all__ = ["ToolResult", "Toolbox"]
