"""Say what decides the results of an inference, besides the images."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import monai
import torch
from monai.bundle import ConfigWorkflow

import medseg_ext
from medseg_ext.bundle.keys import DESCRIPTIONS
from medseg_ext.bundle.verbatim import Verbatim
from medseg_ext.files import file_sha256

# Where things are, how they are called, and how many processes work on them.
WITHOUT_EFFECT = (
    "dataset_dir",
    "recursive",
    "output_dir",
    "overwrite",
    "bundle_root",
    "ckpt_path",
    "num_workers",
    "title",
    "settings",
)
HASH_DIGITS = 16  # of 64: as many as a person can compare


def result_settings(workflow: ConfigWorkflow, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """List the settings of an inference: with the same ones, an image gives the same files.

    Args:
        workflow: of an `inference.json`, with the overrides in it.
        overrides: values of keys and of parts.

    Returns:
        Values of the config's keys and of overridden parts as they are written, in JSON's types; hashes of the rest of
        the config and of the `weights`, None where there are none; versions of the packages that compute.
    """
    weights = Path(workflow.parser.get_parsed_content("ckpt_path"))  # first, as MONAI rewrites the config to find it
    config = {key: value for key, value in workflow.parser.get().items() if key not in WITHOUT_EFFECT}
    described = config.pop(DESCRIPTIONS)
    keys = {key: config.pop(key) for key in described if key in config}
    parts = {key: value for key, value in overrides.items() if key not in described}
    rest = json.dumps(config, sort_keys=True, default=_plain).encode()
    found = {
        **keys,
        **parts,
        "config": hashlib.sha256(rest).hexdigest()[:HASH_DIGITS],
        "weights": file_sha256(weights)[:HASH_DIGITS] if weights.is_file() else None,
        "medseg-ext": medseg_ext.__version__,
        "monai": monai.__version__,
        "torch": torch.__version__,
    }
    plain: dict[str, Any] = json.loads(json.dumps(found, default=_plain))
    return plain


def _plain(value: Any) -> str:
    return value.text if isinstance(value, Verbatim) else str(value)
