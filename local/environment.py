"""`python -m local.environment`: the running stack as shell variables, for `eval "$(make -s env)"`."""

import os
import shlex
import sys
from collections.abc import Mapping

from local.settings import StackSettings
from local.state import StackState, read_state


def variables_of(state: StackState) -> Mapping[str, str]:
    """Return the variables that a command line needs to use the stack.

    `RUNE_API_BASE_URL`, `RUNE_API_TENANT` and `RUNE_API_TOKEN` are the names that RUNE's clients read. Each
    simulated server has its address in `<NAME>_URL`, the emulator in `EMULATOR_URL`. The token is left out where
    the stack has only its hash. `VAST_URL` and `VAST_API_KEY` are the names that Vast.ai's own client reads.
    """
    token = {} if state.token is None else {"RUNE_API_TOKEN": state.token}
    account = (
        {}
        if state.vastai_key is None
        else {"VAST_URL": state.simulators["vastai"], "VAST_API_KEY": state.vastai_key}
    )
    return {
        "RUNE_API_BASE_URL": state.base_url,
        "RUNE_API_TENANT": state.tenant,
        **token,
        "EMULATOR_URL": state.emulator_url,
        **{f"{name.upper()}_URL": address for name, address in state.simulators.items()},
        **account,
    }


def main() -> int:
    """Print one `export` line for each variable; return 1 where no stack runs."""
    state = read_state(StackSettings.from_environment(os.environ).state_path)
    if state is None:
        print("no local stack runs here: start one with `make local`", file=sys.stderr)
        return 1
    for name, value in variables_of(state).items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
