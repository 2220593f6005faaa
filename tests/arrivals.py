"""Bundles that only tell which values have arrived: real configs up to their check, without what follows it."""

import json
from pathlib import Path
from typing import Any

import fire
import pytest
from monai.bundle import scripts

CHECKS = 3  # items of `initialize` up to the check of all values
ARRIVED: list[dict[str, Any]] = []


def remember(**values: Any) -> None:
    """Keep what a workflow of such a bundle was run with."""
    ARRIVED.append({key: value for key, value in values.items() if key != "device"})


def telling_bundle(bundle: Path, folder: Path) -> Path:
    """Write a bundle whose workflows have the keys and checks of another, and then call `remember`."""
    (folder / "configs").mkdir(parents=True)
    for workflow in ("train", "evaluate", "inference"):
        content = json.loads((bundle / "configs" / f"{workflow}.json").read_text())
        described = content["_desc_"]
        kept = {key: content[key] for key in ("_desc_", *described, "imports", "settings", "decoder")}
        kept["best_model"] = {"_target_": "medseg_ext.handlers.BestModel", "network": None, "path": "model.pt"}
        kept["initialize"] = content["initialize"][:CHECKS]
        kept["run"] = [{"_target_": "arrivals.remember", **{key: f"@{key}" for key in described}}]
        (folder / "configs" / f"{workflow}.json").write_text(json.dumps(kept))
    return folder


def by_monai(monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    """Run MONAI's own command line in this process: Fire reads the very words."""
    typed = ["run", *map(str, words)]
    monkeypatch.setattr("sys.argv", ["/lib/monai/bundle/__main__.py", *typed])
    fire.Fire({"run": scripts.run}, command=typed)
