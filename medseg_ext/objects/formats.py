"""Name the files that an image gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medseg_ext.errors import DataError
from medseg_ext.files import remove_path
from medseg_ext.images.result_names import ENDINGS, LABEL_MAP_ENDINGS

LABEL_MAP = "label map"
ZARR_FORMATS = {"ome-zarr": 2, "ome-zarr-0.5": 3}  # of Zarr: NGFF 0.4 and 0.5
DEFAULT_FORMATS = ("classes", "overlay", "csv", "geojson")
COCO = "coco"
COCO_PART_ENDING = "_coco.jsonl"
FORMATS = (*ENDINGS, COCO)


@dataclass(frozen=True)
class ResultFormats:
    """Which files an image gets.

    Args:
        output_format: of the label map, a key of `LABEL_MAP_ENDINGS`.
        formats: of the other files, of `FORMATS`.

    Raises:
        DataError: another format.
    """

    output_format: str = "tiff"
    formats: Sequence[str] = DEFAULT_FORMATS

    def __post_init__(self) -> None:
        """Refuse what there is not."""
        if self.output_format not in LABEL_MAP_ENDINGS:
            raise DataError(f"output_format must be one of {', '.join(LABEL_MAP_ENDINGS)}, got {self.output_format!r}")
        if unknown := [name for name in self.formats if name not in FORMATS]:
            raise DataError(f"formats must be of {', '.join(FORMATS)}, got {unknown[0]!r}")

    @property
    def zarr_format(self) -> int | None:
        """The format of Zarr that the label map has, None of one in a file."""
        return ZARR_FORMATS.get(self.output_format)

    def paths(self, folder: Path, image_id: str) -> dict[str, Path]:
        """Name the files of one image by their format; the label map, which is always written, comes first.

        COCO's objects are kept in a hidden file until those of all images go into one.
        """
        endings = {LABEL_MAP: LABEL_MAP_ENDINGS[self.output_format]}
        endings |= {name: ending for name, ending in ENDINGS.items() if name in self.formats}
        paths = {name: folder / f"{image_id}{ending}" for name, ending in endings.items()}
        return paths | ({COCO: coco_part(folder, image_id)} if COCO in self.formats else {})

    def others(self, folder: Path, image_id: str) -> list[Path]:
        """Name the files that an image would have in the other formats."""
        own = LABEL_MAP_ENDINGS[self.output_format]
        maps = dict.fromkeys(ending for ending in LABEL_MAP_ENDINGS.values() if ending != own)
        rest = [ending for name, ending in ENDINGS.items() if name not in self.formats]
        return [folder / f"{image_id}{ending}" for ending in (*maps, *rest)]


def coco_part(folder: Path, image_id: str) -> Path:
    """Name the file with what COCO's JSON says of one image."""
    return folder / f".{image_id}{COCO_PART_ENDING}"


def remove_result(path: Path) -> None:
    """Remove a file of results, if it is there, and a folder only where a format writes one.

    Raises: OSError: it cannot be removed.
    """
    if path.name.endswith(tuple(LABEL_MAP_ENDINGS[name] for name in ZARR_FORMATS)):
        remove_path(path)
    else:
        path.unlink(missing_ok=True)
