"""What stops a command: one sentence for the operator."""

from click import ClickException


class OperatorError(ClickException):
    """The command could not be carried out, and says why; its exit code is 1."""
