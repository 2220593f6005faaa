"""Pack a bundle, a data set, and the packages that training imports into a folder for a machine without network."""

from __future__ import annotations

import json
import lzma
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

from medseg_ext.bundle.trust import refuse_unknown_code
from medseg_ext.datasets.data_set_folder import load_class_names
from medseg_ext.files import MADE_IN_BUNDLES
from medseg_ext.packing import HAS
from medseg_ext.packing.packed_data_set import pack_data
from medseg_ext.packing.site_packages import pack_site

LIMIT_MB = 60  # of the folder, in millions of bytes: what common ways into such places let through
PRESET = 9  # of xz: the smallest result, in minutes
TEMPLATES = Path(__file__).with_name("templates")


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
    lossy = "--image-quality 90 (images as JPEG)" if quality is None else f"an --image-quality below {quality}"
    remedies = [lossy, *(["--without-weights (without models/model.pt)"] if weights else [])]
    raise ValueError(
        f"{total:.1f} MB, of which {parts}, are more than {LIMIT_MB} MB: give {' or '.join(remedies)}, or name with "
        f"--has what else the machine has, such as --has {' '.join(HAS)} scipy scikit-image matplotlib"
    )


@dataclass(frozen=True)
class PackingOptions:
    """What is packed, and for which machine.

    Attributes:
        bundle: the bundle's folder.
        data: prepared data set folder.
        output: folder to make.
        python: version of the machine's Python, such as "3.12".
        has: names of packages that the machine has.
        image_quality: of JPEG, 1 to 100; None keeps the images without loss.
        with_weights: pack the shipped weights, too.
    """

    bundle: Path
    data: Path
    output: Path
    python: str = "3.12"
    has: Sequence[str] = HAS
    image_quality: int | None = None
    with_weights: bool = True


def check_request(options: PackingOptions) -> None:
    """Refuse what will not do. Raises: ValueError: with one line that says what is wrong."""
    refuse_unknown_code(options.bundle)
    class_names = json.loads((options.bundle / "configs" / "train.json").read_text())["class_names"]
    if load_class_names(options.data) != class_names:
        raise ValueError(
            f"{options.data} has the classes {load_class_names(options.data)}, {options.bundle.name} has {class_names}:"
            " name another data set, --data FOLDER"
        )
    if options.output.exists():
        raise ValueError(f"{options.output} is there already: remove it, or name another folder, --output FOLDER")
    if would_be_committed(options.output.resolve()):
        raise ValueError(
            f"{options.output} would be committed, with data in it: name a folder that git ignores, --output out/name"
        )


def would_be_committed(path: Path) -> bool:
    """Tell whether a path that does not exist yet lies in a work tree of git that does not ignore it."""
    folder = next(parent for parent in path.parents if parent.is_dir())
    try:
        asked = subprocess.run(
            ["git", "check-ignore", "--quiet", str(path)], cwd=folder, check=False, capture_output=True
        )
    except OSError:  # no git
        return False
    return asked.returncode == 1  # 0 is ignored, 128 outside of a work tree


def pack(options: PackingOptions) -> Path:
    """Pack the folder; nothing is left of it where that fails.

    Returns: the folder.
    Raises: ValueError: with one line that says what is wrong.
    """
    check_request(options)
    bundle, data, out, quality = options.bundle, options.data, options.output, options.image_quality
    train = json.loads((bundle / "configs" / "train.json").read_text())
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".pack-") as room:
        folder, contents = Path(room, "folder"), Path(room, "contents")
        folder.mkdir()
        leave_out = [*MADE_IN_BUNDLES, *([] if options.with_weights else ["models"])]
        shutil.copytree(bundle, folder / "bundle", ignore=shutil.ignore_patterns(*leave_out))
        (contents / "site").mkdir(parents=True)
        print("packages", flush=True)
        requires = pack_site(contents / "site", train, options.has, options.python)
        print("data set", flush=True)
        dataset = pack_data(data, folder / "data", contents / "data", quality=quality)
        print("compression", flush=True)
        compress(contents, folder / "contents.tar.xz")
        (folder / "machine.json").write_text(json.dumps({"python": options.python, "requires": requires}, indent=1))
        for file in ("train.sh", "unpack.py"):
            shutil.copy(TEMPLATES / file, folder)
        (folder / "train.sh").chmod(0o755)
        values = {
            "bundle": bundle.name,
            "title": train["title"],
            "python": options.python,
            "requires": "\n".join(f"    {line}" for line in requires),
            "images": "The images are those of the data set, pixel by pixel (WebP without loss)."
            if quality is None
            else f"The images were turned into JPEG of quality {quality}, with loss; label maps are exact.",
            "data_set": dataset.get("name", data.name),
            "data_licence": dataset.get("licence", "not stated"),
            "data_origin": dataset.get("origin", "an origin not stated"),
            "weights_licence": (bundle / "docs" / "data_license.txt").read_text(),
        }
        readme = Template((TEMPLATES / "README.txt").read_text())
        (folder / "README.txt").write_text(readme.substitute(values))
        check_size(folder, quality=quality, weights=options.with_weights)
        folder.replace(out)
    print(f"{out}: {size_mb(out):.1f} MB. {values['images']}\nThere: ./train.sh (README.txt says more)")
    return out
