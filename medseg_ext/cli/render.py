"""`medseg render`: write the bundles' configs from their fragments."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any


def add_command(commands: Any) -> None:
    """Add it to the subparsers of `medseg`."""
    parser = commands.add_parser(
        "render",
        help="render the fragments of bundles/_base into the bundles",
        description="Render the fragments of bundles/_base into the configs of the bundles and docs/configuration.md.",
    )
    parser.add_argument(
        "--bundles", type=Path, default=Path("bundles"), help="folder of the bundles (default: bundles)"
    )
    parser.add_argument("--check", action="store_true", help="change nothing; fail if a committed file is not fresh")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from medseg_ext.bundle.render import render_all, stale_files, stray_files

    bundles = options.bundles
    if not options.check:
        changed = render_all(bundles)
        print(f"{len(changed)} files changed" + "".join(f"\n  {path}" for path in changed))
        return 0
    faults = [f"{path}: is not what the fragments give; run `medseg render`" for path in stale_files(bundles)]
    faults += [f"{path}: {fault}" for path, fault in stray_files(bundles).items()]
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0
