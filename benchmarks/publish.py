"""Put the last run of `make bench` into docs/performance.md, between its marker lines: `make bench-docs`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from benchmarks.contest import OUT, ROOT
from benchmarks.report import markdown

PAGE = ROOT / "docs" / "performance.md"


def publish() -> None:
    """Replace the tables of the page."""
    results = json.loads((OUT / "results.json").read_text())
    text = PAGE.read_text()
    begin, end = "<!-- bench -->\n", "<!-- /bench -->\n"
    before, rest = text.split(begin)
    PAGE.write_text(f"{before}{begin}\n{_machine(results)}\n\n{markdown(results)}\n\n{end}{rest.split(end)[1]}")
    print(PAGE)


def _machine(results: Mapping[str, Any]) -> str:
    """Say in a paragraph what was measured, on what, and when."""
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    peers = ", ".join(f"{name} {version}" for name, version in results["peers"].items()) or "none installed"
    real = [name for name, is_real in results["real_images"].items() if is_real]
    return (
        f"{results['date']}, commit {results['commit']}: {results['processor']}, {results['cores']} cores, "
        f"{results['memory_gb']} GB, GPU: {results['gpu'] or 'none'}, load before the run {results['load_before']}; "
        f"Python {results['python']}, {versions}; peers: {peers}. "
        f"Images: {', '.join(real) or 'only the drawn sample'}. The run took {results['seconds'] / 60:.0f} minutes."
    )


if __name__ == "__main__":
    publish()
