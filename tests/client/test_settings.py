"""Which value counts, where it came from, and what a settings file may not hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from rune_client import profiles
from rune_client.errors import SettingsError
from rune_client.settings import Flags, Setting, Settings, config_path, read_settings

PROJECT = """
version: "1"
defaults:
  model: llama3.1:8b
  backend_warmup: false
  min_dph: 2.3
profiles:
  staging:
    api_base_url: staging.example.org
    api_tenant: acme
attestation:
  driver: noop
"""

OWN = """
active_profile = "prod"

[defaults]
question = "What is unhealthy?"

[profiles.prod]
api_base_url = "https://rune.example.org"
api_tenant = "mine"
token_file = "tokens/prod"
"""


class Home:
    """A project's folder, and the user's own settings."""

    def __init__(self, path: Path) -> None:
        self.folder = path / "project"
        self.environment = {"XDG_CONFIG_HOME": str(path / "config")}
        self.config = path / "config" / "rune" / "config.toml"
        self.folder.mkdir()
        self.config.parent.mkdir(parents=True)

    def write(self, *, project: str | None = None, own: str | None = None) -> None:
        if project is not None:
            (self.folder / "rune.yaml").write_text(project)
        if own is not None:
            self.config.write_text(own)

    def read(self, flags: Flags | None = None, /, **variables: str) -> Settings:
        return read_settings(flags or Flags(), {**self.environment, **variables}, self.folder)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_without_anything_it_is_the_local_stack(home: Home) -> None:
    settings = home.read()

    assert settings.base_url == Setting("http://localhost:8080", "default")
    assert settings.tenant == Setting(None, "default")
    assert (settings.warnings, settings.files) == ((), ())


def test_flag_counts_more_than_variable_than_project_than_own_file(home: Home) -> None:
    home.write(
        project="defaults: {api_base_url: 'http://localhost:1'}",
        own="[defaults]\napi_base_url = 'http://localhost:2'",
    )
    variable = {"RUNE_API_BASE_URL": "http://localhost:3"}

    found = [
        home.read(Flags(base_url="http://localhost:4"), **variable).base_url,
        home.read(**variable).base_url,
        home.read().base_url,
    ]
    (home.folder / "rune.yaml").unlink()
    found.append(home.read().base_url)

    assert found == [
        Setting("http://localhost:4", "--api-base-url"),
        Setting("http://localhost:3", "RUNE_API_BASE_URL"),
        Setting("http://localhost:1", "rune.yaml, defaults"),
        Setting("http://localhost:2", f"{home.config}, defaults"),
    ]


@pytest.mark.parametrize(
    ("flags", "variables", "source"),
    [
        (Flags(profile="staging"), {}, "--profile"),
        (Flags(), {"RUNE_PROFILE": "staging"}, "RUNE_PROFILE"),
    ],
)
def test_profile_is_chosen(home: Home, flags: Flags, variables: Mapping[str, str], source: str) -> None:
    home.write(project=PROJECT, own=OWN)

    settings = home.read(flags, **variables)

    assert settings.profile == Setting("staging", source)
    assert settings.base_url == Setting("http://staging.example.org", "rune.yaml, profile staging")
    assert settings.tenant.value == "acme"
    assert settings.token_file is None


def test_usual_profile_gives_way_to_a_projects_defaults(home: Home) -> None:
    home.write(project="defaults: {api_base_url: 'http://localhost:9'}", own=OWN)

    assert home.read().base_url.value == "http://localhost:9"
    assert home.read(Flags(profile="prod")).base_url.value == "https://rune.example.org"


def test_options_are_the_variables_that_are_not_set(home: Home) -> None:
    home.write(project=PROJECT, own=OWN)

    options = home.read(RUNE_MODEL="qwen3:8b").options

    assert {name: setting.value for name, setting in options.items()} == {
        "RUNE_BACKEND_WARMUP": "0",
        "RUNE_VASTAI_MIN_DPH": "2.3",
        "RUNE_QUESTION": "What is unhealthy?",
    }


def test_token_file_is_beside_the_file_that_names_it(home: Home) -> None:
    home.write(own=OWN)

    settings = home.read()

    assert settings.token_file is not None
    assert settings.token_file.value == str(home.config.parent / "tokens" / "prod")
    assert settings.token_base_url == "https://rune.example.org"


@pytest.mark.parametrize(
    "project",
    [
        "defaults: {api_token: s3cret}",
        "profiles: {a: {api_token: s3cret}}",
        "api_key: s3cret",
        "defaults: {token_file: s3cret}",
        "defaults: {backend_password: s3cret}",
    ],
)
def test_projects_file_with_a_token_is_refused_without_repeating_it(home: Home, project: str) -> None:
    home.write(project=project)

    with pytest.raises(SettingsError, match=r"rune\.yaml has .*Tokens are not read from there") as raised:
        home.read()

    assert "s3cret" not in str(raised.value)


def test_own_file_with_a_token_is_refused(home: Home) -> None:
    home.write(own="[profiles.a]\napi_token = 's3cret'")

    with pytest.raises(SettingsError, match=r"profiles\.a\.api_token"):
        home.read()


@pytest.mark.parametrize(
    ("project", "own", "sentence"),
    [
        ("defaults: [1, 2", None, r"rune\.yaml, line 1 is not YAML\."),
        ("- a\n- b", None, r"rune\.yaml must be keys with values\."),
        ("profiles: 3", None, r"rune\.yaml: profiles must be keys with values\."),
        ("defaults: {model: [a]}", None, "must be a text, a number, true or false"),
        ("!!python/object/apply:os.system ['true']", None, "is not YAML"),
        (None, "a = ", "is not TOML: at "),
        (None, "active_profile = 3", "active_profile must be a name"),
        (None, "active_profile = 'nowhere'", r"There is no profile nowhere .* There are: none\."),
    ],
)
def test_file_that_says_nothing_of_use_is_refused_in_a_sentence(
    home: Home, project: str | None, own: str | None, sentence: str
) -> None:
    home.write(project=project, own=own)

    with pytest.raises(SettingsError, match=sentence):
        home.read()


def test_unknown_profile_is_answered_with_the_one_that_was_meant(home: Home) -> None:
    home.write(project=PROJECT)

    with pytest.raises(SettingsError, match=r"no profile stagin \(--profile\)\. Did you mean staging\?"):
        home.read(Flags(profile="stagin"))


def test_what_is_odd_is_told(home: Home) -> None:
    home.write(project="defaults: {modle: a, api_base_url: 'http://rune.example.org'}")

    assert home.read().warnings == (
        "rune.yaml: defaults.modle is not known. Did you mean model?",
        "rune.example.org is asked over http: the token can be read on the way. Use https.",
    )


def test_config_is_in_the_home_where_no_other_place_is_named() -> None:
    assert config_path({"HOME": "/home/x"}) == Path("/home/x/.config/rune/config.toml")
    assert config_path({"HOME": "/home/x", "XDG_CONFIG_HOME": "relative"}) == Path(
        "/home/x/.config/rune/config.toml"
    )


def test_profile_that_is_written_is_read_and_comments_stay(home: Home) -> None:
    home.write(own="# mine\n" + OWN)

    profiles.write_profile(
        home.config, "lab", {"api_base_url": "http://127.0.0.1:8080", "token_from": "keyring"}
    )

    settings = home.read()
    assert (settings.profile.value, settings.base_url.value) == ("lab", "http://127.0.0.1:8080")
    assert settings.token_from == Setting("keyring", f"{home.config}, profile lab")
    assert home.config.read_text().startswith("# mine\n")
    assert home.read(Flags(profile="prod")).tenant.value == "mine"


def test_profile_that_is_deleted_is_no_longer_the_usual_one(home: Home) -> None:
    home.write(own=OWN)

    assert profiles.delete_profile(home.config, "prod")
    assert not profiles.delete_profile(home.config, "prod")
    assert home.read().profile.value is None


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "a b"])
def test_profile_has_a_name_that_a_file_may_have(home: Home, name: str) -> None:
    with pytest.raises(SettingsError, match="name has letters"):
        profiles.write_profile(home.config, name, {})


def test_profile_takes_no_token(home: Home) -> None:
    with pytest.raises(SettingsError, match="has no api_token"):
        profiles.write_profile(home.config, "lab", {"api_token": "s3cret"})
