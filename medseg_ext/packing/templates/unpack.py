"""Check this machine and unpack contents.tar.xz beside this file; `train.sh` calls it."""

import json
import platform
import re
import sys
import tarfile
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).resolve().parent


def python_mismatch(machine: dict) -> str | None:
    """Say in one sentence why the packages cannot run in this Python; None if they can."""
    version = ".".join(platform.python_version_tuple()[:2])
    here = f"Python {version} on {sys.platform} {platform.machine()}"
    wanted = f"Python {machine['python']} on linux x86_64"
    if here == wanted:
        return None
    return (
        f"this folder is for {wanted}, {sys.executable} is {here}: name another one, "
        f"PYTHON=python{machine['python']} ./train.sh, or pack again with medseg pack --python <its version>"
    )


def is_installed(requirement: str) -> bool:
    """Tell whether a requirement such as `numpy>=2` is there, in whatever version."""
    try:
        return bool(metadata.version(re.split("[<>=!~]", requirement)[0]))
    except metadata.PackageNotFoundError:
        return False


def unmet(requirements: list[str]) -> list[str]:
    """List what this Python lacks or, if it lacks nothing, has in a version that does not do."""
    if missing := [f"{requirement} is missing" for requirement in requirements if not is_installed(requirement)]:
        return missing
    from packaging.requirements import Requirement  # only now: it may be what is missing
    from packaging.version import Version

    problems = []
    for requirement in map(Requirement, requirements):
        version = metadata.version(requirement.name)
        # Its base: 2.11.0a0+git of a vendor's container is 2.11.
        if not requirement.specifier.contains(Version(version).base_version):
            problems.append(f"{requirement} is wanted, {version} is there")
    return problems


def unreadable_images() -> list[str]:
    """Say so if the images are WebP, and this Python's Pillow was built without it."""
    from PIL import features

    if next((HERE / "data").rglob("*.webp"), None) and not features.check("webp"):
        return ["its Pillow reads no WebP (medseg pack --image-quality 90 gives JPEG)"]
    return []


def main() -> None:
    """Check and unpack. Raises: SystemExit: with one line that says what is wrong."""
    machine = json.loads((HERE / "machine.json").read_text())
    if mismatch := python_mismatch(machine):
        raise SystemExit(f"error: {mismatch}")
    unpacked = HERE / ".unpacked"
    if not unpacked.exists():
        try:
            with tarfile.open(HERE / "contents.tar.xz") as contents:
                contents.extractall(HERE, filter="data")
        except (OSError, tarfile.TarError, EOFError) as error:
            raise SystemExit(f"error: {HERE / 'contents.tar.xz'} cannot be unpacked: {error}") from error
        unpacked.touch()
    sys.path.insert(0, str(HERE / "site"))
    if problems := unmet(machine["requires"]) or unreadable_images():
        raise SystemExit(
            f"error: {sys.executable}: {'; '.join(problems)}: name another, PYTHON=command ./train.sh, or pack again "
            "with medseg pack --has what this machine has"
        )


if __name__ == "__main__":
    main()
