"""Find the images of the Data Science Bowl 2018 (BBBC038) in its official layouts."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any, Unpack

from medseg_ext.datasets.annotations import Annotation, MaskFiles, RunLengths
from medseg_ext.datasets.groups import read_csv
from medseg_ext.datasets.preparation import DataSetFacts, SplitOptions, write_data_set
from medseg_ext.datasets.raw_images import RawImage, RawPart, is_image_name, refuse_other_files
from medseg_ext.datasets.sources import Source, open_source
from medseg_ext.errors import DataError

DSB2018 = DataSetFacts(
    name="DSB2018",
    class_names=("background", "nucleus"),
    object_name="nucleus",
    licence="CC0-1.0",
    origin="https://bbbc.broadinstitute.org/BBBC038",
)
CLASS_OF_VALUE = {0: 0, 255: 1}


def prepare_dsb2018(
    source: Path | str,
    target: Path | str,
    *,
    test: Path | str | None = None,
    test_solution: Path | str | None = None,
    facts: DataSetFacts = DSB2018,
    **options: Unpack[SplitOptions],
) -> dict[str, Any]:
    """Write the data set folder of DSB2018.

    Args:
        source: `stage1_train` as folder or ZIP, or a folder that holds it: `<id>/images/<id>.png` and
            `<id>/masks/*.png`, one nucleus each, 0 or 255.
        target: folder to write.
        test: `stage1_test` in the same forms; its images become the section testing.
        test_solution: `stage1_solution.csv`, the masks of `test` as run-length codes; needed where `test` has no
            mask files. Without `test`, `source` itself is the test set.
        facts: what the data set is, where it is another one in this layout.
        options: see `SplitOptions`.
    Returns: the content of dataset.json.
    Raises: DataError: anything unusable, naming the file.
    """
    solution = Path(test_solution) if test_solution else None
    if test:
        parts = [find_images(open_source(source), "stage1_train")]
        parts += [find_images(open_source(test), "stage1_test", section="testing", solution=solution)]
    elif solution:
        parts = [find_images(open_source(source), "stage1_test", section="testing", solution=solution)]
    else:
        parts = [find_images(open_source(source), "stage1_train")]
    return write_data_set(facts, parts, target, tables=[solution] if solution else [], **options)


def find_images(
    source: Source, folder_name: str, *, section: str | None = None, solution: Path | None = None
) -> RawPart:
    """List the images below the folder `folder_name` of a source, or of all of it where there is no such folder.

    Args:
        source: where the files are.
        folder_name: stage1_train or stage1_test.
        section: section that the images are bound to.
        solution: table of run-length codes to use instead of mask files.
    Raises: DataError: none found; an image without masks or masks without an image; a file among masks that is none; an
        unusable table.
    """
    files, skipped = _files_by_id(source, folder_name)
    if not files:
        raise DataError(
            f"{source.path} holds no <id>/images/<id>.png (it begins with '{source.names[0]}'): "
            f"give {folder_name} as folder or ZIP; an archive inside an archive must be unpacked first"
        )
    annotations = _read_solution(solution) if solution else {}
    images = []
    for image_id, folders in sorted(files.items()):
        pictures, masks = folders["images"], folders["masks"]
        if not pictures:
            raise DataError(f"{source.where(masks[0])} is a mask without an image: add the image or remove the masks")
        if len(pictures) > 1:
            raise DataError(
                f"{source.where(pictures[0])} and {source.where(pictures[1])} have the same id '{image_id}': remove one"
            )
        annotation: Annotation | None = MaskFiles(tuple(masks), CLASS_OF_VALUE)
        if solution:
            if image_id not in annotations:
                raise DataError(
                    f"{source.where(pictures[0])} has no row in {solution}: give the table of this test set"
                )
            annotation = annotations.pop(image_id)
            skipped["mask in whose stead the solution is taken"] += masks
        elif not masks:
            raise DataError(
                f"{source.where(pictures[0])} has no masks: add them, or remove the image; one without nuclei has a "
                "mask that is all black; the masks of stage1_test come as a table, see --test-solution"
            )
        if annotation is not None:
            images.append(RawImage(image_id, pictures[0], annotation, section))
        else:
            skipped["image that the solution says to ignore"].append(pictures[0])
    if annotations:
        raise DataError(f"{solution} has masks of '{min(annotations)}', which is no image of {source.path}: add it")
    return RawPart(source, images, {reason: names for reason, names in skipped.items() if names})


def _files_by_id(
    source: Source, folder_name: str
) -> tuple[dict[str, dict[str, list[str]]], defaultdict[str, list[str]]]:
    """Sort the files `<id>/images/*` and `<id>/masks/*` by id and folder.

    Returns: the files; those that are left out, under the reason.
    Raises: DataError: a file among masks is none.
    """
    parts_of = {name: source.parts(name) for name in source.names}
    below = {name: parts for name, parts in parts_of.items() if folder_name in parts}
    files: dict[str, dict[str, list[str]]] = defaultdict(lambda: {"images": [], "masks": []})
    skipped: defaultdict[str, list[str]] = defaultdict(list)
    no_masks = []
    for name, parts in parts_of.items():
        folders = parts[1:-1]
        if below and name not in below:
            if is_image_name(name):
                skipped[f"image outside of {folder_name}"].append(name)
        elif len(folders) > 1 and folders[-1] in ("images", "masks") and is_image_name(name):
            files[folders[-2]][folders[-1]].append(name)
        elif "masks" in folders[1:]:
            no_masks.append(name)
        elif folders[-1:] == ("images",):
            skipped["file in images that is no image"].append(name)
        elif is_image_name(name):
            skipped["image in neither <id>/images nor <id>/masks"].append(name)
    refuse_other_files(source, no_masks, "masks", "the mask of one nucleus")
    return files, skipped


def _read_solution(path: Path) -> dict[str, Annotation | None]:
    """Read the run-length codes of each image; None for those that the competition did not score."""
    codes: dict[str, list[str]] = defaultdict(list)
    shapes: dict[str, tuple[int, int]] = {}
    ignored = set()
    for line, row in read_csv(path, ("ImageId", "EncodedPixels", "Height", "Width")):
        image_id = row["ImageId"]
        try:
            shape = int(row["Height"]), int(row["Width"])
        except ValueError as error:
            raise DataError(f"{path}, line {line}: Height and Width must be whole numbers ({error})") from error
        if shapes.setdefault(image_id, shape) != shape:
            raise DataError(
                f"{path}, line {line}: image '{image_id}' has another size than before: get the table again"
            )
        if row.get("Usage") == "Ignored":
            ignored.add(image_id)
        if row["EncodedPixels"].strip():  # an image without nuclei has one row without code
            codes[image_id].append(row["EncodedPixels"])
    return {
        image_id: None if image_id in ignored else RunLengths(path, image_id, tuple(codes[image_id]), shape)
        for image_id, shape in shapes.items()
    }
