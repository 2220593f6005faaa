"""What is done with objects once they are found: measurements, and files for people."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.aims import Faster
from benchmarks.contest import FILES, emptied
from benchmarks.rows import OURS, Contender, Row
from benchmarks.scenes import OBJECTS, SIDE_PX, crowd
from benchmarks.worker import Work

PROPERTIES = ("label", "area", "centroid", "bbox", "intensity_mean")

ROWS = [
    Row(
        "measure",
        f"Measurements of {OBJECTS} nuclei in {SIDE_PX} x {SIDE_PX}",
        [
            Contender(OURS, "benchmarks.results:measurements"),
            Contender("scikit-image", "benchmarks.results:measurements_of_scikit_image"),
        ],
        [Faster("scikit-image", 2)],
        seconds=15,
        left_out="The same numbers: area, centroid, box and mean colour, by `regionprops_table`.",
    ),
    Row(
        "files",
        f"Measurements and all files of {OBJECTS} nuclei in {SIDE_PX} x {SIDE_PX}",
        [
            Contender(OURS, "benchmarks.results:files"),
            Contender("scikit-image, PIL", "benchmarks.results:files_of_scikit_image"),
        ],
        [Faster("scikit-image, PIL", 2)],
        seconds=20,
        left_out="Label map, class map, overlay, table and polygons. The other way: PIL, `mark_boundaries`, "
        "`regionprops_table` and `csv`, `find_contours` and `json`, whose outlines have no holes and no parts.",
    ),
]


def measurements() -> Work:
    """Measure as `segment` does."""
    from medseg_ext.objects import measure_objects

    instances, classes, scores, image = _found()

    def measure() -> int:
        table = measure_objects(
            instances, classes, scores, image, class_names=["background", "nucleus"], object_name="nucleus"
        )
        return len(table["id"])

    return Work(measure)


def measurements_of_scikit_image() -> Work:
    """Measure by one call of scikit-image."""
    from skimage.measure import regionprops_table

    instances, _, _, image = _found()
    return Work(lambda: len(regionprops_table(instances, image, properties=PROPERTIES)["label"]))


def files() -> Work:
    """Write the files that `segment` writes."""
    import torch

    from medseg_ext.objects import Objects
    from medseg_ext.objects.result_files import write_objects

    instances, classes, scores, image = _found()
    objects = Objects(*(torch.from_numpy(each) for each in (instances[None], classes[None], scores)))
    folder = emptied(FILES / "results_ours")

    def write() -> int:
        write_objects(folder, "image", objects, image, class_names=["background", "nucleus"], object_name="nucleus")
        return sum(path.stat().st_size for path in folder.iterdir())

    return Work(write)


def files_of_scikit_image() -> Work:
    """Write as many files as one would with scikit-image, PIL and Python's own modules."""
    instances, classes, _, image = _found()
    folder = emptied(FILES / "results_scikit_image")

    def write() -> int:
        _write_with_scikit_image(folder, instances, classes, image)
        return sum(path.stat().st_size for path in folder.iterdir())

    return Work(write)


def _write_with_scikit_image(folder: Path, instances: np.ndarray, classes: np.ndarray, image: np.ndarray) -> None:
    from skimage.measure import find_contours, regionprops_table
    from skimage.segmentation import mark_boundaries
    from skimage.util import img_as_ubyte

    Image.fromarray(instances.astype(np.uint16)).save(folder / "instances.tif", compression="tiff_adobe_deflate")
    Image.fromarray(classes).save(folder / "classes.png")
    Image.fromarray(img_as_ubyte(mark_boundaries(image, instances))).save(folder / "overlay.png")
    table = regionprops_table(instances, image, properties=PROPERTIES)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(table)
    writer.writerows(zip(*table.values(), strict=True))
    (folder / "objects.csv").write_text(text.getvalue())
    padded = np.pad(instances, 1)  # closes outlines at the image's edge
    features = []
    for number, top, left, bottom, right in zip(
        *(table[name] for name in ("label", "bbox-0", "bbox-1", "bbox-2", "bbox-3")), strict=True
    ):
        mask = padded[top : bottom + 2, left : right + 2] == number
        ring = find_contours(mask, 0.5)[0] + (top - 1, left - 1)
        geometry = {"type": "Polygon", "coordinates": [ring[:, ::-1].tolist()]}
        features.append({"type": "Feature", "id": int(number), "geometry": geometry, "properties": {}})
    (folder / "objects.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))


def _found() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Give label map, class map, scores, and an image, as they are when the files are to be written."""
    instances = crowd()
    noise = np.random.default_rng(0).random((SIDE_PX, SIDE_PX, 3), dtype=np.float32) * 0.2
    image = noise + 0.6 * (instances > 0)[..., None].astype(np.float32)
    return instances, (instances > 0).astype(np.uint8), np.full(OBJECTS, 0.9, np.float32), image
