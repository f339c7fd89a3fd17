"""Which server a command asks, and as whom."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import httpx

from rune_client import AsyncRuneClient, InvalidArgumentError, RuneClient
from rune_client.cli.debugging import ShownTransport
from rune_client.cli.output import Output
from rune_client.settings import Flags, Settings, read_settings
from rune_client.tokens import VARIABLE, Token, read_token

UNTIL_GIVEN_UP = {
    "RUNE_CLIENT_RETRIES": 4.0,
    "RUNE_CLIENT_DEADLINE_SECONDS": 90.0,
    "RUNE_CLIENT_PATIENCE_SECONDS": 300.0,
}
"""How patient a command is: tries of a call, seconds for all of them, and seconds that a job is followed through an
outage. A variable for each, for pipelines that would rather fail."""


@dataclass(frozen=True)
class GlobalOptions:
    """What stands before the command."""

    profile: str | None = None
    base_url: str | None = None
    token: str | None = field(default=None, repr=False)
    tenant: str | None = None
    is_json: bool = False
    is_debug: bool = False
    is_insecure: bool = False


def settings_of(options: GlobalOptions) -> Settings:
    """Return the settings that count in this folder.

    Raises
    ------
    SettingsError
        A file cannot be read, or holds a token.
    """
    flags = Flags(base_url=options.base_url, tenant=options.tenant, profile=options.profile)
    return read_settings(flags, os.environ, Path.cwd())


def token_of(options: GlobalOptions, settings: Settings) -> Token | None:
    """Return the token: of the command line, the environment, a file or the keyring; None where there is none."""
    if options.token == "-":  # noqa: S105  # stdin
        return read_token(settings, os.environ, standard_input=sys.stdin)
    if options.token:
        return Token(options.token, "--api-token")
    return read_token(settings, os.environ)


@dataclass(frozen=True)
class Connection:
    """A server, and how it is asked. The token is read when the first request needs it."""

    options: GlobalOptions
    settings: Settings
    output: Output

    @classmethod
    def of(cls, options: GlobalOptions, settings: Settings, output: Output) -> Connection:
        """Return the connection of a call, and say what is odd about it."""
        for warning in settings.warnings:
            output.note(warning)
        if options.token not in {None, "-"}:
            output.note(f"a token on the command line is seen by others on this machine: set {VARIABLE}.")
        return cls(options, settings, output)

    @property
    def base_url(self) -> str:
        """Where it is."""
        return self.settings.base_url.value

    @property
    def tenant(self) -> str | None:
        """Whose jobs; None for the server's default."""
        return self.settings.tenant.value

    @cached_property
    def token(self) -> Token | None:
        """As whom."""
        token = token_of(self.options, self.settings)
        source = self.settings.base_url.source
        if token is not None and token.source == VARIABLE and source.startswith("rune.y"):
            self.output.note(f"{VARIABLE} is sent to {self.base_url}, as {source} says.")
        return token

    @cached_property
    def client(self) -> RuneClient:
        """The client, with its own retries."""
        try:
            return self._made_client()
        except InvalidArgumentError as error:
            if not str(error).startswith("The base URL"):
                raise
            raise InvalidArgumentError(f"{error} It came from {self._source}.") from None

    @property
    def _source(self) -> str:
        source = self.settings.base_url.source
        return "RUNE's default" if source == "default" else source

    def _made_client(self) -> RuneClient:
        patience = {name: _number(name, default) for name, default in UNTIL_GIVEN_UP.items()}
        return RuneClient(
            self.base_url,
            None if self.token is None else self.token.value,
            tenant=self.tenant,
            retries=int(patience["RUNE_CLIENT_RETRIES"]),
            deadline_seconds=patience["RUNE_CLIENT_DEADLINE_SECONDS"],
            patience_seconds=patience["RUNE_CLIENT_PATIENCE_SECONDS"],
            transport=self._transport(),
            user_agent="rune-cli",
        )

    def async_client(self) -> AsyncRuneClient:
        """Return a client for asyncio; who asks for it closes it."""
        token = None if self.token is None else self.token.value
        return AsyncRuneClient(self.base_url, token, tenant=self.tenant, user_agent="rune-cli")

    def close(self) -> None:
        """Close the client's connections."""
        if "client" in self.__dict__:
            self.client.close()

    def _transport(self) -> httpx.BaseTransport | None:
        if not self.options.is_debug and not self.options.is_insecure:
            return None
        plain = httpx.HTTPTransport(verify=not self.options.is_insecure)
        return ShownTransport(plain, self.output) if self.options.is_debug else plain


def _number(name: str, default: float) -> float:
    try:
        return max(0.0, float(os.environ[name]))
    except (KeyError, ValueError):
        return default
