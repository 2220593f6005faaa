"""Average the weights of two trainings, of which the second went on from the first.

    python tools/average_weights.py dsb2018_mask_rcnn one/model.pt two/model.pt --share 0.4 --output mean/model.pt

gives 0.6 of the first and 0.4 of the second. The mean of such networks is often better than both: Wortsman et al.,
Robust fine-tuning of zero-shot models, CVPR 2022. The second one's curve goes along, for `medseg ship`.
"""

import argparse
import shutil
import sys
from pathlib import Path

import torch
from monai.bundle import ConfigParser

from medseg_ext.errors import DataError
from medseg_ext.networks.weights import read_weights, save_state
from medseg_ext.runs.run_files import CURVE_FILES

ROOT = Path(__file__).parents[1]
REMEDY = "give the model.pt of two trainings of this bundle"


def average(first: torch.Tensor, second: torch.Tensor, share: float) -> torch.Tensor:
    """Mix two tensors of one layer; what is no floating-point number, such as a count of batches, is the second's."""
    if not second.is_floating_point():
        return second
    return first.float().lerp(second.float(), share)


def main() -> None:
    """Read both, write their mean."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", help="whose network it is, such as dsb2018_mask_rcnn")
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--share", type=float, required=True, help="of the second, in [0, 1]")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    if not 0 <= options.share <= 1:
        parser.error(f"--share must be in [0, 1], got {options.share}")
    config = ConfigParser()
    config.read_config(str(ROOT / "bundles" / options.bundle / "configs" / "inference.json"))
    network = config.get_parsed_content("network_def")
    try:
        first, second = (read_weights(path, network, remedy=REMEDY) for path in (options.first, options.second))
    except DataError as error:
        sys.exit(f"error: {error}")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    save_state({name: average(first[name], second[name], options.share) for name in second}, options.output)
    for name in CURVE_FILES:
        curve = options.second.parent / name
        if curve.is_file():
            shutil.copyfile(curve, options.output.parent / name)
    print(options.output)


if __name__ == "__main__":
    main()
