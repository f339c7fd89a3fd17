"""`python -m local.simulators.kubernetes`: one simulated cluster until SIGTERM or SIGINT."""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from local.simulators.command_line import add_numbers, add_port, read_numbers
from local.simulators.kubernetes.app import create_app
from local.simulators.kubernetes.certificates import Authority
from local.simulators.kubernetes.kubeconfig import write_kubeconfig
from local.simulators.kubernetes.state import READER_TOKEN, ClusterSettings, SimulatedCluster
from local.simulators.serving import serve

DEFAULT_PORT = 6443
"""kubeadm's own."""

_NUMBERS = {"seed": "chooses names and numbers of the case"}


def parse_settings(arguments: Sequence[str] | None = None) -> tuple[ClusterSettings, argparse.Namespace]:
    """Return the settings, and the rest of what a command line asks for; exits on a wrong one."""
    defaults = ClusterSettings()
    parser = argparse.ArgumentParser(prog="python -m local.simulators.kubernetes", description=__doc__)
    add_port(parser, DEFAULT_PORT)
    parser.add_argument("--case", default=defaults.case, help="a case of kubernetes-classics (%(default)s)")
    parser.add_argument("--prefix", default="", help="a path before all others, such as /k8s/clusters/c-1")
    parser.add_argument(
        "--plain-ca", action="store_true", help="an authority without keyUsage, as that of EKS"
    )
    parser.add_argument("--kubeconfig", type=Path, metavar="FILE", help="write one for the reader's token")
    add_numbers(parser, defaults, _NUMBERS)
    chosen = parser.parse_args(arguments)
    try:
        settings = ClusterSettings(case=chosen.case, prefix=chosen.prefix, **read_numbers(chosen, _NUMBERS))
    except ValueError as error:
        parser.error(str(error))
    return settings, chosen


def main() -> None:
    """Serve what the command line asks for."""
    settings, chosen = parse_settings()
    authority = Authority.make(is_plain=chosen.plain_ca)

    def tell(address: str) -> None:
        if chosen.kubeconfig is not None:
            chosen.kubeconfig.touch(mode=0o600)
            text = write_kubeconfig(f"{address}{settings.prefix}", authority.pem, token=READER_TOKEN)
            chosen.kubeconfig.write_text(text)

    with tempfile.TemporaryDirectory(prefix="rune-cluster-") as folder:
        files = authority.write_server(Path(folder))
        serve(create_app(SimulatedCluster(settings)), port=chosen.port, tls=files, on_listening=tell)


if __name__ == "__main__":
    main()
