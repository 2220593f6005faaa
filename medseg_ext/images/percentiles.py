"""Find percentiles of more values than the memory holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

_AT_ONCE = 2**16
_BINS = 2**16  # the upper half of a value's 32 bits, then the lower half


class Percentiles:
    """Find the percentiles of float32 values that come part by part, and come twice.

    They are exact, whatever the range of the values: a first look counts the upper 16 bits of each value, which tells
    in which of 65,536 bins the wanted ones lie, and a second one the lower 16 bits of the values in these few bins.
    The memory that is needed does not grow with the number of values.

    Call `add` with every part, then `look_again`; while it says True, do both once more with the same parts.

    Args:
        percentages: in [0, 100].
    """

    def __init__(self, percentages: Sequence[float]) -> None:
        self._percentages = np.asarray(percentages, dtype=float)
        self._upper = np.zeros(_BINS, dtype=np.int64)
        self._lower: dict[int, np.ndarray] = {}  # counts in the bins that hold wanted values
        self._ranks = np.zeros(0)

    def add(self, part: np.ndarray) -> None:
        """Count the values of a part.

        Args:
            part: finite numbers of any shape, taken as float32.

        Raises:
            ValueError: values that are not finite, which have no order.
        """
        values = np.asarray(part, dtype=np.float32).ravel()
        for start in range(0, len(values), _AT_ONCE):  # what is computed on the way then stays in the cache
            self._count(values[start : start + _AT_ONCE])

    def _count(self, values: np.ndarray) -> None:
        if not np.isfinite(values).all():
            raise ValueError("percentiles are of finite values: replace the others first")
        keys = _to_keys(values)
        upper = (keys >> np.uint32(16)).astype(np.intp)
        if not self._lower:
            self._upper += np.bincount(upper, minlength=_BINS)
            return
        for number, counts in self._lower.items():
            counts += np.bincount((keys[upper == number] & np.uint32(0xFFFF)).astype(np.intp), minlength=_BINS)

    def look_again(self) -> bool:
        """Say whether all parts are to be added once more; False when `values` can be asked for."""
        if self._lower:
            return False
        count = int(self._upper.sum())
        if count == 0:
            raise ValueError("percentiles are of at least one value, got none")
        self._ranks = (count - 1) * self._percentages / 100
        ends = np.cumsum(self._upper)
        wanted = np.unique([np.floor(self._ranks), np.ceil(self._ranks)])
        self._lower = {
            int(number): np.zeros(_BINS, dtype=np.int64) for number in np.searchsorted(ends, wanted, side="right")
        }
        return True

    def values(self) -> list[float]:
        """Give the percentiles, interpolated as `numpy.percentile` does."""
        starts = np.concatenate([[0], np.cumsum(self._upper)])
        ends_in_bin = {number: np.cumsum(counts) for number, counts in self._lower.items()}

        def value_of(rank: float) -> float:
            number = int(np.searchsorted(starts, rank, side="right")) - 1
            lower = int(np.searchsorted(ends_in_bin[number], rank - starts[number], side="right"))
            return float(_to_values(np.array([(number << 16) + lower], dtype=np.uint32))[0])

        found = []
        for rank in self._ranks:
            below, above = value_of(np.floor(rank)), value_of(np.ceil(rank))
            found.append(below + (above - below) * (rank - np.floor(rank)))
        return [float(value) for value in found]


def percentiles_of(read: Callable[[], Iterable[np.ndarray]], percentages: Sequence[float]) -> list[float]:
    """Give percentiles over all values of several arrays; see `Percentiles`.

    Args:
        read: gives the arrays, one after the other; it is called twice.
        percentages: in [0, 100].

    Raises:
        ValueError: there is no value, or one that is not finite.

    >>> percentiles_of(lambda: [np.array([0.0, 1e-6]), np.array([1e6])], [50])
    [9.999999974752427e-07]
    """
    percentiles = Percentiles(percentages)
    looking = True
    while looking:
        for part in read():
            percentiles.add(part)
        looking = percentiles.look_again()
    return percentiles.values()


def _to_keys(values: np.ndarray) -> np.ndarray:
    """Number float32 values so that the numbers, uint32, have the order of the values."""
    bits = (values + np.float32(0)).view(np.int32)  # -0 + 0 is 0: one value has one number
    # All bits of a negative number are turned, of others the sign only.
    return bits.view(np.uint32) ^ ((bits >> 31).view(np.uint32) | np.uint32(2**31))


def _to_values(keys: np.ndarray) -> np.ndarray:
    """Undo `_to_keys`."""
    return np.where(keys >> np.uint32(31), keys & np.uint32(2**31 - 1), ~keys).view(np.float32)
