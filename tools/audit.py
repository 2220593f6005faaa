"""Look up known faults of the installed packages, as `make audit` does: pip-audit, and plain words where it cannot."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

COMMAND = [sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off", "--skip-editable"]
NO_NETWORK = (
    "error: nothing was looked up: the list of known faults (pypi.org) cannot be reached from here. Run `make audit` "
    "where there is a network"
)


def main() -> int:
    """Print what was found; returns 0 if nothing was, 1 if something was, 2 if nothing could be looked up."""
    done = subprocess.run(COMMAND, capture_output=True, text=True)
    lines, status = report(done.stdout, done.stderr)
    print("\n".join(lines), file=sys.stderr if status == 2 else sys.stdout)
    return status


def report(found: str, errors: str) -> tuple[list[str], int]:
    """Say in lines what pip-audit found.

    Args:
        found: its JSON; empty where it failed.
        errors: what it wrote on its error stream.

    Returns:
        The lines, and the exit status of `main`.
    """
    try:
        packages: list[dict[str, Any]] = json.loads(found)["dependencies"]
    except (ValueError, KeyError, TypeError):
        cause = next((line for line in reversed(errors.splitlines()) if line.strip()), "no answer")
        return [f"{NO_NETWORK} ({cause.strip()[:200]})"], 2
    unknown = [each["name"] for each in packages if "skip_reason" in each]
    if len(unknown) == len(packages):
        return [NO_NETWORK], 2
    lines = [
        f"{each['name']} {each['version']}: {fault['id']}, mended in {', '.join(fault['fix_versions']) or 'no version'}"
        for each in packages
        for fault in each.get("vulns", ())
    ]
    status = 1 if lines else 0
    lines.append(f"{len(packages) - len(unknown)} packages looked up, {len(lines)} known faults")
    return [*lines, *([f"not on the index, so not looked up: {', '.join(unknown)}"] if unknown else [])], status


if __name__ == "__main__":
    sys.exit(main())
