"""Pack a bundle, a data set, and the packages that training imports into a folder for a machine without network.

`make airgap BUNDLE=dsb2018_unet` calls it; train.sh, unpack.py and README.txt beside it go into the folder.
"""

from __future__ import annotations

import argparse
import json
import lzma
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from string import Template

from data_set import pack_data
from packages import ROOT, pack_site

from medseg_ext.data import load_class_names

LIMIT_MB = 60  # of the folder, in millions of bytes: what common ways into such places let through
PRESET = 9  # of xz: the smallest result, in minutes
HAS = "torch torchvision transformers"
HERE = Path(__file__).resolve().parent


def compress(folder: Path, file: Path) -> None:
    """Pack a folder's content into a .tar.xz, all files as one stream, in an order that helps."""
    # The first filter makes machine code compress better.
    filters = [{"id": lzma.FILTER_X86}, {"id": lzma.FILTER_LZMA2, "preset": PRESET}]
    paths = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: (path.suffix, path))
    with lzma.open(file, "wb", filters=filters) as stream, tarfile.open(fileobj=stream, mode="w") as archive:
        for path in paths:
            archive.add(path, path.relative_to(folder), filter=without_owner)


def without_owner(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """Forget who packed a file, and when."""
    info.uid = info.gid = info.mtime = 0
    info.uname = info.gname = ""
    return info


def size_mb(path: Path) -> float:
    """Return the size of a file, or of all files in a folder, in millions of bytes."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


def check_size(folder: Path, *, quality: int | None, weights: bool) -> None:
    """Raise ValueError, which lists the sizes and what to do, if a packed folder is too large."""
    sizes = {
        "images": size_mb(folder / "data"),
        "packages and label maps (contents.tar.xz)": size_mb(folder / "contents.tar.xz"),
        "shipped weights": size_mb(folder / "bundle" / "models"),
    }
    total = size_mb(folder)
    if total <= LIMIT_MB:
        return
    parts = ", ".join(f"{name} {size:.1f} MB" for name, size in sizes.items())
    lossy = "IMAGE_QUALITY=90 (images as JPEG)" if quality is None else f"an IMAGE_QUALITY below {quality}"
    remedies = [lossy, *(["WEIGHTS=no (without models/model.pt)"] if weights else [])]
    raise ValueError(
        f"{total:.1f} MB, of which {parts}, are more than {LIMIT_MB} MB: give {' or '.join(remedies)}, or name in HAS "
        f"what else the machine has, such as HAS='{HAS} scipy scikit-image matplotlib'"
    )


def check_request(arguments: argparse.Namespace) -> tuple[Path, Path, Path]:
    """Return bundle, data set and output folder. Raises: ValueError: one of them will not do."""
    bundles = sorted(path.parents[1].name for path in (ROOT / "bundles").glob("*/configs/metadata.json"))
    name = arguments.bundle
    if name not in bundles:
        raise ValueError(f"no bundle is called '{name}': make airgap BUNDLE=name, with one of: {' '.join(bundles)}")
    bundle = ROOT / "bundles" / name
    data = arguments.data or Path("data") / name.partition("_")[0]
    out = arguments.out or Path("out") / "airgap" / name
    class_names = json.loads((bundle / "configs" / "train.json").read_text())["class_names"]
    if load_class_names(data) != class_names:
        raise ValueError(
            f"{data} has the classes {load_class_names(data)}, {name} has {class_names}: name another DATA"
        )
    if out.exists():
        raise ValueError(f"{out} is there already: remove it, or name another folder, OUT=folder")
    if out.resolve().is_relative_to(ROOT):
        ignored = subprocess.run(["git", "check-ignore", "--quiet", out.resolve()], cwd=ROOT, check=False).returncode
        if ignored == 1:
            raise ValueError(f"{out} would be committed, with data in it: name a folder that git ignores, OUT=out/name")
    return bundle, data, out


def pack(arguments: argparse.Namespace) -> Path:
    """Pack the folder; nothing is left of it where that fails.

    Returns: the folder.
    Raises: ValueError: with one line that says what is wrong.
    """
    bundle, data, out = check_request(arguments)
    train = json.loads((bundle / "configs" / "train.json").read_text())
    python, quality = arguments.gpu_python, arguments.image_quality
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".airgap-") as room:
        folder, contents = Path(room, "folder"), Path(room, "contents")
        folder.mkdir()
        leave_out = ["eval", "__pycache__", "model.ts", "model.onnx", *([] if arguments.weights else ["models"])]
        shutil.copytree(bundle, folder / "bundle", ignore=shutil.ignore_patterns(*leave_out))
        (contents / "site").mkdir(parents=True)
        print("packages", flush=True)
        requires = pack_site(contents / "site", train, arguments.has.split(), python)
        print("data set", flush=True)
        dataset = pack_data(data, folder / "data", contents / "data", quality=quality)
        print("compression", flush=True)
        compress(contents, folder / "contents.tar.xz")
        (folder / "machine.json").write_text(json.dumps({"python": python, "requires": requires}, indent=1))
        for file in ("train.sh", "unpack.py"):
            shutil.copy(HERE / file, folder)
        (folder / "train.sh").chmod(0o755)
        values = {
            "bundle": bundle.name,
            "title": train["title"],
            "python": python,
            "requires": "\n".join(f"    {line}" for line in requires),
            "images": "The images are those of the data set, pixel by pixel (WebP without loss)."
            if quality is None
            else f"The images were turned into JPEG of quality {quality}, with loss; label maps are exact.",
            "data_set": dataset.get("name", data.name),
            "data_licence": dataset.get("licence", "not stated"),
            "data_origin": dataset.get("origin", "an origin not stated"),
            "weights_licence": (bundle / "docs" / "data_license.txt").read_text(),
        }
        readme = Template((HERE / "README.txt").read_text())
        (folder / "README.txt").write_text(readme.substitute(values))
        check_size(folder, quality=quality, weights=arguments.weights)
        folder.replace(out)
    print(f"{out}: {size_mb(out):.1f} MB. {values['images']}\nThere: ./train.sh (README.txt says more)")
    return out


def main(words: Sequence[str] | None = None) -> int:
    """Parse the command line, and pack; returns the exit status."""
    parser = argparse.ArgumentParser(prog="airgap", description=__doc__)
    parser.add_argument("bundle", help="such as dsb2018_unet")
    parser.add_argument("--out", type=Path, help="folder to make (default: out/airgap/<bundle>)")
    parser.add_argument("--data", type=Path, help="prepared data set folder (default: data/<data set of the bundle>)")
    parser.add_argument("--gpu-python", default="3.12", metavar="VERSION", help="the machine's (default: 3.12)")
    parser.add_argument("--has", default=HAS, metavar="NAMES", help=f"packages that the machine has (default: {HAS})")
    parser.add_argument("--image-quality", type=int, metavar="1-100", help="images as JPEG (default: without loss)")
    parser.add_argument("--without-weights", dest="weights", action="store_false", help="leave models/model.pt out")
    try:
        pack(parser.parse_args(words))
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
