"""Check bundle folders as MONAI's model zoo does before it accepts one."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from medseg_ext.bundle.acceptance import verify_bundle

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "bundles", type=Path, nargs="*", metavar="BUNDLE", help="folder of a bundle; by default all below bundles/"
    )
    bundles = parser.parse_args().bundles
    bundles = bundles or sorted(path.parents[1] for path in Path("bundles").glob("*/configs/metadata.json"))
    if not bundles:
        parser.error("there is no bundle below bundles/: name the folder of one")
    n_faults = 0
    for bundle in bundles:
        for check, fault in verify_bundle(bundle):
            print(f"{bundle.name}: {check}: {fault or 'passed'}", flush=True)
            n_faults += bool(fault)
    sys.exit(n_faults > 0)
