"""Run bundles by MONAI's own command line, quickly."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from bundle_settings import QUICK, ROOT

TRAIN, EVALUATE, INFERENCE = "configs/train.json", "configs/evaluate.json", "configs/inference.json"


def run_bundle(*words: object, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "monai.bundle", "run", *map(str, words)]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)


def quick(**override: object) -> list[str]:
    return [word for key, value in {**QUICK, **override}.items() for word in (f"--{key}", str(value))]
