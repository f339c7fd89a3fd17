"""Where RUNE is and as whom it is called, and where each value came from.

Flags count more than variables, those more than `./rune.yaml`, that more than `$XDG_CONFIG_HOME/rune/config.toml`.
Both files have one form, which is the one of RUNE's other command line::

    defaults:
      model: llama3.1:8b
    profiles:
      staging:
        api_base_url: https://staging.example.org
        api_tenant: acme

A profile counts more than defaults. Tokens stand in neither file: `rune_client.tokens` says where they are read.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rune_client.errors import SettingsError

DEFAULT_BASE_URL = "http://localhost:8080"
_LONGEST_FILE_BYTES = 1024 * 1024

VARIABLES: Mapping[str, str] = {
    **{
        key: f"RUNE_{key.upper()}"
        for key in (
            "api_base_url",
            "api_tenant",
            "backend",
            "debug",
            "insecure",
            "api_host",
            "api_port",
            "backend_type",
            "backend_url",
            "backend_warmup",
            "backend_warmup_timeout",
            "question",
            "model",
            "agent",
            "kubeconfig",
            "vastai",
            "vastai_stop_instance",
        )
    },
    "template_hash": "RUNE_VASTAI_TEMPLATE",
    "min_dph": "RUNE_VASTAI_MIN_DPH",
    "max_dph": "RUNE_VASTAI_MAX_DPH",
    "reliability": "RUNE_VASTAI_RELIABILITY",
}
"""Each key of a settings file, and the variable that counts more."""

TOKEN_KEYS = frozenset({"token_file", "token_from"})
"""Where a profile's token is. Only the user's own file may say it: a project's comes with what was downloaded."""

_SECRET_WORDS = ("token", "secret", "password", "api_key", "apikey")


@dataclass(frozen=True, slots=True)
class Setting[T]:
    """A value, and where it came from: `--api-base-url`, `RUNE_API_BASE_URL`, `rune.yaml, profile staging`."""

    value: T
    source: str


@dataclass(frozen=True, slots=True)
class Flags:
    """What stands on the command line; None is not given."""

    base_url: str | None = None
    tenant: str | None = None
    profile: str | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """What counts, and where it came from.

    Attributes
    ----------
    base_url, tenant, profile
        Where RUNE is, whose tenant it is called as (None: the server's default), which profile was chosen.
    options
        Every other value of a settings file by its variable, as text (true is `1`, false is `0`), where the
        variable itself is not set: what a command's options take in its place.
    token_file, token_from
        Where the chosen profile has its token; None where it says nothing.
    token_base_url
        For which address that token is; it is sent to no other.
    warnings
        What is odd, in sentences.
    files
        The settings files that were read.
    """

    base_url: Setting[str]
    tenant: Setting[str | None]
    profile: Setting[str | None]
    options: Mapping[str, Setting[str]] = field(default_factory=dict)
    token_file: Setting[str] | None = None
    token_from: Setting[str] | None = None
    token_base_url: str | None = None
    warnings: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class _File:
    """A settings file: its name for people, and what it says."""

    name: str
    document: Mapping[str, Any]

    @property
    def defaults(self) -> Mapping[str, Any]:
        return _table(self.document.get("defaults"), f"{self.name}: defaults")

    @property
    def profiles(self) -> Mapping[str, Any]:
        return _table(self.document.get("profiles"), f"{self.name}: profiles")

    def profile(self, name: str | None) -> Mapping[str, Any]:
        return {} if name is None else _table(self.profiles.get(name), f"{self.name}: profiles.{name}")


def config_path(environment: Mapping[str, str]) -> Path:
    """Return where the user's own settings are: `$XDG_CONFIG_HOME/rune/config.toml`."""
    home = environment.get("XDG_CONFIG_HOME", "")
    # The specification says that a relative path is to be ignored.
    base = Path(home) if home.startswith("/") else Path(environment.get("HOME") or Path.home()) / ".config"
    return base / "rune" / "config.toml"


def read_settings(flags: Flags, environment: Mapping[str, str], folder: Path) -> Settings:
    """Return what counts, of flags, variables and the settings files.

    Parameters
    ----------
    folder
        Where `rune.yaml` (or `rune.yml`) is looked for, not above it.

    Raises
    ------
    SettingsError
        A file cannot be read, holds a token, or no file has the profile.
    """
    project_path, own_path = _project_path(folder), config_path(environment)
    project = _File(project_path.name if project_path else "rune.yaml", _read_yaml(project_path))
    own = _File(str(own_path), _read_toml(own_path))
    _refuse_secrets(project, frozenset())
    _refuse_secrets(own, TOKEN_KEYS)
    profile = _chosen_profile(flags, environment, own)
    _require_profile(profile, project, own)
    layers = list(_layers(profile, project, own))
    base_url = _resolve("api_base_url", flags.base_url, "--api-base-url", environment, layers)
    tenant = _resolve("api_tenant", flags.tenant, "--api-tenant", environment, layers)
    chosen_url = base_url or Setting(DEFAULT_BASE_URL, "default")
    url = Setting(with_scheme(chosen_url.value), chosen_url.source)
    own_profile = own.profile(profile.value)
    token_base_url = own_profile.get("api_base_url", own.defaults.get("api_base_url"))
    return Settings(
        base_url=url,
        tenant=Setting(None, "default") if tenant is None else Setting(tenant.value, tenant.source),
        profile=profile,
        options=_options(environment, layers),
        token_file=_beside(own_path, _own(own_profile, "token_file", own, profile)),
        token_from=_own(own_profile, "token_from", own, profile),
        token_base_url=None if token_base_url is None else with_scheme(str(token_base_url)),
        warnings=(*_unknown_keys(project), *_unknown_keys(own), *_unencrypted(url.value)),
        files=tuple(path for path in (project_path, own_path) if path is not None and path.is_file()),
    )


def with_scheme(base_url: str) -> str:
    """Return an address with a scheme; `http://` where it has none, as RUNE's other command line takes it."""
    return base_url if "://" in base_url else f"http://{base_url}"


def origin_of(base_url: str) -> str:
    """Return scheme, host and port of an address, in one spelling."""
    parts = urlsplit(with_scheme(base_url))
    try:
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        raise SettingsError("The port of the base URL is no number.") from None
    return f"{parts.scheme}://{parts.hostname}:{port}"


def _project_path(folder: Path) -> Path | None:
    return next((path for name in ("rune.yaml", "rune.yml") if (path := folder / name).is_file()), None)


def _text_of_file(path: Path) -> str:
    try:
        if path.stat().st_size > _LONGEST_FILE_BYTES:
            raise SettingsError(f"{path} is larger than 1 MiB, so it is no settings file.")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {type(error).__name__}.") from None


def _read_yaml(path: Path | None) -> Mapping[str, Any]:
    if path is None:
        return {}
    import yaml  # type: ignore[import-untyped]  # noqa: PLC0415  # 20 ms that only who has the file needs

    try:
        document = yaml.safe_load(_text_of_file(path))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f", line {mark.line + 1}"
        raise SettingsError(f"{path}{where} is not YAML.") from None
    return _table(document, str(path))


def _read_toml(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    try:
        return tomllib.loads(_text_of_file(path))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not TOML: {str(error).rpartition('(')[2].rstrip(')')}.") from None


def _table(value: object, what: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise SettingsError(f"{what} must be keys with values.")
    return {str(key): each for key, each in value.items()}


def _sections(file: _File) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield "", {key: each for key, each in file.document.items() if not isinstance(each, Mapping)}
    yield "defaults.", file.defaults
    for name in file.profiles:
        yield f"profiles.{name}.", file.profile(name)


def _refuse_secrets(file: _File, allowed: frozenset[str]) -> None:
    for where, section in _sections(file):
        for key in section:
            if key not in allowed and any(word in key.lower().replace("-", "_") for word in _SECRET_WORDS):
                raise SettingsError(
                    f"{file.name} has {where}{key}. Tokens are not read from there, and it should be removed: set "
                    "RUNE_API_TOKEN, or run `rune login`."
                )


def _chosen_profile(flags: Flags, environment: Mapping[str, str], own: _File) -> Setting[str | None]:
    if flags.profile:
        return Setting(flags.profile, "--profile")
    if environment.get("RUNE_PROFILE"):
        return Setting(environment["RUNE_PROFILE"], "RUNE_PROFILE")
    active = own.document.get("active_profile")
    if active is not None and not isinstance(active, str):
        raise SettingsError(f"{own.name}: active_profile must be a name.")
    return Setting(active, own.name) if active else Setting(None, "default")


def _require_profile(profile: Setting[str | None], *files: _File) -> None:
    known = sorted({name for file in files for name in file.profiles})
    if profile.value is None or profile.value in known:
        return
    close = get_close_matches(profile.value, known, n=1)
    hint = f"Did you mean {close[0]}?" if close else f"There are: {', '.join(known) or 'none'}."
    raise SettingsError(f"There is no profile {profile.value} ({profile.source}). {hint}")


def _layers(
    profile: Setting[str | None], project: _File, own: _File
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield what files say, most important first.

    A profile that was asked for counts more than all defaults. One that is merely the user's usual one does not: a
    project's own defaults say where the project's RUNE is.
    """
    name = profile.value
    named = [(f"{file.name}, profile {name}", file.profile(name)) for file in (project, own)]
    is_asked_for = profile.source != own.name
    yield named[0]
    if is_asked_for:
        yield named[1]
    yield f"{project.name}, defaults", project.defaults
    if not is_asked_for:
        yield named[1]
    yield f"{own.name}, defaults", own.defaults


def _resolve(
    key: str,
    flag: str | None,
    flag_name: str,
    environment: Mapping[str, str],
    layers: list[tuple[str, Mapping[str, Any]]],
) -> Setting[str] | None:
    if flag:
        return Setting(flag, flag_name)
    variable = VARIABLES[key]
    if environment.get(variable):
        return Setting(environment[variable], variable)
    return _of_files(key, layers)


def _of_files(key: str, layers: list[tuple[str, Mapping[str, Any]]]) -> Setting[str] | None:
    return next(
        (
            Setting(_as_text(layer[key], f"{source}: {key}"), source)
            for source, layer in layers
            if layer.get(key) is not None
        ),
        None,
    )


def _as_text(value: object, what: str) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, (str, int, float)):
        return str(value)
    raise SettingsError(f"{what} must be a text, a number, true or false.")


def _options(
    environment: Mapping[str, str], layers: list[tuple[str, Mapping[str, Any]]]
) -> dict[str, Setting[str]]:
    found = {
        variable: _of_files(key, layers)
        for key, variable in VARIABLES.items()
        if key not in {"api_base_url", "api_tenant"} and not environment.get(variable)
    }
    return {variable: setting for variable, setting in found.items() if setting is not None}


def _own(
    section: Mapping[str, Any], key: str, own: _File, profile: Setting[str | None]
) -> Setting[str] | None:
    value = section.get(key)
    return (
        None
        if value is None
        else Setting(_as_text(value, f"{own.name}: {key}"), f"{own.name}, profile {profile.value}")
    )


def _beside(config: Path, setting: Setting[str] | None) -> Setting[str] | None:
    """Return a path of the user's own file, which is relative to that file's folder."""
    if setting is None:
        return None
    return Setting(str(config.parent / Path(setting.value).expanduser()), setting.source)


def _unknown_keys(file: _File) -> Iterator[str]:
    known = {*VARIABLES, *TOKEN_KEYS}
    for where, section in _sections(file):
        for key in section if where else ():
            if key not in known:
                close = get_close_matches(key, known, n=1)
                yield f"{file.name}: {where}{key} is not known." + (
                    f" Did you mean {close[0]}?" if close else ""
                )


def _unencrypted(base_url: str) -> Iterator[str]:
    parts = urlsplit(base_url)
    if parts.scheme == "http" and not _is_this_machine(parts.hostname or ""):
        yield f"{parts.hostname} is asked over http: the token can be read on the way. Use https."


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
