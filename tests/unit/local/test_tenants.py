import pytest

from local.tenants import ALLOWED_TEMPLATES, PRICE_OF_INVESTIGATORS, make_documents


def test_given_documents_are_written_as_they_are() -> None:
    assert make_documents('{"team": {"suspended": true}}', ["default"], has_bedrock=True) == {
        "team": {"suspended": True}
    }


def test_every_tenant_may_name_the_template_of_clients_and_the_first_has_what_is_simulated() -> None:
    documents = make_documents(
        "",
        ["default", "neighbour"],
        has_bedrock=True,
        agent_urls={"holmes": "http://127.0.0.1:5050", "a2a": "http://127.0.0.1:5070"},
        has_cluster=True,
    )

    assert documents == {
        "default": {
            "templates": [*ALLOWED_TEMPLATES],
            "bedrock": {
                "regions": ["us-east-1"],
                "models": ["*"],
                "prices": {"rune.*": PRICE_OF_INVESTIGATORS},
            },
            "agents": {
                "holmes": {"base_url": "http://127.0.0.1:5050"},
                "a2a": {"base_url": "http://127.0.0.1:5070"},
            },
            "clusters": {"demo": {}},
        },
        "neighbour": {"templates": [*ALLOWED_TEMPLATES]},
    }


def test_no_tenant_has_bedrock_where_there_is_none() -> None:
    assert make_documents("", ["default"], has_bedrock=False) == {
        "default": {"templates": [*ALLOWED_TEMPLATES]}
    }


@pytest.mark.parametrize("given", ["secret", "[]", '{"team": "secret"}'])
def test_documents_that_are_none_are_refused_without_repeating_them(given: str) -> None:
    with pytest.raises(ValueError, match=r"^RUNE_TENANTS must be") as caught:
        make_documents(given, ["default"], has_bedrock=True)

    assert "secret" not in str(caught.value)
