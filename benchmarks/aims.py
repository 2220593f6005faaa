"""What is wanted of a row, and whether it holds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from benchmarks.measured import Measured, times_faster, times_less_memory
from benchmarks.rows import OURS, Row

Results = Mapping[str, Measured]  # by contender; those that took part


class Verdict(NamedTuple):
    """Whether an aim is reached."""

    aim: str
    found: str
    holds: bool


@dataclass(frozen=True)
class Faster:
    """Take this many times less time than another, for the same amount."""

    than: str
    times: float

    def judge(self, row: Row, results: Results) -> Verdict | None:
        """Compare; None where the other is absent."""
        if self.than not in results:
            return None
        ratio = times_faster(results[OURS], results[self.than], row.device).median
        return Verdict(f"{self.times:g} times the speed of {self.than}", f"{ratio:.2f}", ratio >= self.times)


@dataclass(frozen=True)
class LessMemory:
    """Take this many times less memory than another."""

    than: str
    times: float

    def judge(self, row: Row, results: Results) -> Verdict | None:
        """Compare; None where the other is absent."""
        if self.than not in results:
            return None
        ratio = times_less_memory(results[OURS], results[self.than])
        return Verdict(f"1/{self.times:g} of the memory of {self.than}", f"1/{ratio:.1f}", ratio >= self.times)


@dataclass(frozen=True)
class AtMost:
    """Take at most so long for a unit of the amount, or for all."""

    seconds: float

    def judge(self, row: Row, results: Results) -> Verdict:
        """Compare."""
        took = results[OURS].seconds_a_unit(row.device)
        unit = f" s/{row.unit}" if row.unit else " s"
        return Verdict(f"at most {self.seconds:g}{unit}", f"{took:.2f}{unit}", took <= self.seconds)


@dataclass(frozen=True)
class FasterThanFormer:
    """Take this many times less time than a former version, which was measured beside the same yardstick.

    Attributes:
        times: how many.
        former: what the former version took, in times of the yardstick.
        yardstick: the contender that is it.
    """

    times: float
    former: float
    yardstick: str

    def judge(self, row: Row, results: Results) -> Verdict | None:
        """Compare; None where the yardstick is absent."""
        if self.yardstick not in results:
            return None
        now = 1 / times_faster(results[OURS], results[self.yardstick], row.device).median
        ratio = self.former / now
        aim = f"{self.times:g} times the speed of before ({self.former:.3g} of {self.yardstick})"
        return Verdict(aim, f"{ratio:.2f} ({now:.3g})", ratio >= self.times)


@dataclass(frozen=True)
class GrowsWith:
    """Let the time grow with the amount to the power of an exponent at most, from the least to the most of it."""

    exponent: float

    def judge(self, row: Row, results: Results) -> Verdict | None:
        """Compare; None with fewer than two contenders."""
        sizes = sorted(
            (measured.amount, measured.seconds(row.device).median)
            for measured in results.values()
            if measured.amount is not None
        )
        if len(sizes) < 2:
            return None
        (least, shortest), (most, longest) = sizes[0], sizes[-1]
        found = math.log(longest / shortest) / math.log(most / least)
        return Verdict(f"time ~ {row.unit}^{self.exponent:g} at most", f"^{found:.2f}", found <= self.exponent)


@dataclass(frozen=True)
class FlatMemory:
    """Let the memory not grow with the amount.

    Attributes:
        of: the contender that is large enough for the tiles to be full.
        times: how many times its memory the largest may take.
    """

    of: str
    times: float

    def judge(self, row: Row, results: Results) -> Verdict | None:
        """Compare; None where the contender is absent."""
        if self.of not in results:
            return None
        largest = max(results.values(), key=lambda measured: measured.amount or 0)
        ratio = largest.memory_mb() / results[self.of].memory_mb()
        return Verdict(f"at most {self.times:g} times the memory of {self.of}", f"{ratio:.2f}", ratio <= self.times)
