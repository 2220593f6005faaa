"""Say what other collections of models are to be told of a bundle, and put an export in its place."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from medseg_ext.bundle.exported_networks import read_inference_config
from medseg_ext.errors import DataError

CARD, DATA_LICENCE = Path("docs", "README.md"), Path("docs", "data_license.txt")
FIGURE = re.compile(r"^\| `(?P<name>\w+)` \| (?P<value>\d+(?:\.\d+)?) \|", re.MULTILINE)


@dataclass(frozen=True)
class BundleFacts:
    """What stands in a bundle's configs and its card.

    Attributes:
        parser: of its inference.json.
        metadata: content of its metadata.json.
        weights_licence: that of the weights, as SPDX names it.
        figures: of the card, by metric; none of a card without an evaluation.
    """

    parser: ConfigParser
    metadata: dict[str, Any]
    weights_licence: str
    figures: dict[str, float]

    @property
    def title(self) -> str:
        """Name the model for people, in the letters that the BioImage Model Zoo takes."""
        return f"{self.metadata['name']} ({self.parser['title']})"

    @property
    def tags(self) -> list[str]:
        """Say in words what it is for."""
        words = [self.parser["object_name"], "microscopy", "instance-segmentation", "semantic-segmentation", "pytorch"]
        return [*words, "monai", self.metadata["data_set"].lower()]


def read_facts(bundle: Path) -> BundleFacts:
    """Read what is to be told of a bundle.

    Raises:
        DataError: it is no bundle, or does not tell the licence of its weights, or of which data they come.
    """
    parser = read_inference_config(bundle)
    metadata = parser["_meta_"]
    for key in ("weights_license", "data_set"):
        if not metadata.get(key):
            raise DataError(
                f"{bundle / 'configs' / 'metadata.json'}: has no {key}, without which the model cannot be passed on: "
                "add it (a licence by its SPDX name, such as CC-BY-4.0)"
            )
    card = bundle / CARD
    content = card.read_text(encoding="utf-8") if card.is_file() else ""
    metrics = content.partition("<!-- card: metrics -->")[2].partition("<!-- /card -->")[0]
    figures = {match["name"]: float(match["value"]) for match in FIGURE.finditer(metrics)}
    return BundleFacts(parser, metadata, metadata["weights_license"], figures)


@contextmanager
def put_in_place(target: Path) -> Iterator[Path]:
    """Give a path beside a file or folder, which is to be written there and then replaces it.

    Args:
        target: the file or folder.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as workshop:
        unfinished = Path(workshop, target.name)
        yield unfinished
        if target.exists():
            target.rename(Path(workshop, "replaced"))
        unfinished.rename(target)
