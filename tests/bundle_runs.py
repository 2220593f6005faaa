"""Run bundles by MONAI's own command line, quickly."""

import atexit
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from bundle_settings import QUICK, ROOT
from fork_server import ForkServer

TRAIN, EVALUATE, INFERENCE = "configs/train.json", "configs/evaluate.json", "configs/inference.json"
# What takes seconds, and nothing of this package, which each run imports for itself.
LIBRARIES = (
    "monai.bundle", "monai.engines", "monai.handlers", "monai.inferers", "monai.losses", "monai.networks.nets",
    "monai.transforms", "detectron2.modeling", "imagecodecs", "itk", "jinja2", "jsonschema", "matplotlib.pyplot",
    "nibabel", "pydicom", "rasterio.features", "scipy.ndimage", "skimage.measure", "skimage.segmentation", "tifffile",
    "torch.utils.tensorboard", "transformers.models.segformer.modeling_segformer",
)  # fmt: skip


def run_bundle(
    *words: object, module: str = "monai.bundle", cwd: Path = ROOT, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess:
    """Run `python -m monai.bundle run`, or another module, in a fork of a process that has imported the libraries.

    Variables of the environment come over those that were set when the first run began.
    """
    if sys.platform != "linux":  # elsewhere a fork is not to be trusted
        return run_in_a_process_of_its_own(*words, module=module, cwd=cwd, variables=variables)
    words = _words(module, words)
    ended = _server().run(*words, module=module, cwd=cwd, variables=variables, timeout_s=600)
    return subprocess.CompletedProcess(words, ended.status, ended.out, ended.err)


def run_in_a_process_of_its_own(
    *words: object, module: str = "monai.bundle", cwd: Path = ROOT, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess:
    """Run it as people do, which takes six seconds more."""
    command = [sys.executable, "-m", module, *_words(module, words)]
    return subprocess.run(command, cwd=cwd, env={**os.environ, **(variables or {})}, capture_output=True, text=True)


def _words(module: str, words: Iterable[object]) -> list[str]:
    return [*(["run"] if module == "monai.bundle" else []), *map(str, words)]


def quick(**override: object) -> list[str]:
    return [word for key, value in {**QUICK, **override}.items() for word in (f"--{key}", str(value))]


@cache
def _server() -> ForkServer:
    folder = tempfile.TemporaryDirectory()
    server = ForkServer(Path(folder.name), LIBRARIES)
    atexit.register(folder.cleanup)
    atexit.register(server.close)
    return server
