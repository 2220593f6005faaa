"""Write what runs tell of themselves, without running any."""

import json
from pathlib import Path
from typing import Any

NO_FILE = {"path": "x", "bytes": 1, "sha256": "0"}


def write_record(folder: Path, *, workflow: str = "train", settings: dict[str, Any], **further: object) -> None:
    """Write provenance_<workflow>.json into a folder."""
    content = {
        "format": 1, "workflow": workflow, "bundle": "b", "config_files": [], "started": "", "command": [],
        "given": None, "data_set": NO_FILE, "weights": None, "versions": {}, "machine": {}, "workers": None, "seed": 0,
        "working_directory": "", "settings": {"bundle_root": "", "dataset_dir": "/d", "output_dir": "", **settings},
    }  # fmt: skip
    folder.mkdir(exist_ok=True)
    (folder / f"provenance_{workflow}.json").write_text(json.dumps(content | further))
