"""What a simulated Ollama server refuses."""


class OllamaError(Exception):
    """An answer other than success; before the first byte a status, afterwards an error line.

    Parameters
    ----------
    signin_url
        Sent beside the text where the real server offers one.
    """

    def __init__(self, status: int, text: str, *, signin_url: str | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.signin_url = signin_url


class ConnectionBrokenError(Exception):
    """The connection is to break in the middle of the answer."""


def not_found(name: str) -> OllamaError:
    """Return the 404 for a model that the server does not have, named as the client wrote it."""
    return OllamaError(404, f"model '{name}' not found")
