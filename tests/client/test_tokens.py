"""Where a token is read, and to which address it is sent."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path

import pytest

from rune_client import tokens
from rune_client.errors import SettingsError
from rune_client.settings import Setting, Settings

TOKEN = "t0ken-of-a-tenant-which-nobody-may-ever-see"
URL = "https://rune.example.org"


class MemoryKeyring:
    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service_name: str, username: str) -> str | None:
        return self.kept.get((service_name, username))

    def set_password(self, service_name: str, username: str, password: str) -> None:
        self.kept[service_name, username] = password

    def delete_password(self, service_name: str, username: str) -> None:
        del self.kept[service_name, username]


class LockedKeyring(MemoryKeyring):
    def get_password(self, service_name: str, username: str) -> str | None:
        raise RuntimeError(TOKEN)


def some_settings(
    *,
    token_file: Path | None = None,
    token_from: str | None = None,
    url: str = URL,
    kept_for: str | None = URL,
) -> Settings:
    return Settings(
        base_url=Setting(url, "rune.yaml, defaults"),
        tenant=Setting(None, "default"),
        profile=Setting("prod", "--profile"),
        token_file=None if token_file is None else Setting(str(token_file), "config.toml"),
        token_from=None if token_from is None else Setting(token_from, "config.toml"),
        token_base_url=kept_for,
    )


def test_token_is_not_in_its_representation() -> None:
    token = tokens.read_token(some_settings(), {"RUNE_API_TOKEN": TOKEN})

    assert token is not None
    assert token.value == TOKEN
    assert repr(token) == "Token(source='RUNE_API_TOKEN')"


def test_without_anything_there_is_none() -> None:
    assert tokens.read_token(some_settings(), {}) is None


def test_order_is_input_flag_variable_file_of_variable_profile(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("flag", "variable", "profile")]
    for path in paths:
        tokens.write_token_file(path, f"of-{path.name}")
    settings = some_settings(token_file=paths[2])
    both = {"RUNE_API_TOKEN": "of-environment", "RUNE_API_TOKEN_FILE": str(paths[1])}
    one = {"RUNE_API_TOKEN_FILE": str(paths[1])}

    found = [
        tokens.read_token(
            settings, both, token_file=str(paths[0]), standard_input=io.StringIO("of-input\nrest")
        ),
        tokens.read_token(settings, both, token_file=str(paths[0])),
        tokens.read_token(settings, both),
        tokens.read_token(settings, one),
        tokens.read_token(settings, {}),
    ]

    assert [token and token.value for token in found] == [
        "of-input",
        "of-flag",
        "of-environment",
        "of-variable",
        "of-profile",
    ]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o620, 0o604])
def test_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "token"
    path.write_text(TOKEN)
    path.chmod(mode)

    with pytest.raises(SettingsError, match=r"Others can read .* chmod 600"):
        tokens.read_token_file(path)


def test_file_that_is_written_is_for_this_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "tokens" / "prod"
    path.parent.mkdir()
    path.write_text("an older one, which all can read")
    path.chmod(0o644)

    tokens.write_token_file(path, TOKEN)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert tokens.read_token_file(path).value == TOKEN
    assert [each.name for each in path.parent.iterdir()] == ["prod"]


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "folder").mkdir(mode=0o700)

    for name, sentence in (("pipe", "is no file"), ("folder", "is no file"), ("none", "cannot be read")):
        with pytest.raises(SettingsError, match=sentence):
            tokens.read_token_file(tmp_path / name)


@pytest.mark.parametrize("content", ["", "\n", "two words", "tökén", "a\nb"])
def test_file_without_a_token_is_refused_without_repeating_it(tmp_path: Path, content: str) -> None:
    path = tmp_path / "token"
    path.touch(mode=0o600)
    path.write_text(content)

    with pytest.raises(SettingsError, match="holds no token") as raised:
        tokens.read_token_file(path)

    assert "two" not in str(raised.value)


def test_keyring_keeps_a_token_for_one_address() -> None:
    keyring = MemoryKeyring()
    tokens.keep_in_keyring("prod", URL, TOKEN, keyring)

    settings = some_settings(token_from="keyring", url=f"{URL}:443/")
    token = tokens.read_token(settings, {}, keyring=keyring)

    assert token == tokens.Token(TOKEN, "keyring")
    assert tokens.forget_in_keyring("prod", URL, keyring)
    assert not tokens.forget_in_keyring("prod", URL, keyring)
    assert tokens.read_token(settings, {}, keyring=keyring) is None


@pytest.mark.parametrize("url", ["https://evil.example.org", "http://rune.example.org", f"{URL}:8443"])
def test_profiles_token_is_not_sent_to_another_address(tmp_path: Path, url: str) -> None:
    path = tmp_path / "token"
    tokens.write_token_file(path, TOKEN)

    with pytest.raises(
        SettingsError, match=r"is for https://rune.example.org, and rune\.yaml, defaults says"
    ):
        tokens.read_token(some_settings(token_file=path, url=url), {})


def test_profile_without_an_address_has_no_token_for_any(tmp_path: Path) -> None:
    path = tmp_path / "token"
    tokens.write_token_file(path, TOKEN)

    with pytest.raises(SettingsError, match="is for no address"):
        tokens.read_token(some_settings(token_file=path, kept_for=None), {})


def test_keyring_that_does_not_answer_is_told_without_what_it_says() -> None:
    with pytest.raises(SettingsError, match="does not answer: RuntimeError") as raised:
        tokens.read_token(some_settings(token_from="keyring"), {}, keyring=LockedKeyring())

    assert TOKEN not in str(raised.value)


def test_other_place_than_the_keyring_is_refused() -> None:
    with pytest.raises(SettingsError, match='token_from is "keyring"'):
        tokens.read_token(some_settings(token_from="vault"), {}, keyring=MemoryKeyring())
