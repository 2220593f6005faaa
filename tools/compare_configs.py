"""Compare what the configs of all bundles say, between two revisions or folders.

    python tools/compare_configs.py v0.1.0                  # with the working tree
    python tools/compare_configs.py v0.1.0 HEAD --renamed renamed.txt

The order of keys and the descriptions (`_desc_`) make no difference. A table of renamed `_target_`s, one line
`old.name: new.name` each, is applied to the old configs first. Each remaining difference is a line
`bundle/file: key#path: old -> new`, and the exit status 1 says that there is one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

CONFIGS = "bundles/*/configs/*.json"
MISSING = object()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", metavar="OLD", help="a git revision, or a folder with bundles/ inside")
    parser.add_argument("new", metavar="NEW", nargs="?", default=".", help="likewise (default: the working tree)")
    parser.add_argument("--renamed", type=Path, metavar="FILE", help="lines `old.name: new.name` of renamed _target_s")
    options = parser.parse_args(arguments)
    try:
        renamed = read_renamed(options.renamed) if options.renamed else {}
        old, new = read_configs(options.old), read_configs(options.new)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    lines = list(compare(old, new, renamed=renamed))
    print("\n".join(lines or [f"{len(new)} configs say the same"]))
    return 1 if lines else 0


def read_configs(place: str) -> dict[str, Any]:
    """Read every config of every bundle.

    Args:
        place: a folder with `bundles` inside, or a git revision of the repository of the working directory.

    Returns:
        The parsed contents, by `bundle/file`.

    Raises:
        ValueError: neither, or one without bundles; or a file is no JSON.
    """
    texts = _texts_of_folder(Path(place)) if Path(place).is_dir() else _texts_of_revision(place)
    configs = {}
    for path, text in texts:
        bundle, _, file = Path(path).parts[-3:]
        try:
            configs[f"{bundle}/{file}"] = json.loads(text)
        except ValueError as error:
            raise ValueError(f"{place}: {path}: is no JSON: {error}") from error
    if not configs:
        raise ValueError(f"{place}: has no {CONFIGS}")
    return configs


def read_renamed(file: Path) -> dict[str, str]:
    """Read lines `old.name: new.name`; empty ones and what follows a `#` are passed over."""
    renamed = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        content = line.partition("#")[0].strip()
        if not content:
            continue
        old, colon, new = (part.strip() for part in content.partition(":"))
        if not (old and colon and new):
            raise ValueError(f"{file}: line {number}: expected old.name: new.name, got {line!r}")
        renamed[old] = new
    return renamed


def compare(
    old: Mapping[str, Any], new: Mapping[str, Any], *, renamed: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Yield a line for each difference between configs by `bundle/file`, see the head of this module.

    >>> list(compare({"a/train.json": {"lr": 1}}, {"a/train.json": {"lr": 2, "_desc_": {}}}))
    ['a/train.json: lr: 1 -> 2']
    """
    for file in sorted({*old, *new}):
        before, after = old.get(file, MISSING), new.get(file, MISSING)
        if before is MISSING or after is MISSING:
            yield f"{file}: {'no such file' if before is MISSING else 'file'} -> " + (
                "no such file" if after is MISSING else "file"
            )
            continue
        for path, left, right in differences(_said(before, renamed or {}), _said(after, {})):
            yield f"{file}: {path}: {_text(left)} -> {_text(right)}"


def differences(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (key#path, old, new) of each leaf that differs; `MISSING` stands for none."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys: Sequence[Any] = [*old, *(key for key in new if key not in old)]
        pairs: list[tuple[Any, Any, Any]] = [(key, old.get(key, MISSING), new.get(key, MISSING)) for key in keys]
    elif isinstance(old, list) and isinstance(new, list):
        pairs = [
            (index, old[index] if index < len(old) else MISSING, new[index] if index < len(new) else MISSING)
            for index in range(max(len(old), len(new)))
        ]
    else:
        # By type, too: true is not 1.
        if type(old) is not type(new) or old != new:
            yield path, old, new
        return
    for key, left, right in pairs:
        yield from differences(left, right, f"{path}#{key}" if path else str(key))


def _said(config: Any, renamed: Mapping[str, str]) -> Any:
    """Leave out the descriptions, and rename `_target_`s."""
    if isinstance(config, list):
        return [_said(each, renamed) for each in config]
    if not isinstance(config, dict):
        return config
    return {
        key: renamed.get(value, value) if key == "_target_" and isinstance(value, str) else _said(value, renamed)
        for key, value in config.items()
        if key != "_desc_"
    }


def _text(value: Any) -> str:
    return "nothing" if value is MISSING else json.dumps(value, ensure_ascii=False)


def _texts_of_folder(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.glob(CONFIGS)):
        yield path.relative_to(folder).as_posix(), path.read_text(encoding="utf-8")


def _texts_of_revision(revision: str) -> Iterator[tuple[str, str]]:
    names = _git("ls-tree", "-r", "--name-only", "--full-tree", revision, "bundles").splitlines()
    for name in names:
        if Path(name).match(CONFIGS):
            yield name, _git("show", f"{revision}:{name}")


def _git(*words: str) -> str:
    result = subprocess.run(["git", *words], capture_output=True, text=True, encoding="utf-8")
    if result.returncode:
        raise ValueError(f"git {' '.join(words)}: {result.stderr.strip()}; give a folder or a revision")
    return result.stdout


if __name__ == "__main__":
    sys.exit(main())
