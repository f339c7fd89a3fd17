"""RUNE: runs LLM jobs on model servers and rented GPUs, and reports answers with numbers."""

__version__ = "0.1.0"
"""Of RUNE as a tool, as its reports name it; the same as in pyproject.toml."""
