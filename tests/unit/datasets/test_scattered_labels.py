"""Label maps are told from photographs, whatever the objects."""

from itertools import islice

import numpy as np
import pytest
from scipy import ndimage
from skimage.segmentation import find_boundaries

from medseg_ext.cli.main import main
from medseg_ext.datasets.scattered_labels import are_scattered
from medseg_ext.images.png import encode_png
from medseg_ext.synthetic.scenes import nucleus_images

PICTURES = list(islice(nucleus_images(0), 4))


def numbered(side: int, cells: int, *, seed: int = 0) -> np.ndarray:
    """Squares that touch, in a random order of numbers; without background."""
    numbers = np.arange(1, cells**2 + 1)
    if seed:
        np.random.default_rng(seed).shuffle(numbers)
    return numbers.reshape(cells, cells).repeat(side, 0).repeat(side, 1)


def dots() -> np.ndarray:
    labels = np.zeros((90, 90), np.int64)
    labels[::3, ::3] = numbered(1, 30)
    return labels


def specks() -> np.ndarray:
    return (np.random.default_rng(0).random((80, 80)) > 0.7) * 255


def colours(labels: np.ndarray) -> np.ndarray:
    return np.random.default_rng(0).permutation(2**24)[labels] * (labels > 0)


LABEL_MAPS = {
    "nuclei": PICTURES[0].labels,
    "none": np.zeros((9, 9), int),
    "one": numbered(40, 1),
    "touching": numbered(3, 245),  # 60,025
    "shuffled": numbered(3, 60, seed=1),
    "in rows without background": numbered(20, 20),
    "wrapped to 8 bits": numbered(12, 40) % 256,
    "outlines": np.where(find_boundaries(numbered(12, 20), mode="inner"), numbered(12, 20), 0),
    "outlines of nuclei": PICTURES[0].labels * find_boundaries(PICTURES[0].labels, mode="inner"),
    "dots apart": dots(),
    "specks of a mask": specks(),
    "colours": colours(PICTURES[1].labels),
    "a row": np.arange(1, 50)[None],
}


@pytest.mark.parametrize("name", LABEL_MAPS)
def test_no_label_map_is_taken_for_a_photograph(name):
    assert not are_scattered(LABEL_MAPS[name])


@pytest.mark.parametrize("scale", [1, 3, 8])
@pytest.mark.parametrize("picture", range(4))
def test_an_image_is_known_in_grey_and_in_colours_also_enlarged(picture, scale):
    red, green, blue = ndimage.zoom(PICTURES[picture].image[:64, :64, :3], (scale, scale, 1), order=1).T.astype(int)
    assert are_scattered(green)
    assert are_scattered(green * 257)
    assert scale == 8 or are_scattered(red << 16 | green << 8 | blue)


def save(folder, images):
    folder.mkdir()
    for name, pixels in images.items():
        (folder / f"{name}.png").write_bytes(encode_png(pixels))
    return folder


@pytest.mark.parametrize("kind", ["colour", "grey"])
@pytest.mark.parametrize("options", [(), ("--binary", "components")])
def test_swapped_images_and_labels_are_refused_with_both_names(kind, options, tmp_path, capsys):
    files = {}
    for number, picture in enumerate(PICTURES[:3]):
        files[f"{number}"] = picture.labels.astype(np.uint16)
        image = picture.image[..., :3]
        files[f"{number}_mask"] = image if kind == "colour" else image[..., 1]
    raw = save(tmp_path / "raw", files)
    assert main(["prepare", str(raw), str(tmp_path / "out"), "--workers", "1", *options]) == 2
    error = capsys.readouterr().err
    assert f"images and labels seem swapped: {raw / '0.png'} looks like a label map, and {raw / '0_mask.png'}" in error
    assert not (tmp_path / "out" / "dataset.json").exists()


def test_a_photograph_beside_a_photograph_is_no_label_map(tmp_path, capsys):
    image = PICTURES[0].image[..., :3]
    raw = save(tmp_path / "raw", {"a": image, "a_mask": image[..., 1]})
    assert main(["prepare", str(raw), str(tmp_path / "out"), "--workers", "1"]) == 2
    assert f"{raw / 'a_mask.png'} does not look like a label map" in capsys.readouterr().err
