"""Where tokens are read and kept: a variable, standard input, a file that nobody else can read, or the keyring.

Never a project's settings file, and never an argument, which every process of the machine can see.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Protocol, TextIO

from rune_client.errors import SettingsError
from rune_client.settings import Settings, origin_of

VARIABLE = "RUNE_API_TOKEN"
FILE_VARIABLE = "RUNE_API_TOKEN_FILE"
_SERVICE = "rune"
_LONGEST_BYTES = 8192
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Keyring(Protocol):
    """What is used of the package `keyring`."""

    def get_password(self, service_name: str, username: str) -> str | None:
        """Return what is kept under a name."""

    def set_password(self, service_name: str, username: str, password: str) -> None:
        """Keep it."""

    def delete_password(self, service_name: str, username: str) -> None:
        """Forget it."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token, and where it came from. Its representation does not have it."""

    value: str = field(repr=False)
    source: str


def read_token(
    settings: Settings,
    environment: Mapping[str, str],
    *,
    token_file: str | None = None,
    standard_input: TextIO | None = None,
    keyring: Keyring | None = None,
) -> Token | None:
    """Return the token to call with; None where there is none.

    Parameters
    ----------
    token_file
        Path of a flag; counts more than all else.
    standard_input
        Where the first line is the token, if that was asked for.
    keyring
        In place of the system's.

    Raises
    ------
    SettingsError
        A file is missing or others can read it; the keyring is not there; or the profile's token is for another
        address than the one that counts now, to which it is not sent.
    """
    if standard_input is not None:
        return _checked(standard_input.readline(_LONGEST_BYTES), "standard input")
    if token_file:
        return read_token_file(Path(token_file))
    if environment.get(VARIABLE):
        return _checked(environment[VARIABLE], VARIABLE)
    if environment.get(FILE_VARIABLE):
        return read_token_file(Path(environment[FILE_VARIABLE]))
    return _of_profile(settings, keyring)


def read_token_file(path: Path) -> Token:
    """Return the token in a file.

    Raises
    ------
    SettingsError
        It is missing, empty, no file of this user's, or others may read it.
    """
    path = path.expanduser()
    try:
        # Opened once, so what is looked at is what is read. Without waiting, as it may be a pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise SettingsError(f"The token file {path} cannot be read: {error.strerror}.") from None
    try:
        _require_own_file(path, os.fstat(descriptor))
        content = os.read(descriptor, _LONGEST_BYTES)
    finally:
        os.close(descriptor)
    try:
        return _checked(content.decode("ascii"), str(path))
    except UnicodeDecodeError:
        raise SettingsError(f"The token file {path} holds no token.") from None


def write_token_file(path: Path, token: str) -> None:
    """Write a token to a file that only this user can read, in one step."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(f"{token}\n")
    unfinished.replace(path)


def keep_in_keyring(profile: str, base_url: str, token: str, keyring: Keyring | None = None) -> None:
    """Keep a profile's token in the keyring, for one address.

    Raises
    ------
    SettingsError
        There is no keyring.
    """
    try:
        _keyring(keyring).set_password(_SERVICE, _user(profile, base_url), token)
    except SettingsError:
        raise
    except Exception as error:  # noqa: BLE001  # each backend has errors of its own
        raise SettingsError(f"The keyring does not take the token: {type(error).__name__}.") from None


def forget_in_keyring(profile: str, base_url: str, keyring: Keyring | None = None) -> bool:
    """Remove a profile's token from the keyring, and return whether it was there."""
    try:
        _keyring(keyring).delete_password(_SERVICE, _user(profile, base_url))
    except SettingsError:
        raise
    except Exception:  # noqa: BLE001  # as above; most likely there was none
        return False
    return True


def _require_own_file(path: Path, state: os.stat_result) -> None:
    if not stat.S_ISREG(state.st_mode):
        raise SettingsError(f"The token file {path} is no file.")
    if state.st_mode & _OTHERS:
        raise SettingsError(f"Others can read the token file {path}. Run: chmod 600 {path}")
    if state.st_uid != os.geteuid():
        raise SettingsError(f"The token file {path} belongs to another user.")


def _of_profile(settings: Settings, keyring: Keyring | None) -> Token | None:
    if settings.token_file is None and settings.token_from is None:
        return None
    _require_same_address(settings)
    if settings.token_file is not None:
        return read_token_file(Path(settings.token_file.value))
    return _of_keyring(settings, keyring)


def _of_keyring(settings: Settings, keyring: Keyring | None) -> Token | None:
    assert settings.token_from is not None  # noqa: S101  # for the types alone
    if settings.token_from.value != "keyring":
        raise SettingsError(f'{settings.token_from.source}: token_from is "keyring", or left out.')
    profile = settings.profile.value or ""
    try:
        found = _keyring(keyring).get_password(_SERVICE, _user(profile, settings.base_url.value))
    except SettingsError:
        raise
    except Exception as error:  # noqa: BLE001  # as above
        raise SettingsError(f"The keyring does not answer: {type(error).__name__}.") from None
    return None if found is None else _checked(found, "keyring")


def _keyring(given: Keyring | None) -> Keyring:
    if given is not None:
        return given
    try:
        found: Keyring = import_module("keyring")  # an extra, and slow to load
    except ImportError:
        raise SettingsError("There is no keyring: pip install 'rune-client[keyring]'.") from None
    return found


def _user(profile: str, base_url: str) -> str:
    return f"{profile} {origin_of(base_url)}"


def _require_same_address(settings: Settings) -> None:
    """Refuse to send a profile's token elsewhere: the address may be from a project that was downloaded."""
    kept_for, asked = settings.token_base_url, settings.base_url
    if kept_for is None or origin_of(kept_for) != origin_of(asked.value):
        raise SettingsError(
            f"The token of profile {settings.profile.value} is for {kept_for or 'no address'}, and "
            f"{asked.source} says {asked.value}. Set {VARIABLE} to send a token there."
        )


def _checked(content: str, source: str) -> Token:
    token = content.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise SettingsError(f"{source} holds no token.")
    return Token(token, source)
