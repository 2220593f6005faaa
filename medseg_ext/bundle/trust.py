"""Keep a bundle from running code that is not known to be harmless, unless the person says that it is theirs."""

# Only what is loaded in no time: what reads configs is imported when it is needed.
from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medseg_ext.errors import DataError

if TYPE_CHECKING:
    from medseg_ext.bundle.config_code import Code

_trusts: ContextVar[bool] = ContextVar("trusts", default=False)


@contextmanager
def trusting(trusts: bool = True) -> Iterator[None]:
    """Run any code of the bundles that are opened inside, as `--trust` does."""
    token = _trusts.set(trusts)
    try:
        yield
    finally:
        _trusts.reset(token)


def is_trusting() -> bool:
    """Say whether any code of bundles is run now."""
    return _trusts.get()


def refuse_unknown_code(bundle: Path) -> None:
    """Stop before anything of a bundle is evaluated, if it names code that medseg does not run unasked.

    Raises:
        DataError: names the first such piece, and what to do.
    """
    if is_trusting() or not (bundle / "configs").is_dir():  # which whoever reads the bundle will say
        return
    from medseg_ext.bundle.inspection import inspect_bundle

    _refuse([code for code in inspect_bundle(bundle) if code.fault], bundle, look_at=bundle)


def refuse_unknown_values(bundle: Path, workflow: str, values: Mapping[str, Any], source: Path) -> None:
    """Likewise for values of a bundle's config that are not the person's own words.

    Args:
        bundle: the bundle's folder.
        workflow: name of the config file, such as "train".
        values: by key.
        source: the file that they come from.

    Raises:
        DataError: names the first such value.
    """
    if is_trusting():
        return
    from medseg_ext.bundle.inspection import inspect_bundle, inspect_values

    known = set(inspect_bundle(bundle))
    faults = [code for code in inspect_values(bundle, workflow, values) if code.fault and code not in known]
    _refuse([code._replace(file=source.name) for code in faults], source.parent)


def refuse_unknown_content(content: Any, file: Path | str) -> None:
    """Likewise for the content of a config that came inside another file, such as TorchScript.

    Raises:
        DataError: names the first such piece.
    """
    if is_trusting():
        return
    from medseg_ext.bundle.inspection import inspect_config

    faults = [code for code in inspect_config(content, Path(file).name) if code.fault]
    _refuse(faults, Path(file).parent, look_at=Path(file))


def _refuse(faults: list[Code], folder: Path, *, look_at: Path | None = None) -> None:
    if not faults:
        return
    first, more = faults[0], len(faults) - 1
    what = first.what if len(first.what) < 120 else f"{first.what[:120]}..."
    place = f"{folder / first.file}: {f'{first.key} ' if first.key else ''}{what!r} {first.fault}"
    look = f"look at all with `medseg inspect {look_at}`, " if look_at else ""
    raise DataError(
        f"{place}{f' (and {more} more)' if more else ''}, so nothing of it is run; "
        f"{look}{'or ' if look else ''}give --trust if it is yours"
    )
