"""Profiles in the user's own settings file are written here. Comments and order of the file stay."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rune_client.errors import SettingsError
from rune_client.settings import TOKEN_KEYS, VARIABLES

if TYPE_CHECKING:
    import tomlkit


def token_file_of(config: Path, profile: str) -> Path:
    """Return where a profile's token is kept where there is no keyring."""
    return config.parent / "tokens" / profile


def write_profile(config: Path, profile: str, values: Mapping[str, str], *, is_active: bool = True) -> None:
    """Write a profile, and make it the one that counts where none is named.

    Parameters
    ----------
    values
        Keys of `rune_client.settings.VARIABLES`, and `token_file` or `token_from`. What the profile had before is
        replaced.

    Raises
    ------
    SettingsError
        A key or the name is none, or the file cannot be written.
    """
    require_name(profile)
    unknown = [key for key in values if key not in VARIABLES and key not in TOKEN_KEYS]
    if unknown:
        raise SettingsError(f"A profile has no {', '.join(unknown)}.")
    import tomlkit  # noqa: PLC0415  # only who writes needs it

    document = _read(config)
    profiles = document.setdefault("profiles", tomlkit.table(is_super_table=True))
    table = tomlkit.table()
    for key, value in values.items():
        table.add(key, value)
    profiles[profile] = table
    if is_active:
        document["active_profile"] = profile
    _write(config, document)


def choose_profile(config: Path, profile: str) -> None:
    """Make a profile the one that counts where none is named."""
    document = _read(config)
    document["active_profile"] = profile
    _write(config, document)


def delete_profile(config: Path, profile: str) -> bool:
    """Remove a profile, and return whether it was there. Its token is elsewhere."""
    document = _read(config)
    profiles = document.get("profiles", {})
    if profile not in profiles:
        return False
    del profiles[profile]
    if document.get("active_profile") == profile:
        del document["active_profile"]
    _write(config, document)
    return True


def require_name(profile: str) -> None:
    """Refuse what is no name: it is a file's name too.

    Raises
    ------
    SettingsError
        It is none.
    """
    if not profile or profile.startswith(".") or not all(each.isalnum() or each in "-_." for each in profile):
        raise SettingsError("A profile's name has letters, digits, '-', '_' and '.', and no '.' first.")


def _read(config: Path) -> tomlkit.TOMLDocument:
    import tomlkit  # noqa: PLC0415
    from tomlkit.exceptions import TOMLKitError  # noqa: PLC0415

    if not config.is_file():
        return tomlkit.document()
    try:
        return tomlkit.parse(config.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, TOMLKitError) as error:
        raise SettingsError(f"{config} cannot be read: {type(error).__name__}.") from None


def _write(config: Path, document: tomlkit.TOMLDocument) -> None:
    """Write the file in one step, so that one who is interrupted leaves the old one."""
    import tomlkit  # noqa: PLC0415

    unfinished = config.with_name(f".{config.name}.{os.getpid()}")
    try:
        config.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished.write_text(tomlkit.dumps(document), encoding="utf-8")
        unfinished.replace(config)
    except OSError as error:
        raise SettingsError(f"{config} cannot be written: {error.strerror}.") from None
