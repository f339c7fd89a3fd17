"""How pages look, and what browsers may do with them."""

import base64
import hashlib
from collections.abc import Mapping
from types import MappingProxyType

STYLE = """
:root { color-scheme: light dark; --ground: #fff; --raised: #f5f7f9; --ink: #1a2129; --soft: #56616d;
  --line: #dce1e6; --first: #0b5fae; --second: #b0480a; --third: #00745a; --fourth: #8a3f83; --warn: #8f4700;
  --warn-ground: #fff3e2; --bad: #b3251e; --good: #0a6b4f; }
@media (prefers-color-scheme: dark) { :root { --ground: #12161a; --raised: #1b2127; --ink: #e7ebef; --soft: #a5b0bb;
  --line: #323b44; --first: #6cb3f5; --second: #f2995c; --third: #4cc9a4; --fourth: #d79bd0; --warn: #f5b971;
  --warn-ground: #33260f; --bad: #ff8f86; --good: #5fd0a5; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 78rem; background: var(--ground); color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif;
  font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.125rem; margin: 2.5rem 0 .75rem; padding-top: 1rem; border-top: 1px solid var(--line); }
h3, figcaption strong { font-size: 1rem; font-weight: 600; margin: 0; }
p { margin: .5rem 0; max-width: 48rem; }
a { color: var(--first); }
.kind { margin: 0 0 .25rem; color: var(--soft); font-size: .875rem; }
.verdict { font-size: 1.125rem; line-height: 1.45; margin: .5rem 0 1rem; max-width: 52rem; }
.soft, figcaption span, small { color: var(--soft); font-size: .875rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 15rem), 1fr)); gap: .75rem 1.5rem;
  margin: 1.25rem 0 0; }
.facts div { min-width: 0; }
dt { color: var(--soft); font-size: .8125rem; }
dd { margin: 0; }
.warning { display: inline-block; margin: .125rem 0; padding: 0 .375rem; border-radius: .25rem; color: var(--warn);
  background: var(--warn-ground); font-size: .75rem; line-height: 1.25rem; text-decoration: none;
  white-space: normal; text-align: left; }
a.warning:hover { text-decoration: underline; }
.warnings { margin: 0; padding: 0; list-style: none; max-width: 52rem; }
.warnings li { margin: .5rem 0; }
.scroll { overflow-x: auto; }
.scroll:focus-visible, summary:focus-visible, a:focus-visible { outline: 2px solid var(--first);
  outline-offset: 2px; }
table { border-collapse: collapse; font-size: .875rem; width: 100%; }
th, td { padding: .4rem .6rem; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
thead th { color: var(--soft); font-weight: 500; vertical-align: bottom; line-height: 1.3; }
thead small { display: block; font-weight: 400; font-size: .75rem; }
tbody th { font-weight: 600; }
td small, tbody th small { display: block; font-weight: 400; font-size: .8125rem; white-space: nowrap; }
td .warning, th .warning { font-weight: 400; }
.scroll th:first-child { position: sticky; left: 0; background: var(--ground); }
.scroll .best > th:first-child { background: var(--raised); }
.wide { min-width: 46rem; overflow-wrap: normal; }
.middle { min-width: 28rem; overflow-wrap: normal; }
.left td, .left th { text-align: left; }
.notes { margin: 0; padding-left: 1.25rem; max-width: 52rem; }
.none { color: var(--soft); }
.best > * { background: var(--raised); }
.best > th small { color: var(--first); }
.better { color: var(--good); } .worse { color: var(--bad); } .warned { color: var(--warn); }
.better, .worse, .warned { font-weight: 600; } td .reason { white-space: normal; min-width: 12rem; }
.scroll + .figures, .figures + .scroll { margin-top: 1.5rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr)); gap: 2rem 2rem; }
figure { margin: 0; min-width: 0; }
figcaption { margin: 0 0 .25rem; line-height: 1.35; }
figcaption span { display: block; }
figure svg { display: block; width: 100%; height: auto; max-width: 30rem; overflow: visible; }
details { margin-top: .25rem; font-size: .875rem; }
summary { cursor: pointer; color: var(--soft); width: max-content; max-width: 100%; }
details table { margin-top: .25rem; font-size: .8125rem; }
details th, details td { padding: .2rem .5rem .2rem 0; }
svg text { font: 11px system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif;
  fill: var(--soft);
  font-variant-numeric: tabular-nums; }
svg .strong { fill: var(--ink); font-weight: 600; }
svg .grid { stroke: var(--line); stroke-width: 1; }
svg .axis { stroke: var(--soft); stroke-width: 1; }
svg .s0 { stroke: var(--first); } svg .s1 { stroke: var(--second); } svg .s2 { stroke: var(--third); }
svg .s3 { stroke: var(--fourth); } svg .s4 { stroke: var(--soft); }
svg .f0 { fill: var(--first); } svg .f1 { fill: var(--second); } svg .f2 { fill: var(--third); }
svg .f3 { fill: var(--fourth); } svg .f4 { fill: var(--soft); }
svg .hollow { fill: var(--ground); }
svg .joined { fill: none; stroke-width: 1.25; stroke-opacity: .45; }
svg .thin { stroke-width: 1.25; } svg .thick { stroke-width: 4; stroke-opacity: .5; }
svg .dot { stroke-width: 1.75; }
svg .dots { fill: none; stroke-width: 4; stroke-linecap: round; stroke-opacity: .6; }
svg .cross { fill: none; stroke: var(--bad); stroke-width: 1.75; }
svg .ring { fill: none; stroke: var(--second); stroke-width: 1.25; }
svg .rule { stroke: var(--ink); stroke-width: 1; stroke-dasharray: 5 4; }
svg .zero { stroke: var(--ink); stroke-width: 1; }
svg .band { fill: var(--raised); }
footer { margin-top: 3rem; padding-top: 1rem; border-top: 1px solid var(--line); color: var(--soft);
  font-size: .875rem; }
@media (min-width: 30rem) { body { padding: 2.5rem 2rem 4rem; } h1 { font-size: 1.875rem; }
  .verdict { font-size: 1.25rem; }
  td .warning, th .warning { white-space: nowrap; } }
@media print { @page { margin: 15mm; } :root { color-scheme: light; --ground: #fff; --raised: #f5f7f9; --ink: #000;
  --soft: #444; --line: #ccc; --first: #0b5fae; --second: #b0480a; --third: #00745a; --fourth: #8a3f83;
  --warn: #6e3600; --warn-ground: #fff; --bad: #b3251e; --good: #0a6b4f; }
  body { padding: 0; max-width: none; font-size: 10pt; } .scroll { overflow: visible; }
  .scroll th:first-child { position: static; } .wide, .middle { min-width: 0; }
  .figures { grid-template-columns: repeat(2, 1fr); gap: 1rem 1.5rem; }
  figure, tr, .warnings li { break-inside: avoid; } h2, h3 { break-after: avoid; } a { color: inherit; }
  .warning { border: 1px solid var(--line); padding: 0 .25rem; } details:not([open]) { display: none; } }
"""

_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

HEADERS: Mapping[str, str] = MappingProxyType(
    {
        # The one style by its hash; no script, picture, frame, form or request of any kind.
        "Content-Security-Policy": (
            f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'"
        ),
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Robots-Tag": "noindex, nofollow",
        "Vary": "Accept",
    }
)
"""What each page is sent with. Its address may hold a link's signature: it is kept nowhere and told to nobody."""
