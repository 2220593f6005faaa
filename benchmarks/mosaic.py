"""Make a large image of real ones, mirrored so that their edges meet, with its true label map, to try tiling on.

    python benchmarks/mosaic.py data/dsb2018 16384 out/mosaic

writes OUT/image.tif and OUT/truth.tif. Images of 256 x 256 of the sections validation and testing are taken, dark ones
(fluorescence), each stretched to its own contrast: one image has one contrast.
"""

import argparse
from pathlib import Path

import numpy as np
import tifffile
from skimage.measure import label
from skimage.segmentation import relabel_sequential
from tqdm import tqdm

from medseg_ext.datasets.data_set_folder import load_datalist
from medseg_ext.images.read import read_labels, read_rgb

SIDE = 256
DARK = 0.35  # mean of a dark image, of 1
SHIFT = 100  # of the images in the large one: their sides are not to lie on borders of tiles


def main() -> None:
    """Write the two files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="data set folder")
    parser.add_argument("side", type=int, help=f"of the large image, in pixels; a multiple of {2 * SIDE}")
    parser.add_argument("out", type=Path, help="folder to write to")
    options = parser.parse_args()

    tiles = [
        mirrored(stretched(image), truth)
        for image, truth in (
            (read_rgb(item["image"]), read_labels(item["instances"]))
            for section in ("testing", "validation")
            for item in load_datalist(options.dataset, section)
        )
        if truth.shape == (SIDE, SIDE) and image.mean() < DARK
    ]
    whole = options.side + 2 * SIDE
    image = np.zeros((whole, whole, 3), dtype=np.uint8)
    truth = np.zeros((whole, whole), dtype=np.int32)
    count, places = 0, np.arange(0, whole, 2 * SIDE)
    for number, (top, left) in enumerate(tqdm([(top, left) for top in places for left in places])):
        pixels, labels = tiles[number % len(tiles)]
        image[top : top + 2 * SIDE, left : left + 2 * SIDE] = pixels
        truth[top : top + 2 * SIDE, left : left + 2 * SIDE] = np.where(labels > 0, labels + count, 0)
        count += labels.max()
    image, truth = (each[SHIFT : SHIFT + options.side, SHIFT : SHIFT + options.side] for each in (image, truth))
    truth = relabel_sequential(truth)[0]
    options.out.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(
        options.out / "image.tif", image, photometric="rgb", tile=(512, 512), compression="zlib", bigtiff=True
    )
    tifffile.imwrite(options.out / "truth.tif", truth, tile=(512, 512), compression="zlib", bigtiff=True)
    print(f"{len(tiles)} images, {truth.max()} objects")


def stretched(image: np.ndarray) -> np.ndarray:
    """Stretch an image (H, W, 3) in [0, 1] between its percentiles 0.1 and 99.9; uint8."""
    black, white = np.percentile(image, (0.1, 99.9))
    return (np.clip((image - black) / max(white - black, 1e-6), 0, 1) * 255).round().astype(np.uint8)


def mirrored(image: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Set an image and its label map beside their mirror images; an object that meets its own becomes one with it."""
    image = np.concatenate([image, image[:, ::-1]], axis=1)
    labels = np.concatenate([labels, labels[:, ::-1]], axis=1)
    image, labels = np.concatenate([image, image[::-1]]), np.concatenate([labels, labels[::-1]])
    return image, label(labels, background=0, connectivity=1)


if __name__ == "__main__":
    main()
