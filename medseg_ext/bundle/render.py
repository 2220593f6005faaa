"""Render authored fragments into complete, self-contained bundles."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from functools import cache, partial
from itertools import combinations
from pathlib import Path
from typing import Any

import yaml
from monai.bundle import ConfigParser
from monai.bundle.utils import merge_kv

from medseg_ext.bundle.arrange import CONFIGS, Order, arrange
from medseg_ext.bundle.configuration_page import configuration_page
from medseg_ext.bundle.format_json import format_json
from medseg_ext.bundle.keys import DESCRIPTIONS
from medseg_ext.bundle.render_error import RenderError

STANDALONE = CONFIGS  # each takes the section `common` first
# What each is run on top of. One that no fragment of a bundle has is not rendered.
OVERLAYS = {"multi_gpu_train": "train", "multi_gpu_evaluate": "evaluate", "inference_trt": "inference"}
SECTIONS = ("keys", "common", "metadata", *STANDALONE, *OVERLAYS)
# A part `{_copy_of_: decoder}` gets what all fragments together make of the key `decoder`, but for values of its own.
COPY = "_copy_of_"
ORDER_FILE = "order.yaml"
PAGE = Path("docs", "configuration.md")  # beside the folder of the bundles

Fragments = Sequence[tuple[str, Mapping[str, Mapping[str, Any]]]]  # (file, its sections), in order of merging


def read_recipes(base: Path) -> dict[str, list[str]]:
    """Read `recipes.yaml`: for each bundle its fragments in order of [workflow, data set, model].

    Args:
        base: the folder `bundles/_base`.

    Raises:
        RenderError: the file is missing or no YAML, or a row has another form.
    """
    path = base / "recipes.yaml"
    if not path.is_file():
        raise RenderError(f"{path}: not found; it holds one row a bundle")
    recipes = _read_yaml(path)
    for name, row in recipes.items():
        if not isinstance(row, list) or len(row) != 3:
            raise RenderError(f"{path}: {name}: expected [workflow, data set, model], got {row}")
    return recipes


def merge_fragments(layers: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """Merge layers of config, later over earlier, by the rules of MONAI's own `ConfigParser.load_config_files`.

    Args:
        layers: (name for messages, content); keys may be `a#b#c` for a leaf, or `+a` to append.

    Returns:
        The merged config.

    Raises:
        RenderError: a key overrides within something that the layers before do not have (a misspelt parent), or
            appends to it.

    >>> merge_fragments([("base", {"optimizer": {"lr": 0.1}}), ("model", {"optimizer#lr": 0.01})])
    {'optimizer': {'lr': 0.01}}
    """
    parser = ConfigParser(config={})
    for name, layer in layers:
        for key, value in layer.items():
            target = key.removeprefix("+")
            parent = target.replace("::", "#").rpartition("#")[0]
            if parent and parent not in parser:
                raise RenderError(f"{name}: overrides '{key}', but nothing before it has '{parent}'")
            if key.startswith("+") and target not in parser:
                raise RenderError(f"{name}: appends to '{target}', which nothing before it has")
            merge_kv(parser, key, deepcopy(value))  # YAML's anchors share one object between places
    return parser.get()


def read_fragments(
    base: Path, recipe: Sequence[str], *, read: Callable[[Path], Mapping[str, Any]] | None = None
) -> Fragments:
    """Read the fragments of one bundle, later ones over earlier ones.

    They are `workflows/shared.yaml`, the row's own three fragments, and last those that hold for a pair of them alone:
    `pairs/<workflow>+<data set>.yaml`, `pairs/<workflow>+<model>.yaml`, `pairs/<data set>+<model>.yaml`.

    Args:
        base: the folder `bundles/_base`.
        recipe: [workflow, data set, model], names of fragments.
        read: reads one; by default anew from its file.
    """
    rooms = ("workflows", "data_sets", "models")
    files = ["workflows/shared.yaml", *(f"{room}/{name}.yaml" for room, name in zip(rooms, recipe, strict=True))]
    files += [file for pair in combinations(recipe, 2) if (base / (file := f"pairs/{'+'.join(pair)}.yaml")).is_file()]
    return [(file, (read or _read_fragment)(base / file)) for file in files]


def render_configs(fragments: Fragments, order: Order) -> dict[str, dict[str, Any]]:
    """Render the content of one bundle's configs.

    Args:
        fragments: those of the bundle.
        order: of the parts of its configs.

    Returns:
        By the name of the file, without `.json`; their keys are in the order in which people read them.
    """

    def layers(*sections: str) -> list[tuple[str, Mapping[str, Any]]]:
        return [
            (f"{file}: {section}", fragment.get(section) or {}) for file, fragment in fragments for section in sections
        ]

    configs = {
        workflow: _with_copies(
            merge_fragments(layers("common", workflow)), partial(_file_with, fragments, ("common", workflow))
        )
        for workflow in STANDALONE
    }
    for overlay, below in OVERLAYS.items():
        merge_fragments([(below, configs[below]), *layers(overlay)])  # refuses what does not fit
        content = {key: value for _, layer in layers(overlay) for key, value in layer.items()}
        if content:
            configs[overlay] = content
    configs["metadata"] = merge_fragments(layers("metadata"))
    keys = merge_fragments(layers("keys"))
    for workflow in STANDALONE:
        configs[workflow] = arrange(
            configs[workflow],
            workflow,
            keys=keys,
            order=order,
            origin=partial(_file_with, fragments, ("common", workflow)),
            description_of=partial(_file_with, fragments, ("keys",)),
        )
    return configs


def _with_copies(config: dict[str, Any], origin: Callable[[str], str]) -> dict[str, Any]:
    """Fill what a part copies in: it stays as it is when the other is overridden in a run."""

    def filled(part: Any, key: str) -> Any:
        if isinstance(part, list):
            return [filled(each, key) for each in part]
        if not isinstance(part, dict):
            return part
        if COPY in part:
            if part[COPY] not in config:
                raise RenderError(f"{origin(key)}: {key}: copies '{part[COPY]}', which no fragment has")
            own = {name: filled(value, key) for name, value in part.items() if name != COPY}
            return deepcopy(config[part[COPY]]) | own
        return {name: filled(value, key) for name, value in part.items()}

    return {key: filled(value, key) for key, value in config.items()}


def _file_with(fragments: Fragments, sections: Sequence[str], name: str) -> str:
    """Name the last fragment, and the section in it, that says something of a key."""
    found = [f"{file}: {section}" for file, section, key in _keys_in(fragments, sections) if key == name]
    return found[-1]


def _keys_in(fragments: Fragments, sections: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Yield (file, section, key of a config) of each line in some sections."""
    for file, fragment in fragments:
        for section in sections:
            for key in fragment.get(section) or {}:
                yield file, section, key.removeprefix("+").replace("::", "#").partition("#")[0]


def _refuse_unused_keys(
    fragments: Mapping[str, Fragments], configs: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> None:
    """Stop when a fragment describes a key that no config of its bundles has."""
    used: dict[tuple[str, str], bool] = {}
    for bundle, layers in fragments.items():
        for file, _, name in _keys_in(layers, ["keys"]):
            has = any(name in configs[bundle][workflow] for workflow in STANDALONE)
            used[file, name] = used.get((file, name), False) or has
    for (file, name), is_used in used.items():
        if not is_used:
            raise RenderError(f"{file}: keys: {name}: no config has this key; delete it, or mend its name")


def _texts(base: Path, recipe: Sequence[str], configs: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for config, content in configs.items():
        yield f"configs/{config}.json", format_json(content, one_line=[DESCRIPTIONS])
    yield "configs/logging.conf", (base / "workflows" / "logging.conf").read_text()
    yield "docs/data_license.txt", (base / "data_sets" / f"{recipe[1]}_license.txt").read_text()
    yield "LICENSE", (base.parent.parent / "LICENSE").read_text()


def read_order(base: Path) -> Order:
    """Read `order.yaml`: how the parts of the configs follow each other.

    Args:
        base: the folder `bundles/_base`.

    Raises:
        RenderError: the file is missing or no YAML, or has another form.
    """
    path = base / ORDER_FILE
    if not path.is_file():
        raise RenderError(f"{path}: not found; it lists the parts of the configs")
    content = _read_yaml(path)
    parts, inside = content.get("parts"), content.get("inside", {})
    if not isinstance(parts, list) or not isinstance(inside, dict) or set(content) - {"parts", "inside"}:
        raise RenderError(f"{path}: expected a list `parts` and lists of names in `inside`, got {content}")
    return Order(parts, inside)


def _read_fragment(path: Path) -> dict[str, dict[str, Any]]:
    if not path.is_file():
        raise RenderError(f"{path}: not found, but recipes.yaml names it")
    fragment = _read_yaml(path)
    unknown = set(fragment) - set(SECTIONS)
    if unknown:
        raise RenderError(f"{path}: unknown section {sorted(unknown)}; there are {SECTIONS}")
    for section, content in fragment.items():
        if content is not None and not isinstance(content, dict):
            raise RenderError(f"{path}: {section}: expected keys with values, got {content!r}")
    return fragment


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        with path.open(encoding="utf-8") as file:  # the parser names an open file, and not "<unicode string>"
            content = yaml.safe_load(file)
    except (yaml.YAMLError, ValueError) as error:
        raise RenderError(f"{path}: is no YAML; mend this: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        found = "nothing" if content is None else repr(content)
        raise RenderError(f"{path}: expected keys with values, got {found}; fill or delete the file")
    return content


def render_all(bundles: Path) -> list[Path]:
    """Write every rendered file of every bundle, and the page of their keys; returns those whose text changed."""
    files = list(_rendered_files(bundles))  # all, before the first is written
    changed = []
    for path, text in files:
        if _is_stale(path, text):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            changed.append(path)
    for bundle in read_recipes(bundles / "_base"):
        for room in ("models", "docs"):
            (bundles / bundle / room).mkdir(exist_ok=True)
    return changed


def stale_files(bundles: Path) -> Iterator[Path]:
    """Yield every file that is not what the fragments give; rendering mends them."""
    for path, text in _rendered_files(bundles):
        if _is_stale(path, text):
            yield path


def _is_stale(path: Path, text: str) -> bool:
    return not path.is_file() or path.read_text() != text


def stray_files(bundles: Path) -> dict[Path, str]:
    """Find every bundle and every pair that no recipe has, and say of each what to do; rendering cannot mend them."""
    recipes = read_recipes(bundles / "_base")
    folders = [metadata.parents[1] for metadata in sorted(bundles.glob("*/configs/metadata.json"))]
    strays = {
        folder: "no row of recipes.yaml gives this bundle; add its row, or delete the folder"
        for folder in folders
        if folder.name not in recipes
    }
    pairs = {f"{'+'.join(pair)}.yaml" for recipe in recipes.values() for pair in combinations(recipe, 2)}
    for path in sorted(bundles.glob("_base/pairs/*")):
        if path.name not in pairs:
            strays[path] = "never read: no row of recipes.yaml has its two names in this order; rename or delete it"
    return strays


def _rendered_files(bundles: Path) -> Iterator[tuple[Path, str]]:
    base = bundles / "_base"
    recipes = read_recipes(base)
    order, read = read_order(base), cache(_read_fragment)
    fragments = {bundle: read_fragments(base, recipe, read=read) for bundle, recipe in recipes.items()}
    configs = {bundle: render_configs(layers, order) for bundle, layers in fragments.items()}
    _refuse_unused_keys(fragments, configs)
    for bundle, recipe in recipes.items():
        for name, text in _texts(base, recipe, configs[bundle]):
            yield bundles / bundle / name, text
    standalone = {bundle: {name: rendered[name] for name in STANDALONE} for bundle, rendered in configs.items()}
    yield bundles.parent / PAGE, configuration_page(standalone, recipes)
