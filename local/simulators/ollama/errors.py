"""Errors of the simulated Ollama."""

from local.simulators.errors import ServiceError

# The two spaces are Ollama's.
OVERLOADED_TEXT = "server busy, please try again.  maximum pending requests exceeded"


class SignInError(ServiceError):
    """The 401 for a model of Ollama Cloud, which offers a page for signing in."""

    signin_url = "https://ollama.com/connect?name=simulated&key=none"

    def __init__(self) -> None:
        super().__init__(401, "unauthorized")


def not_found(name: str) -> ServiceError:
    """Return the 404 for a model that the server does not have, named as the client wrote it."""
    return ServiceError(404, f"model '{name}' not found")
