"""Draw a whole slide with an island of tissue, as an SVS, to try slides of any size on.

python tools/draw_slide.py OUT.svs --width 40000 --height 30000 --tissue 0.03
"""

from __future__ import annotations

import argparse
from pathlib import Path

from medseg_ext.synthetic.slide import write_slide


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="file to write")
    parser.add_argument("--width", type=int, default=40000)
    parser.add_argument("--height", type=int, default=30000)
    parser.add_argument("--tissue", type=float, default=0.03, help="share of the slide (default: 0.03)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    write_slide(options.out, (options.height, options.width), tissue=options.tissue, seed=options.seed)


if __name__ == "__main__":
    main()
