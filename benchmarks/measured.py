"""Hold what was measured of contenders, and compare it."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Measurement(NamedTuple):
    """One time that the work was done; times of this process on the processor, and on the clock."""

    cpu_s: float
    wall_s: float
    memory_mb: float
    result: Any = None

    def seconds(self, device: str) -> float:
        """Give the time that counts: on a CPU that of this process, whatever others do meanwhile, else the clock's."""
        return self.cpu_s if device == "cpu" else self.wall_s


class Spread(NamedTuple):
    """Median and quartiles."""

    median: float
    low: float
    high: float


def spread(values: list[float]) -> Spread:
    """Summarise values.

    >>> spread([1.0, 2.0, 3.0])
    Spread(median=2.0, low=1.0, high=3.0)
    """
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, middle, high = statistics.quantiles(values, n=4)
    return Spread(middle, low, high)


@dataclass
class Measured:
    """What one contender did.

    Attributes:
        rounds: by number.
        warm_up: the time before the first.
        amount: of the work, in the row's unit.
        absent: why there is nothing.
    """

    rounds: dict[int, Measurement] = field(default_factory=dict)
    warm_up: Measurement | None = None
    amount: float | None = None
    absent: str = ""

    def seconds(self, device: str) -> Spread:
        """Give the time of a round."""
        return spread([each.seconds(device) for each in self.rounds.values()])

    def seconds_a_unit(self, device: str) -> float:
        """Give the time of one unit of the amount, or of all where the work has no amount."""
        return self.seconds(device).median / (self.amount or 1)

    def memory_mb(self) -> float:
        """Give the peak of the memory, of all times."""
        return max(each.memory_mb for each in [*self.rounds.values(), *([self.warm_up] if self.warm_up else [])])


def times_faster(ours: Measured, other: Measured, device: str) -> Spread:
    """Compare times, by unit of the amount, round by round: what disturbed a round disturbed both; other / ours."""
    per_unit = (ours.amount or 1) / (other.amount or 1)
    median_s = other.seconds(device).median
    return spread(
        [
            (other.rounds[number].seconds(device) if number in other.rounds else median_s)
            * per_unit
            / own.seconds(device)
            for number, own in ours.rounds.items()
        ]
    )


def times_less_memory(ours: Measured, other: Measured) -> float:
    """Compare the peaks of the memory; one of less than a megabyte counts as one."""
    return other.memory_mb() / max(ours.memory_mb(), 1.0)
