"""Read pickles of arrays, such as the weights of Detectron2's model zoo, without running what else they may hold."""

from __future__ import annotations

import pickle  # nosec B403 # only what arrays are made of is found
from pathlib import Path
from typing import Any

# Older versions of NumPy name its module numpy.core.
_MODULES = {"numpy.core.multiarray": "numpy._core.multiarray"}
_NAMES = {
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("collections", "OrderedDict"),
    ("_codecs", "encode"),  # of bytes that Python 2 wrote
}


class _ArrayUnpickler(pickle.Unpickler):
    """Finds what arrays are made of, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        module = _MODULES.get(module, module)
        if (module, name) not in _NAMES:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is no part of an array, and is not run")
        return super().find_class(module, name)


def read_array_pickle(file: Path | str) -> Any:
    """Read a pickle of dicts, lists, texts, numbers and arrays.

    Raises:
        pickle.UnpicklingError: it holds something else, or is broken.
        OSError: it cannot be read.
    """
    with Path(file).open("rb") as stream:
        return _ArrayUnpickler(stream, encoding="latin1").load()
