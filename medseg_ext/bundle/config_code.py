"""List the code of a config, as MONAI reads it; nothing of it is run."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

from monai.bundle import ConfigParser, ReferenceResolver

from medseg_ext.bundle.allowlist import (
    CLASS_ARGUMENTS,
    HARMLESS_VALUES,
    UNWANTED_ARGUMENTS,
    fault_of_class_name,
    fault_of_target,
    full_names,
    has_risky_arguments,
)
from medseg_ext.bundle.expressions import (
    IMPORTS,
    MONAI_NAMES,
    REFERENCES,
    Names,
    fault_of_expression,
    fault_of_reference,
    is_plain_name,
    read_import,
)

MOST_RESOLUTIONS = 20
SEPARATOR = ReferenceResolver.sep
# What medseg itself never reads, and loads TorchScript of the bundle: the overlay for TensorRT.
TENSORRT = ("inference_trt", "torch.jit.load(os.path.join(__local_refs['bundle_root'], 'models/model_trt.ts'))")
FILE_NAME = re.compile(r".*\.(json|ya?ml|csv|tsv|txt|md|log|pt|ts|onnx|npy|npz|nii|gz|png|jpe?g|tiff?|bmp|dcm|zip)")
_FAULTS_OF_CONFIGS = (KeyError, IndexError, ValueError, TypeError, AttributeError, RecursionError)


class Code(NamedTuple):
    """A piece of code that a bundle names.

    Attributes:
        file: path in the bundle.
        key: of the config; in a log's config the section; empty for a file as a whole.
        kind: callable, expression, import, macro, text, argument, class of the log, Python, TorchScript, file.
        what: the code.
        fault: why medseg does not run it unasked; None where it does.
    """

    file: str
    key: str
    kind: str
    what: str
    fault: str | None = None


def imported_names(contents: Iterable[Any]) -> Names:
    """Collect what the names of expressions stand for; MONAI imports from wherever an import statement stands."""
    names = {name: set(places) for name, places in MONAI_NAMES.items()}
    for content in contents:
        for _, text in texts_of(content):
            for name, place, _ in (read_import(text[1:]) or ()) if text.startswith("$") else ():
                names.setdefault(name, set()).add(place)
    return {name: frozenset(places) for name, places in names.items()}


def texts_of(content: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield all texts of a config with their keys."""
    if isinstance(content, dict | list):
        for _, sub_key, value in ReferenceResolver.iter_subconfigs(key, content):
            yield from texts_of(value, sub_key)
    elif isinstance(content, str):
        yield key, content


def config_code(content: Any, file: str, names: Names) -> list[Code]:
    """List the code of a config.

    Args:
        content: of the file, as MONAI reads it.
        file: its path in the bundle.
        names: what expressions may name, see `imported_names`.
    """
    found: list[Code] = []
    try:
        for _ in range(MOST_RESOLUTIONS):
            found += [
                Code(file, _shown(key), "macro", text, "reads another file" if _reads_a_file(text) else None)
                for key, text in texts_of(content)
                if text.startswith("%")
            ]
            if any(code.fault for code in found):
                return list(dict.fromkeys([*found, *_walk(content, file, names)]))
            # Anew until nothing changes, as MONAI does whenever it parses: what a macro brings may be one itself.
            before, parser = content, ConfigParser(deepcopy(content))
            parser.resolve_macro_and_relative_ids()
            content = parser.get()
            found += _walk(content, file, names)
            if content == before:
                break
        else:
            found.append(Code(file, "", "file", Path(file).name, "has macros without end"))
    except _FAULTS_OF_CONFIGS as error:
        found.append(Code(file, "", "file", Path(file).name, f"cannot be resolved as MONAI does ({cause_text(error)})"))
        found += _walk(content, file, names)
    return list(dict.fromkeys(found))


def _reads_a_file(macro: str) -> bool:
    return bool(ConfigParser.split_path_id(macro[1:])[0])


def _walk(content: Any, file: str, names: Names) -> list[Code]:
    walk = _Walk(content, file, names)
    walk.visit(content, "")
    return walk.found


def cause_text(error: Exception) -> str:
    """Say in a few words what an error is."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


class _Walk:
    """Goes through a config, whose macros and relative references MONAI has resolved where it can."""

    def __init__(self, config: Any, file: str, names: Names) -> None:
        self.file = file
        own = imported_names([config])
        self.names = {name: names.get(name, frozenset()) | own.get(name, frozenset()) for name in {*names, *own}}
        self.found: list[Code] = []

    def visit(self, value: Any, key: str, component: Mapping[str, Any] | None = None) -> None:
        """Take up the code of a value.

        Args:
            value: of the config.
            key: of the value, with `::` between levels.
            component: what it is an argument of.
        """
        if isinstance(value, dict):
            is_component = "_target_" in value
            if is_component:
                self._take_component(value, key)
            for name, sub_key, part in ReferenceResolver.iter_subconfigs(key, value):
                if not (is_component and name == "_target_"):
                    self.visit(part, sub_key, value if is_component else None)
        elif isinstance(value, list):
            for _, sub_key, part in ReferenceResolver.iter_subconfigs(key, value):
                self.visit(part, sub_key, component)
        elif isinstance(value, str):
            self._take_text(value, key, component)

    def _take(self, key: str, kind: str, what: str, fault: str | None) -> None:
        self.found.append(Code(self.file, _shown(key), kind, what, fault))

    def _take_component(self, config: Mapping[str, Any], key: str) -> None:
        target, mode = config["_target_"], config.get("_mode_", "default")
        key_of_target = f"{key}{SEPARATOR}_target_" if key else "_target_"
        self._take(key_of_target, "callable", str(target), self._fault_of_target(target, mode))
        if mode not in ("default", "callable"):
            self._take(f"{key}{SEPARATOR}_mode_", "argument", str(mode), "is no mode but default and callable")
        for name, value in config.items():
            if fault := self._fault_of_argument(name, value):
                self._take(f"{key}{SEPARATOR}{name}", "argument", f"{name}={value!r}", fault)

    def _fault_of_target(self, target: Any, mode: Any) -> str | None:
        if not isinstance(target, str):
            return "is no name"
        if target.startswith("$"):
            if not is_plain_name(target[1:], self.names):
                return "is computed"
            return fault_of_expression(target[1:], self.names)
        if fault := fault_of_target(target):
            return fault
        is_risky = mode != "default" and any(map(has_risky_arguments, full_names(target)))
        return "is not called with its own words alone" if is_risky else None

    def _fault_of_argument(self, name: Any, value: Any) -> str | None:
        if name in UNWANTED_ARGUMENTS:
            return "is an argument that runs code"
        if name in HARMLESS_VALUES and value is not HARMLESS_VALUES[name]:
            return "lets files run code"
        return self._fault_of_class(name, value) if name in CLASS_ARGUMENTS else None

    def _fault_of_class(self, name: str, value: Any) -> str | None:
        """Say why an argument whose texts MONAI looks up as classes is none that may be given."""
        if isinstance(value, list):
            return next((fault for each in value if (fault := self._fault_of_class(name, each))), None)
        if isinstance(value, str) and value.startswith("@"):
            return "is a reference, which may come to stand for any name"
        if isinstance(value, str) and value.startswith("$"):
            return None if is_plain_name(value[1:], self.names) else "is computed"
        if isinstance(value, str):
            return fault_of_class_name(name, value)
        return None if value is None or (isinstance(value, dict) and "_target_" in value) else "is no class"

    def _take_text(self, text: str, key: str, component: Mapping[str, Any] | None) -> None:
        if text.startswith("@"):
            if fault := fault_of_reference(ReferenceResolver.normalize_id(text[1:])):
                self._take(key, "expression", text, fault)
        elif text.startswith("$"):
            self._take_expression(text, key, component)
        elif component is not None and _names_python(text):
            self._take(key, "text", text, "is the name of what Python has")

    def _take_expression(self, text: str, key: str, component: Mapping[str, Any] | None) -> None:
        imports = read_import(text[1:])
        if imports is not None:
            fault = next((f"{place} {fault}" for _, place, fault in imports if fault), None)
            is_in_place = component is None and key.split(SEPARATOR)[0] == IMPORTS
            self._take(key, "import", text, fault or (None if is_in_place else "stands elsewhere than in imports"))
            return
        fault = self._fault_of_expression(text[1:], key, component)
        self._take(key, "expression", text, fault)

    def _fault_of_expression(self, text: str, key: str, component: Mapping[str, Any] | None) -> str | None:
        is_settled = component is not None and component["_target_"] == "medseg_ext.bundle.settle"
        if text == REFERENCES and is_settled and key.endswith(f"{SEPARATOR}resolved"):
            return None  # settings are put right there
        # As it will be evaluated: what MONAI writes for a reference can end a string, or make one that is run.
        written = ReferenceResolver.update_refs_pattern(f"${text}", _AnyReference())[1:]
        if Path(self.file).stem == TENSORRT[0] and written == TENSORRT[1]:
            return None  # medseg never reads that file
        return fault_of_expression(written, self.names)


class _AnyReference(dict[str, Any]):
    """Holds every reference, for MONAI's own way to write them."""

    def __contains__(self, key: object) -> bool:
        return True


def _shown(key: str) -> str:
    return key.replace(SEPARATOR, "#")


def _names_python(text: str) -> bool:
    """Say whether a text is the dotted name of something in Python's own library, and none of a file."""
    parts = text.split(".")
    is_name = len(parts) > 1 and all(part.isidentifier() for part in parts)
    return is_name and parts[0] in sys.stdlib_module_names and not FILE_NAME.fullmatch(text.lower())
