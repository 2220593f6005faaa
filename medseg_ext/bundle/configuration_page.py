"""Write the page of all keys that a person may set, in all bundles."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from medseg_ext.bundle.keys import Key, keys_of

HEAD = """\
<!-- Written by `medseg render` from the sections `keys` of bundles/_base: edit those. -->

# Configuration

Every key of a bundle's configs that a person may set. `medseg train`, `medseg evaluate` and `medseg segment` take
keys after their own options, and list them with `--help`; MONAI's own command line takes them as well:

```
medseg train --bundle dsb2018_unet --data data/dsb2018 --output runs/nuclei \\
    --max_epochs 10 --patch_size [128,128] --amp False
python -m monai.bundle run training --config_file bundles/dsb2018_unet/configs/train.json \\
    --dataset_dir data/dsb2018 --output_dir runs/nuclei --max_epochs 10 --patch_size [128,128] --amp False
```

`--data`, `--output` and `--bundle`, and the images of `medseg segment`, stand for `dataset_dir`, `output_dir` and
`bundle_root`. A list has no spaces, or stands in quotation marks. A key that does not exist is refused, and so is a
value that is not of its key's type. Paths and texts arrive as they were typed; MONAI's own command line evaluates those
that begin with `$`, `@` or `%`. From Python, give paths as `pathlib.Path`: of a `#` in a string MONAI's parser makes
`::`. Each config file says the same of its own keys: they stand first in it, and the meaning of each, in a
[JSON Schema](https://json-schema.org), under `_desc_`.

What stands below them in a config are its parts, such as the network. One value inside a part is reached by `#`:
`--decoder#score_threshold 0.6`. (This threshold is for the network's own scores. Those in the results are calibrated,
and differ: see [calibration.md](calibration.md).)

`train`, `evaluate` and `inference` are the files of these names in `configs` of a bundle. Where bundles differ, the
default of most of them stands first. A `*` stands for any data set, or for any model.
"""
COMPUTED = "found at the start"

Settings = Mapping[str, Key]  # by bundle


class _Row(NamedTuple):
    """A key as it is in some workflows of some bundles."""

    key: Key
    workflows: Sequence[str]
    settings: Settings


def configuration_page(
    configs: Mapping[str, Mapping[str, Mapping[str, Any]]], recipes: Mapping[str, Sequence[str]]
) -> str:
    """Write the page, in Markdown.

    Args:
        configs: content of each rendered config, by bundle and by train, evaluate or inference.
        recipes: [workflow, data set, model] of each bundle.

    Returns:
        A table for all bundles, and one for each set of bundles that have keys of their own.
    """
    by_key: dict[str, dict[str, dict[str, Key]]] = {}  # key -> workflow -> bundle
    for name in _names_in_order([keys_of(content) for of_bundle in configs.values() for content in of_bundle.values()]):
        by_key[name] = {}
    for bundle, of_bundle in configs.items():
        for workflow, content in of_bundle.items():
            for key in keys_of(content):
                by_key[key.name].setdefault(workflow, {})[bundle] = key
    tables: dict[tuple[str, ...], list[str]] = {}
    for in_workflows in by_key.values():
        having = tuple(bundle for bundle in configs if any(bundle in each for each in in_workflows.values()))
        rows = [_cells(row, having, recipes, len(configs[having[0]])) for row in _rows(in_workflows)]
        tables.setdefault(having, []).extend(rows)
    sections = [HEAD]
    for having in sorted(tables, key=len, reverse=True):
        title = "In every bundle" if len(having) == len(configs) else f"In {bundles_text(having, recipes)}"
        head = "| key | meaning | values | in | default |\n| --- | --- | --- | --- | --- |"
        sections.append("\n".join([f"## {title}", "", head, *tables[having], ""]))
    return "\n".join(sections)


def bundles_text(bundles: Collection[str], recipes: Mapping[str, Sequence[str]]) -> str:
    """Name some bundles, those of one data set or of one model together.

    >>> recipes = {f"{data}_{model}": ["flow", data, model] for data in ("a", "b") for model in ("x", "y")}
    >>> bundles_text(["a_x", "a_y", "b_y"], recipes)
    '`a_*`, `*_y`'
    """
    families: dict[str, set[str]] = {}
    for bundle, (_, data_set, model) in recipes.items():
        families.setdefault(f"{data_set}_*", set()).add(bundle)
        families.setdefault(f"*_{model}", set()).add(bundle)
    names: list[str] = []
    rest = set(bundles)
    for name, family in families.items():
        if family <= set(bundles) and family & rest and len(family) > 1:
            names.append(name)
            rest -= family
    names += [bundle for bundle in recipes if bundle in rest]
    return ", ".join(f"`{name}`" for name in names)


def _names_in_order(listings: Sequence[Sequence[Key]]) -> list[str]:
    """List all names so that each listing keeps its order, as far as they agree."""
    names: list[str] = []
    for listing in sorted(listings, key=len, reverse=True):
        place = 0
        for key in listing:
            if key.name in names:
                place = names.index(key.name) + 1
            else:
                names.insert(place, key.name)
                place += 1
    return names


def _rows(in_workflows: Mapping[str, Settings]) -> list[_Row]:
    """Give a row for each meaning of a key: first told apart by workflow, then by bundle."""
    workflows_of: list[tuple[Settings, list[str]]] = []
    for workflow, settings in in_workflows.items():
        same = next((names for others, names in workflows_of if others == settings), None)
        if same is None:
            workflows_of.append((settings, [workflow]))
        else:
            same.append(workflow)
    rows = []
    for settings, workflows in workflows_of:
        meanings: dict[tuple[str, str], dict[str, Key]] = {}
        for bundle, key in settings.items():
            meanings.setdefault((key.description, key.type), {})[bundle] = key
        rows += [_Row(next(iter(each.values())), workflows, each) for each in meanings.values()]
    return rows


def _cells(row: _Row, having: Collection[str], recipes: Mapping[str, Sequence[str]], n_workflows: int) -> str:
    where = "all" if len(row.workflows) == n_workflows else ", ".join(row.workflows)
    if len(row.settings) < len(having):
        where += f"; {bundles_text(row.settings, recipes)}"
    defaults: dict[str, list[str]] = {}
    for bundle, key in row.settings.items():
        defaults.setdefault(f"`{key.default}`" if key.default else COMPUTED, []).append(bundle)
    (usual, _), *others = sorted(defaults.items(), key=lambda item: -len(item[1]))
    default = "; ".join([usual, *(f"{bundles_text(bundles, recipes)}: {value}" for value, bundles in others)])
    cells = (f"`{row.key.name}`", row.key.description, row.key.type, where, default)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
