"""Looks at pages in a real browser: `python -m tests.look_at_pages [FOLDER]`.

Writes pages of several kinds, with a picture of each: light and dark, on a telephone and on a desk, into the folder
(`.local/pages`). Prints what axe-core finds in them, and which are wider than the screen. Needs a Chromium and npm;
axe-core comes from npm's registry into `.local/axe`, and is checked against its digest. Ends with 1 where anything
is serious.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

from tests.browser import CHROMIUM, run_browser
from tests.page_samples import the_pages

AXE = "axe-core@4.14.1"
AXE_SHA512 = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="

ROOT = Path(__file__).parents[1]
WIDTHS = {"narrow": 360, "wide": 1280}
DARK, LIGHT = "--blink-settings=preferredColorScheme=0", "--blink-settings=preferredColorScheme=1"
SCHEMES = {"light": LIGHT, "dark": DARK}
SERIOUS = {"serious", "critical"}

_RUN = """
axe.run().then(found => {
  const shown = {
    wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    passes: found.passes.length,
    violations: found.violations.map(each => [each.impact, each.id, each.nodes.map(node => node.html).slice(0, 3)]),
    unsure: found.incomplete.map(each => [each.id, each.nodes.length]),
  };
  document.body.insertAdjacentHTML("beforeend", "<pre id=found></pre>");
  document.getElementById("found").textContent = "FOUND" + JSON.stringify(shown) + "END";
});
"""


def fetch_axe(folder: Path) -> str:
    """Return axe-core's source, by npm's own client; raises ValueError where it is not the one that is pinned."""
    folder.mkdir(parents=True, exist_ok=True)
    packed = folder / f"{AXE.replace('@', '-')}.tgz"
    if not packed.exists():
        command = ["npm", "pack", AXE, "--silent", "--pack-destination", str(folder)]
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603  # ours
    if base64.b64encode(hashlib.sha512(packed.read_bytes()).digest()).decode() != AXE_SHA512:
        raise ValueError(f"{packed} is not {AXE}.")
    with tarfile.open(packed) as files:
        source = files.extractfile("package/axe.min.js")
        assert source
        return source.read().decode()


def check(page: str, axe: str, scheme_option: str, width_px: int, folder: Path) -> dict[str, Any]:
    """Return what axe-core finds in a page as a browser shows it."""
    file = folder / "checked.html"
    # Opened from a file, without the policy that forbids scripts: what is looked at is what is shown.
    file.write_text(page.replace("</body>", f"<script>{axe}</script><script>{_RUN}</script></body>"))
    options = ["--virtual-time-budget=20000", scheme_option, f"--window-size={width_px},900", "--dump-dom"]
    shown = run_browser(*options, file.as_uri())
    found = re.search(r"FOUND(\{.*?\})END</pre>", shown, re.DOTALL)
    assert found, shown[-500:]
    document: dict[str, Any] = json.loads(html.unescape(found[1]))
    return document


def main(folder: Path) -> int:
    """Look at all pages; return 1 where anything is serious."""
    if CHROMIUM is None:
        print("There is no Chromium.")  # noqa: T201
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    axe = fetch_axe(ROOT / ".local" / "axe")
    serious_count = 0
    for name, page in the_pages().items():
        (folder / f"{name}.html").write_text(page)
        for scheme, option in SCHEMES.items():
            for width_name, width_px in WIDTHS.items():
                picture = folder / f"{name}-{scheme}-{width_name}.png"
                size = f"--window-size={width_px},{3200 if width_name == 'wide' else 6000}"
                address = (folder / f"{name}.html").as_uri()
                run_browser(option, size, "--hide-scrollbars", f"--screenshot={picture}", address)
                found = check(page, axe, option, width_px, folder)
                serious = [each for each in found["violations"] if each[0] in SERIOUS]
                serious_count += len(serious) + (found["wide"] > 0)
                print(  # noqa: T201
                    f"{picture.name}: {found['passes']} rules kept, {len(found['violations'])} broken "
                    f"({len(serious)} serious), {found['wide']} px too wide, unsure of {found['unsure']}"
                )
                for each in found["violations"]:
                    print(f"    {each}")  # noqa: T201
    return 1 if serious_count else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / ".local" / "pages"))
