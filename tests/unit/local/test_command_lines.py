"""Values that the stack passes to programs arrive unchanged."""

import json
import subprocess
from pathlib import Path

import pytest

from local.deploy import SAM, write_overrides
from local.simulators.bedrock.__main__ import parse_settings as parse_bedrock
from local.simulators.vastai.__main__ import parse_settings as parse_vastai
from local.stack import spell_options

HOSTILE = (
    "-begins-with-a-dash",
    "--api-key",
    "--help",
    "-",
    "--",
    "@file",
    "",
    "a=b",
    "two words",
    'a "quoted" word',
    "it's",
    "'quoted'",
    '"quoted"',
    "back\\slash\\ and space",
    "\\",
    "comma,separated=list",
    "$HOME `id` $(id) ; # %",
    "ParameterKey=Stage,ParameterValue=prod",
    "file://parameters.yaml",
    "no",
    "0123",
    "null",
    "ümläut 漢字",
    "{braces: [brackets]}",
)


@pytest.mark.parametrize("value", HOSTILE)
def test_simulator_reads_an_option_as_it_was_given(value: str) -> None:
    vastai, _, port = parse_vastai(spell_options({"port": "0", "api-key": value}))
    bedrock, _ = parse_bedrock(spell_options({"port": "0", "region": value}))

    assert (vastai.api_key, port, bedrock.region) == (value, 0, value)


def test_sam_reads_the_parameters_as_they_were_given(tmp_path: Path) -> None:
    path = tmp_path / "deploy.parameters.yaml"
    parameters = {f"Parameter{number}": value for number, value in enumerate(HOSTILE)}
    read_back = (
        "import json, sys; from samcli.cli.types import CfnParameterOverridesType;"
        "print(json.dumps(CfnParameterOverridesType().convert((sys.argv[1],), None, None)))"
    )

    write_overrides(path, parameters)
    done = subprocess.run(  # noqa: S603 - our own command
        [str(SAM.with_name("python")), "-c", read_back, f"file://{path}"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert json.loads(done.stdout) == parameters
    assert path.stat().st_mode & 0o777 == 0o600
