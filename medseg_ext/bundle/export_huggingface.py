"""Export a bundle as a folder for a hub of models such as Hugging Face's."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import yaml

from medseg_ext.bundle.export_facts import CARD, DATA_LICENCE, BundleFacts, put_in_place, read_facts
from medseg_ext.bundle.export_target import (
    HUGGINGFACE,
    HUGGINGFACE_CONFIG,
    HUGGINGFACE_WEIGHTS,
    export_target,
    refuse_export,
)
from medseg_ext.bundle.exported_networks import REMEDY, load_eager
from medseg_ext.bundle.ship import WEIGHTS_FILE
from medseg_ext.files import MADE_IN_BUNDLES
from medseg_ext.networks.weights import read_saved, save_safetensors

README = "README.md"
LINK_OUTSIDE = re.compile(r"\[([^\]]*)\]\(\.\./[^)]*\)")
CONFIG_KEYS = (
    "title", "class_names", "object_name", "working_diameter_px", "contrast_percentiles", "network_def", "decoder",
    "keep_cut_objects", "score_temperature", "score_bias",
)  # fmt: skip


def export_huggingface(bundle: Path, folder: Path, *, force: bool = False) -> Path:
    """Write a bundle as a folder `NAME`, with its weights as safetensors and its card with front matter.

    The folder holds the bundle's configs, too, by which `medseg segment` and the snippet of its README run it.

    Args:
        bundle: the bundle's folder.
        folder: where it goes; made where it is missing.
        force: replace one that is there.

    Returns:
        The folder.

    Raises:
        DataError: it is no bundle, its weights do not fit, or the folder is there.
    """
    target = export_target(bundle, folder, HUGGINGFACE)
    refuse_export(bundle, target, HUGGINGFACE, force=force)
    facts = read_facts(bundle)
    load_eager(bundle)  # before anything is written: do the weights fit?
    with put_in_place(target) as unfinished:
        ignored = shutil.ignore_patterns(*MADE_IN_BUNDLES, "models", "large_files.yml", CARD.name)
        shutil.copytree(bundle, unfinished, ignore=ignored)
        save_safetensors(read_saved(bundle / WEIGHTS_FILE, remedy=REMEDY), unfinished / HUGGINGFACE_WEIGHTS)
        for beside in (bundle / WEIGHTS_FILE).parent.glob("*.json"):  # such as what is known of the training images
            shutil.copy(beside, unfinished)
        config = {"library_name": "medseg_ext", **{key: facts.parser.get()[key] for key in CONFIG_KEYS}}
        (unfinished / HUGGINGFACE_CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        (unfinished / README).write_text(_readme(bundle, facts, target.name), encoding="utf-8")
    return target


def _readme(bundle: Path, facts: BundleFacts, name: str) -> str:
    matter = yaml.safe_dump(front_matter(facts, name), sort_keys=False, allow_unicode=True)
    card = LINK_OUTSIDE.sub(r"\1", (bundle / CARD).read_text(encoding="utf-8"))
    for picture in (path.name for path in (bundle / CARD).parent.iterdir() if path.name != CARD.name):
        card = card.replace(f"]({picture})", f"](docs/{picture})")
    title, _, rest = card.partition("\n")
    return f"""---
{matter}---

{title}

## Use

With the package `medseg-ext`, in this folder. From images to label maps, tables and outlines:

```
medseg segment my_images --bundle . --ckpt_path {HUGGINGFACE_WEIGHTS} --output objects
```

The network alone, from float32 (B, 3, H, W), RGB in [0, 1], to what `configs/metadata.json` says:

```python
from pathlib import Path

from medseg_ext.bundle.exported_networks import load_eager

network = load_eager(Path("."), weights=Path("{HUGGINGFACE_WEIGHTS}"))
```

The weights are under {facts.weights_licence}: `{DATA_LICENCE.as_posix()}`.
{rest}"""


def front_matter(facts: BundleFacts, name: str) -> dict[str, Any]:
    """Give what stands first in the card, as Hugging Face's model cards have it."""
    data_set = facts.metadata["data_set"]
    metrics = [{"type": metric, "value": value, "name": metric} for metric, value in facts.figures.items()]
    result = {
        "task": {"type": "image-segmentation"},
        "dataset": {"name": data_set, "type": data_set.lower(), "split": "test"},
        "metrics": metrics,
    }
    return {
        "license": facts.weights_licence.lower(),
        "library_name": "monai",
        "pipeline_tag": "image-segmentation",
        "tags": facts.tags,
        "datasets": [data_set.lower()],
        "metrics": list(facts.figures),
        **({"model-index": [{"name": name, "results": [result]}]} if metrics else {}),
    }
