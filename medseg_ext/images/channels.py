"""Choose which channels of an image are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from medseg_ext.errors import DataError

MOST_CHANNELS = 4  # of which the first three are taken for red, green and blue: with more, a person has to say


class LeftOut(NamedTuple):
    """A remark on a part of a file that is not read.

    Attributes:
        text: what is read of it.
        remedy: how inference is told to read another part.
    """

    text: str
    remedy: str


class Channels(NamedTuple):
    """The channels of an image, alpha not counted, and which are read.

    Attributes:
        names: of each, empty where the file tells none.
        taken: numbers of those that are read, from 0.
        chosen: whether a person chose.
    """

    names: tuple[str, ...]
    taken: tuple[int, ...]
    chosen: bool = False

    @property
    def left_out(self) -> LeftOut | None:
        """Say which channels are left out that nobody chose to leave out; None if there are none."""
        if self.chosen or len(self.taken) == len(self.names):
            return None
        taken = listed([self.names[number] for number in self.taken], self.taken)
        verb = "was" if len(self.taken) == 1 else "were"
        return LeftOut(
            f"of {len(self.names)} channels ({listed(self.names)}) {taken} {verb} taken, counted from 0",
            "--channel chooses one",
        )


def choose_channels(names: Sequence[str], channel: int | str | None, where: str) -> Channels:
    """Choose the channels that are read: those of a person, or the first three, or the first of two.

    Args:
        names: of each channel, empty where the file tells none.
        channel: number, from 0, or name; None where nobody chose.
        where: name of the file, for messages.

    Raises:
        DataError: there is no such channel; nobody chose, and there are more than `MOST_CHANNELS`.

    >>> choose_channels(["DAPI", "GFP"], "GFP", "a.tif").taken
    (1,)
    """
    names = tuple(names)
    if channel is not None:
        return Channels(names, (_number_of(names, channel, where),), chosen=True)
    if len(names) > MOST_CHANNELS:
        raise DataError(
            f"{where} has {len(names)} channels ({listed(names)}), expected grey, RGB or RGBA: choose one with "
            "--channel, or save it again as such"
        )
    return Channels(names, (0, 1, 2) if len(names) >= 3 else (0,))


def listed(names: Sequence[str], numbers: Sequence[int] | None = None) -> str:
    """List channels by number and name.

    >>> listed(["DAPI", ""])
    '0 DAPI, 1'
    """
    numbers = range(len(names)) if numbers is None else numbers
    return ", ".join(f"{number} {name}".strip() for number, name in zip(numbers, names, strict=True))


def check_channel(channel: object) -> None:
    """Refuse what is neither the number of a channel nor a name. Raises: DataError."""
    is_number = isinstance(channel, int) and not isinstance(channel, bool) and channel >= 0
    if not (channel is None or is_number or (isinstance(channel, str) and channel)):
        raise DataError(
            f"channel must be a number from 0, the first channel, or a name, got {channel!r}: "
            "give --channel another value"
        )


def _number_of(names: Sequence[str], channel: int | str, where: str) -> int:
    if isinstance(channel, str):
        for found in (  # the very name first
            [number for number, name in enumerate(names) if name == channel],
            [number for number, name in enumerate(names) if name.casefold() == channel.casefold()],
        ):
            if len(found) == 1:
                return found[0]
    number = int(channel) if str(channel).isdecimal() else -1
    if number not in range(len(names)):
        what = f"no channel {channel}" if number >= 0 else f"no channel named {channel!r}"
        raise DataError(
            f"{where} has {what}: it has {len(names)} ({listed(names)}), counted from 0; choose another with --channel"
        )
    return number
