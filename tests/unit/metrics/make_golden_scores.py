"""Record the scores that StarDist and HoVer-Net give to the scenes of metric_scenes.py.

Run in an environment of its own, from this folder:

    pip install stardist==0.9.2 opencv-python matplotlib
    python make_golden_scores.py path/to/hover_net/metrics/stats_utils.py > golden_scores.json
"""

import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any

THRESHOLDS = (0.50, 0.55, 0.60, 0.65, 0.70, 0.75, 0.80, 0.85, 0.90, 0.95)
# StarDist counts IoU >= t, panoptic quality IoU > 0.5; no IoU of objects this small lies between the two.
ABOVE_HALF = 0.500001


def stardist_scores(pred: Any, true: Any) -> dict[str, Any]:
    """Score one scene with StarDist's `matching`."""
    from stardist.matching import matching

    by_threshold = matching(true, pred, thresh=THRESHOLDS)
    return {
        "tp": [int(scores.tp) for scores in by_threshold],
        "fp": [int(scores.fp) for scores in by_threshold],
        "fn": [int(scores.fn) for scores in by_threshold],
        "accuracy": [float(scores.accuracy) for scores in by_threshold],
        "panoptic_quality": float(matching(true, pred, thresh=ABOVE_HALF).panoptic_quality),
        "mean_matched_score": float(matching(true, pred, thresh=ABOVE_HALF).mean_matched_score),
    }


def stardist_set_scores(scenes: dict[str, Any]) -> dict[str, Any]:
    """Score all scenes as one set with StarDist's `matching_dataset`."""
    from stardist.matching import matching_dataset

    pred, true = zip(*scenes.values(), strict=True)
    pooled = matching_dataset(true, pred, thresh=THRESHOLDS, show_progress=False)
    averaged = matching_dataset(true, pred, thresh=THRESHOLDS, show_progress=False, by_image=True)
    strict = matching_dataset(true, pred, thresh=ABOVE_HALF, show_progress=False)
    return {
        "accuracy_pooled": [float(scores.accuracy) for scores in pooled],
        "accuracy_per_image": [float(scores.accuracy) for scores in averaged],
        "panoptic_quality_pooled": float(strict.panoptic_quality),
        "mean_matched_score_pooled": float(strict.mean_matched_score),
    }


def main(stats_utils: Path) -> None:
    """Print the scores of all scenes as JSON."""
    import stardist
    from metric_scenes import SCENES

    sys.path.insert(0, str(stats_utils.parent))
    hover_net = importlib.import_module(stats_utils.stem)

    scenes: dict[str, Any] = dict(SCENES)
    golden: dict[str, Any] = {
        "provenance": {
            "command": "see make_golden_scores.py",
            "stardist": f"stardist {stardist.__version__}, stardist.matching",
            "aji": "vqdang/hover_net, commit 5847ebb, metrics/stats_utils.py, get_fast_aji(remap_label(...))",
        },
        "thresholds": THRESHOLDS,
        "set": stardist_set_scores(scenes),
        "scenes": {},
    }
    for name, (pred, true) in scenes.items():
        aji = hover_net.get_fast_aji(hover_net.remap_label(true), hover_net.remap_label(pred))
        golden["scenes"][name] = {**stardist_scores(pred, true), "aji": float(aji)}
    lists_on_one_line = re.sub(r"\[[^]]*]", lambda found: " ".join(found[0].split()), json.dumps(golden, indent=2))
    print(lists_on_one_line)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
