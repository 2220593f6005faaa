"""What the tests of both prepare scripts draw and compare."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]


def save(path: Path, pixels: np.ndarray) -> Path:
    """Save an array as image, folders included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def load(path: Path) -> np.ndarray:
    """Load an image as array."""
    return np.asarray(Image.open(path))


def pack(folder: Path) -> Path:
    """Pack the content of a folder as ZIP archive beside it."""
    return Path(shutil.make_archive(str(folder), "zip", folder))


def hashes(folder: Path) -> dict[str, str]:
    """Hash every file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def cut_short(path: Path) -> None:
    """Leave the first half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def run_script(name: str, *arguments: object) -> subprocess.CompletedProcess:
    """Run a data script as a user does."""
    command = [sys.executable, f"data_scripts/{name}", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
