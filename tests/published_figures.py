"""The figures of each bundle's shipped weights on single images; run as a script, it publishes them.

    make table                           # evaluates the shipped weights on the real test images
    python tests/published_figures.py    # after each change of weights, or of the sample

writes `bundles/published_figures.json`, which holds for each bundle the hash of its weights, and `METRICS` by image id:

- `real`: of `REAL_IDS`, out of `runs/table/<bundle>/metrics_per_image.csv`, the evaluation behind the published table;
  another folder than `runs/table` can be given as argument. Only ids are committed, never pixels.
- `sample`: of the test images of the generated sample, evaluated here in float32 on the CPU.
"""

import argparse
import csv
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bundle_settings import BUNDLES, ROOT
from monai.bundle import ConfigWorkflow
from sample_data_sets import prepare_sample

from medseg_ext.datasets.data_set_folder import DATASET_FILE, FOLDER_OF_KEY, load_datalist, read_dataset_json
from medseg_ext.files import file_sha256

FILE = Path(__file__).parent / "bundles" / "published_figures.json"
METRICS = ("true_objects", "foreground_iou", "class_iou", "ap_50_per_image")
# Of the test splits: for nuclei one image of each of four kinds of microscopy; of ten objects and more, so that one
# more or less makes little difference.
REAL_IDS = {
    "dsb2018": (
        "8d9b4205ddb10fa49a2973b4f3a2dc6923407ae015081e1a52c4b4c2fe8faa53",  # f: fluorescence, 33 nuclei
        "4d40de30a3db3bc4f241cb7f48e8497c11e8f20a99bf55788bdce17242029745",  # a: 28
        "1ec74a26e772966df764e063f1391109a60d803cff9d15680093641ed691bf72",  # b: 26
        "709e094e39629a9ca21e187f007b331074694e443db40289447c1111f7e267e7",  # c: 22
    ),
    "segpc2021": ("1880", "2144", "9365"),  # 10, 11 and 10 cells
}
Figures = dict[str, dict[str, float]]  # image id -> metric -> value


class FiguresError(ValueError):
    """There is no such figure to publish or to compare; the message names the file, and what to do."""


def data_set_of(bundle: Path) -> str:
    """Give the name of a bundle's data set."""
    return bundle.name.partition("_")[0]


def evaluate(bundle: Path, dataset_dir: Path, output_dir: Path) -> Figures:
    """Evaluate a bundle's shipped weights by its own evaluate.json, on all images of a data set folder's test split.

    It is done on the CPU in float32: bfloat16 differs from one processor to the next.
    """
    workflow = ConfigWorkflow(
        config_file=str(bundle / "configs" / "evaluate.json"),
        workflow_type="infer",
        bundle_root=str(bundle),
        logging_file=False,
        dataset_dir=str(dataset_dir),
        output_dir=str(output_dir),
        device="cpu",
        amp=False,
        num_workers=0,
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    return read_figures(output_dir, [item["id"] for item in load_datalist(dataset_dir, "testing")])


def read_figures(evaluation: Path, ids: Sequence[str]) -> Figures:
    """Read the figures of some images out of an evaluation's folder.

    Raises:
        FiguresError: there is no evaluation, or not of these images.
    """
    file = evaluation / "metrics_per_image.csv"
    if not file.is_file():
        raise FiguresError(f"{file}: not found; run `make table`, or name the folder of the evaluations")
    with file.open(newline="", encoding="utf-8") as rows:
        by_id = {row["id"]: row for row in csv.DictReader(rows)}
    missing = [image_id for image_id in ids if image_id not in by_id]
    if missing:
        raise FiguresError(f"{file}: has no image {missing[0]}; evaluate the test split, as docs/train.md says")
    return {image_id: {name: float(by_id[image_id][name]) for name in METRICS} for image_id in ids}


def select_images(dataset_dir: Path, ids: Sequence[str], target: Path) -> Path:
    """Make a data set folder whose test split is some images of another one's test split, with links to them.

    Args:
        dataset_dir: a prepared data set.
        ids: which images.
        target: an empty folder.

    Returns:
        The target.

    Raises:
        DataError: there is no prepared data set.
        FiguresError: it has no such test image.
    """
    items = {item["id"]: item for item in load_datalist(dataset_dir, "testing")}
    missing = [image_id for image_id in ids if image_id not in items]
    if missing:
        raise FiguresError(
            f"{dataset_dir / DATASET_FILE}: has no test image {missing[0]}; prepare it as docs/train.md says"
        )
    folder = dataset_dir.absolute()
    for name in FOLDER_OF_KEY.values():
        (target / name).symlink_to(folder / name)
    chosen = [
        items[image_id] | {key: os.path.relpath(items[image_id][key], folder) for key in FOLDER_OF_KEY}
        for image_id in ids
    ]
    sections = {"training": [], "validation": [], "testing": chosen}
    (target / DATASET_FILE).write_text(json.dumps(read_dataset_json(dataset_dir) | sections))
    return target


def publish(evaluations: Path) -> None:
    """Write the figures of all bundles.

    Args:
        evaluations: has for each bundle the output_dir of an evaluation of its shipped weights on the real data.

    Raises:
        FiguresError: an evaluation is missing, of other images, or older than the weights.
    """
    content = {}
    for bundle in BUNDLES:
        real = read_figures(evaluations / bundle.name, REAL_IDS[data_set_of(bundle)])
        weights, file = bundle / "models" / "model.pt", evaluations / bundle.name / "metrics_per_image.csv"
        if file.stat().st_mtime < weights.stat().st_mtime:
            raise FiguresError(f"{file}: is older than {weights}; run `make table` again")
        # Before the minutes of evaluation: weights shipped meanwhile then have another hash, and a test says so.
        content[bundle.name] = {"weights_sha256": file_sha256(weights), "real": real}
    with tempfile.TemporaryDirectory() as folder:
        sample = prepare_sample(Path(folder))
        for bundle in BUNDLES:
            figures = evaluate(bundle, sample[data_set_of(bundle)], Path(folder, bundle.name))
            content[bundle.name]["sample"] = figures
    FILE.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("evaluations", type=Path, nargs="?", default=ROOT / "runs" / "table")
    try:
        publish(parser.parse_args().evaluations)
    except FiguresError as error:
        parser.exit(2, f"error: {error}\n")
    print(FILE)
