"""Show people the code that a bundle names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from medseg_ext.bundle.config_code import Code

WIDEST_KEY = 60
NOTE_ON_SCRIPTS = "TorchScript is code: PyTorch runs it where it is loaded, which medseg verify and MONAI Deploy do."


def inspection_table(found: Sequence[Code], place: Path) -> Iterator[str]:
    """Yield the lines of a table, what is not run unasked marked by `NO`, and at the end whether medseg runs it.

    Args:
        found: of `medseg_ext.bundle.inspection.inspect_bundle`.
        place: the bundle's folder.
    """
    rows = [(_plain(code.key), code.kind, code) for code in found]
    key_width = min(WIDEST_KEY, max((len(key) for key, *_ in rows), default=0))
    kind_width = max((len(kind) for _, kind, _ in rows), default=0)
    file = ""
    for key, kind, code in rows:
        if code.file != file:
            file = code.file
            yield f"\n{_plain(file)}"
        mark = "NO" if code.fault else "ok"
        fault = f"   <- {_plain(code.fault)}" if code.fault else ""
        yield f"  {mark}  {key:<{key_width}}  {kind:<{kind_width}}  {_plain(code.what)}{fault}"
    yield ""
    if any(code.kind == "TorchScript" for code in found):
        yield NOTE_ON_SCRIPTS
    faults = [code for code in found if code.fault]
    count = f"{len(found)} piece{'' if len(found) == 1 else 's'} of code"
    if faults:
        yield (
            f"{place}: {count}, {len(faults)} of which medseg does not run unasked (NO): "
            "it refuses the bundle unless you give --trust."
        )
    else:
        yield f"{place}: {count}, all among what medseg runs unasked."


def _plain(text: str) -> str:
    """Write a text in one line of characters that a terminal shows and does not obey."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)
