"""Errors that end a simulated answer."""


class ServiceError(Exception):
    """An error that the service reports: a status before the answer, a chunk within it.

    Parameters
    ----------
    status
        HTTP status, of no meaning once the answer has begun.
    text
        The message, in the service's words.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class ConnectionCutError(Exception):
    """The connection is to break in the middle of the answer."""
