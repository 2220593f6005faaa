"""List the code that a bundle names, and say of each piece whether medseg runs it unasked; nothing of it is run.

A config of MONAI is code: it names callables and holds expressions. So is `logging.conf`, and any Python file in the
bundle's folder, which MONAI adds to where Python looks for modules.
"""

from __future__ import annotations

import configparser
import json
import os
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from medseg_ext.bundle.config_code import Code, cause_text, config_code, imported_names, texts_of
from medseg_ext.bundle.expressions import MONAI_NAMES
from medseg_ext.bundle.keys import DESCRIPTIONS
from medseg_ext.errors import DataError
from medseg_ext.networks.weight_files import is_torchscript

CONFIG_SUFFIXES = (".json", ".yaml", ".yml")  # as MONAI reads them
METADATA, META_KEY = "metadata", ConfigParser.meta_key
CODE_SUFFIXES = (".py", ".pyc", ".pyo", ".pyd", ".so", ".dll", ".dylib", ".pth")
SCRIPT_SUFFIXES = (".ts", ".pt", ".pth", ".jit", ".torchscript")
LOG_CLASSES = {"StreamHandler", "logging.StreamHandler", "NullHandler", "logging.NullHandler", "logging.Formatter"}
LOG_ARGUMENTS = re.compile(r"(\(\s*((sys\.(stdout|stderr))\s*,?)?\s*\)|\{\s*\})?")


def inspect_bundle(bundle: Path) -> list[Code]:
    """List the code that a bundle names, in all files of `configs` and beside them.

    Raises:
        DataError: it is no folder with `configs`.
    """
    configs = bundle / "configs"
    if not configs.is_dir():
        raise DataError(f"{bundle}: has no folder configs, so it is no bundle; give the folder of one")
    found = _Configs(configs).inspect()
    for file in sorted(path for path in configs.iterdir() if path.suffix.lower() in (".conf", ".ini", ".cfg")):
        found += _inspect_log_config(file)
    return [*found, *_code_beside(bundle)]


def inspect_config(content: Any, file: str) -> list[Code]:
    """List the code of a config that is at hand as a whole, such as that inside a TorchScript file.

    Args:
        content: as read from JSON.
        file: its name.
    """
    return config_code(content, file, MONAI_NAMES)


class _Configs:
    """The config files of a bundle; those that MONAI reads together are looked at together."""

    def __init__(self, folder: Path) -> None:
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in CONFIG_SUFFIXES)
        self.files = {path.name: path for path in files}
        self.unreadable: list[Code] = []
        read = {name: self._read(name) for name in self.files}
        self.contents = {name: content for name, content in read.items() if content is not None}
        self.names = imported_names(self.contents.values())

    def inspect(self) -> list[Code]:
        """List their code."""
        found = list(self.unreadable)
        for name, content in self.contents.items():
            base = self._base(name)
            of_base = {code._replace(file="") for code in found if base and code.file == f"configs/{base}"}
            whole = {META_KEY: content} if Path(name).stem == METADATA else content
            codes = config_code(whole, f"configs/{name}", self.names)
            found += [code for code in codes if code._replace(file="") not in of_base]
        return found

    def inspect_with(self, name: str, values: Mapping[str, Any]) -> list[Code]:
        """List the code of a config, with values of its keys that are laid over it."""
        content = deepcopy(self.contents.get(name, {}))
        described, parser = content.get(DESCRIPTIONS, {}), ConfigParser(content)
        for key, value in values.items():
            # What is described arrives as it is; what the config does not have is refused later.
            if key not in described and key in parser:
                parser.set(value, key)
        return config_code(parser.get(), f"configs/{name}", self.names)

    def _base(self, name: str) -> str | None:
        """Name the config that one is laid over; None where it stands alone."""
        stem, suffix = Path(name).stem, Path(name).suffix
        base = f"{stem.removeprefix('multi_gpu_').removesuffix('_trt')}{suffix}"
        return base if base != name and base in self.files else None

    def _read(self, name: str) -> Any:
        """Read a file as MONAI does, over the one that it is laid over; None where it cannot."""
        layers = [str(self.files[each]) for each in (self._base(name), name) if each]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a key that stands twice: the later one counts
                content = ConfigParser.load_config_files(layers)
                list(texts_of(content))  # comes to no end where YAML holds itself
                return content
        except Exception as error:  # of JSON, YAML and MONAI, which is what such a file brings
            fault = f"cannot be read as MONAI does ({cause_text(error)})"
            self.unreadable.append(Code(f"configs/{name}", "", "file", name, fault))
            return None


def inspect_values(bundle: Path, workflow: str, values: Mapping[str, Any]) -> list[Code]:
    """List the code of a config with values of its keys that somebody else gave, such as those of a run's record."""
    return _Configs(bundle / "configs").inspect_with(f"{workflow}.json", values)


def _inspect_log_config(file: Path) -> Iterator[Code]:
    """List the classes and arguments of a log's config, which Python evaluates."""
    place, parser = f"configs/{file.name}", configparser.ConfigParser()
    try:
        parser.read_string(file.read_text(encoding="utf-8"))
    except (configparser.Error, OSError, ValueError) as error:
        yield Code(place, "", "file", file.name, f"cannot be read ({type(error).__name__})")
        return
    for section in parser.sections():
        for option, value in parser.items(section, raw=True):
            if option == "class":
                fault = None if value in LOG_CLASSES else "is no class that only writes to the terminal"
                yield Code(place, section, "class of the log", value, fault)
            elif option in ("args", "kwargs"):
                fault = None if LOG_ARGUMENTS.fullmatch(value) else "is more than sys.stdout or sys.stderr"
                yield Code(place, section, "class of the log", value, fault)


def _code_beside(bundle: Path) -> Iterator[Code]:
    """List the files of a bundle that are code."""
    seen = set()
    for folder, folders, files in os.walk(bundle, followlinks=True):
        folders[:] = sorted(name for name in folders if name != ".git")
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        for name in sorted(files):
            path = Path(folder, name)
            place = path.relative_to(bundle).as_posix()
            if path.suffix.lower() in CODE_SUFFIXES and not (path.suffix == ".pth" and path.parent != bundle):
                yield Code(place, "", "Python", name, "is code, and MONAI lets Python find it")
            elif path.suffix.lower() in SCRIPT_SUFFIXES and is_torchscript(path):
                yield from inspect_torchscript(path, place)


def inspect_torchscript(file: Path, place: str = "") -> list[Code]:
    """List a TorchScript file and the code of the configs inside it, by which MONAI Deploy runs it.

    Args:
        file: the file.
        place: its path in a bundle.

    Raises:
        DataError: it is none.
    """
    place = place or file.name
    if not is_torchscript(file):
        raise DataError(f"{file}: is no TorchScript; give the folder of a bundle, or a .ts file")
    return [Code(place, "", "TorchScript", file.name), *_configs_inside(file, place)]


def _configs_inside(file: Path, place: str) -> Iterator[Code]:
    with zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            if "/extra/" in name and name.endswith(".json") and Path(name).stem != METADATA:
                try:
                    content = json.loads(archive.read(name))
                except (ValueError, OSError, zipfile.BadZipFile) as error:
                    yield Code(f"{place}/{Path(name).name}", "", "file", name, f"cannot be read ({error})")
                else:
                    yield from inspect_config(content, f"{place}/{Path(name).name}")
