import json
import traceback

import pytest

from rune.agents.settings import AgentSettings, HolmesSettings, TenantAgents
from rune.errors import SettingsError

KEY = "sk-holmes-0123456789abcdef"
URL = "https://holmes.example"


def text(**holmes: object) -> str:
    return json.dumps({"default": {"holmes": holmes}})


def test_parse_gives_each_tenant_its_own_agents() -> None:
    settings = AgentSettings.parse(
        json.dumps({"default": {"holmes": {"base_url": URL, "api_key": KEY}}, "team-a": {}})
    )

    holmes = settings.of("default").holmes
    assert holmes is not None
    assert holmes.base_url == URL
    assert holmes.api_key is not None
    assert holmes.api_key.get_secret_value() == KEY
    assert settings.of("team-a") == settings.of("nobody") == TenantAgents(holmes=None)


@pytest.mark.parametrize("blank", ["", " \n", "{}"])
def test_parse_gives_nobody_anything_when_the_text_is_blank(blank: str) -> None:
    assert AgentSettings.parse(blank) == AgentSettings({})


def test_key_is_optional() -> None:
    assert AgentSettings.parse(text(base_url=URL)).of("default").holmes == HolmesSettings(base_url=URL)


def test_address_of_a_private_network_is_taken_as_the_policy_judges_later() -> None:
    url = "http://10.0.0.7:5050/holmes"

    assert AgentSettings.parse(text(base_url=url)).of("default").holmes == HolmesSettings(base_url=url)


def test_settings_never_show_a_key_when_they_are_printed() -> None:
    settings = AgentSettings.parse(text(base_url=URL, api_key=KEY))

    assert (
        KEY
        not in f"{settings!r} {settings} {settings.of('default')} {settings.of('default').model_dump_json()}"
    )


@pytest.mark.parametrize(
    ("json_text", "place"),
    [
        ("not json " + KEY, "the text"),
        (json.dumps([KEY]), "the text"),
        (json.dumps({"default": KEY}), "default"),
        (json.dumps({"default": {"sherlock": {"api_key": KEY}}}), "default/sherlock"),
        (text(api_key=KEY), "default/holmes/base_url"),
        (text(base_url=URL, api_key=[KEY]), "default/holmes/api_key"),
        (text(base_url=URL, key=KEY), "default/holmes/key"),
        (text(base_url=f"https://user:{KEY}@holmes.example"), "default/holmes/base_url"),
        (text(base_url="holmes.example", api_key=KEY), "default/holmes/base_url"),
        (text(base_url=URL, api_key=KEY + "\r\nX: y"), "default/holmes/api_key"),
        (text(base_url=URL, api_key=KEY + "é"), "default/holmes/api_key"),
        (text(base_url=URL, api_key=""), "default/holmes/api_key"),
        (text(base_url=URL, api_key="short"), "default/holmes/api_key"),
        (json.dumps({f"/{KEY}": {}}), "no tenant's"),
    ],
)
def test_parse_refuses_naming_the_place_and_never_the_key(json_text: str, place: str) -> None:
    with pytest.raises(SettingsError) as caught:
        AgentSettings.parse(json_text)

    assert place in caught.value.sentence
    assert KEY not in "".join(traceback.format_exception(caught.value))
