"""Choose which channels of an image are read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeGuard

from medseg_ext.errors import DataError

if TYPE_CHECKING:  # the front door reads words by this module, and loads no library for that
    import numpy as np

MOST_CHANNELS = 4  # of which the first three are taken for red, green and blue: with more, a person has to say

MOST_DIGITS = 9  # of the number of a channel
_PART = re.compile(r"""\s*(?:"(?P<name>[^"]*)"|'(?P<other>[^']*)'|(?P<bare>[^,]*?))\s*,""")  # of a list

# One channel, by its number, from 0, or name, is read as grey; several are read as they are, side by side; None is grey
# or RGB.
Choice = int | str | Sequence[int | str] | None


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
        apart: whether they are read as channels of their own, (H, W, C), and not as grey or RGB.
    """

    names: tuple[str, ...]
    taken: tuple[int, ...]
    chosen: bool = False
    apart: bool = False

    def of(self, pixels: np.ndarray) -> np.ndarray:
        """Give the channels that are taken, (H, W, K), as they are read: (H, W) where one is read as grey."""
        return pixels if self.apart or pixels.shape[2] > 1 else pixels[..., 0]

    @property
    def left_out(self) -> LeftOut | None:
        """Say which channels are left out that nobody chose to leave out; None if there are none."""
        if self.chosen or len(self.taken) == len(self.names):
            return None
        taken = listed([self.names[number] for number in self.taken], self.taken)
        verb = "was" if len(self.taken) == 1 else "were"
        return LeftOut(
            f"of {len(self.names)} channels ({listed(self.names)}) {taken} {verb} taken, counted from 0",
            "--channel chooses",
        )


def choose_channels(names: Sequence[str], channel: Choice, where: str) -> Channels:
    """Choose the channels that are read: those of a person, or the first three, or the first of two.

    Args:
        names: of each channel, empty where the file tells none.
        channel: number, from 0, or name, or several of them in the order in which they are read; None where nobody
            chose.
        where: name of the file, for messages.

    Raises:
        DataError: there is no such channel; nobody chose, and there are more than `MOST_CHANNELS`.

    >>> choose_channels(["DAPI", "GFP"], "GFP", "a.tif").taken
    (1,)
    >>> choose_channels(["DAPI", "GFP", "Cy5"], ["Cy5", 0], "a.tif").taken
    (2, 0)
    """
    names = tuple(names)
    if is_list(channel):
        taken = tuple(_number_of(names, each, where) for each in channel)
        if len(set(taken)) < len(taken):
            raise DataError(
                f"--channel names a channel of {where} twice: of {listed(names)} it takes {', '.join(map(str, taken))}"
            )
        return Channels(names, taken, chosen=True, apart=True)
    if isinstance(channel, (int, str)):
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


def read_channels(word: str) -> int | str | list[int | str]:
    """Read what a person types: a number or a name, or several in brackets or with commas between them.

    What stands in quotes is a name, whatever it looks like.

    Raises:
        DataError: see `check_channel`.

    >>> read_channels("DAPI"), read_channels("1"), read_channels("[0, 2]"), read_channels("DAPI,GFP")
    ('DAPI', 1, [0, 2], ['DAPI', 'GFP'])
    >>> read_channels("'488'"), read_channels('"red, far", 1')
    ('488', ['red, far', 1])
    """
    inside = word.strip()
    is_in_brackets = inside.startswith("[") and inside.endswith("]")
    inside = inside[1:-1] if is_in_brackets else inside
    channels: list[int | str] = []
    for part in _PART.finditer(f"{inside},"):
        bare = part["bare"]
        is_number = bare is not None and bare.isdecimal() and len(bare) <= MOST_DIGITS
        channels.append(int(bare) if is_number else bare or part["name"] or part["other"] or "")
    check_channel(channels)
    return channels if is_in_brackets or len(channels) > 1 else channels[0]


def as_typed(channels: Sequence[int | str]) -> str:
    """Write a list of channels as a person types it, see `read_channels`.

    >>> as_typed(["DAPI", 2, "488", "red, far"])
    '[DAPI, 2, "488", "red, far"]'
    """
    return f"[{', '.join(map(_as_typed, channels))}]"


def _as_typed(channel: int | str) -> str:
    word = str(channel)
    if not set(word) & set("[],") and read_channels(word) == channel:
        return word
    return f"'{word}'" if '"' in word else f'"{word}"'


def n_channels_read(channel: Choice) -> int:
    """Count the channels in which an image is read: those of a list, else three.

    >>> n_channels_read(None), n_channels_read("DAPI"), n_channels_read(["DAPI", "GFP"])
    (3, 3, 2)
    """
    return len(channel) if is_list(channel) else 3


def name_of(channel: int | str) -> str:
    """Name a channel, in files and tables.

    >>> name_of("DAPI"), name_of(2)
    ('DAPI', 'channel_2')
    """
    return channel if isinstance(channel, str) else f"channel_{channel}"


def name_when_prepared(channel: int | str) -> str:
    """Name a channel in an image that was prepared: a number is no longer its place, and no microscope's name.

    >>> name_when_prepared("DAPI"), name_when_prepared(2)
    ('DAPI', 'raw channel 2')
    """
    return channel if isinstance(channel, str) else f"raw channel {channel}"


def is_list(channel: Choice) -> TypeGuard[Sequence[int | str]]:
    """Say whether several channels are asked for, or a list of one."""
    return not (channel is None or isinstance(channel, (int, str)))


def check_channel(channel: object) -> None:
    """Refuse what is neither the number of a channel, nor a name, nor a list of such, each once. Raises: DataError."""
    several = list(channel) if isinstance(channel, (list, tuple)) else [channel]
    is_fit = bool(several) and all(map(_is_channel, several)) and len(set(several)) == len(several)
    if channel is not None and not is_fit:
        raise DataError(
            "channel must be a number from 0, the first channel, or a name, or a list of them, each once, got "
            f"{channel!r}: give --channel another value"
        )


def _is_channel(channel: object) -> bool:
    is_number = isinstance(channel, int) and not isinstance(channel, bool) and channel >= 0
    return is_number or (isinstance(channel, str) and bool(channel))


def _number_of(names: Sequence[str], channel: int | str, where: str) -> int:
    number = int(channel) if str(channel).isdecimal() and len(str(channel)) <= MOST_DIGITS else -1
    wanted = [channel] if isinstance(channel, str) else [name_when_prepared(channel)]
    if number >= len(names):  # some are called 488
        wanted.append(str(channel))
    for name in wanted:
        for found in (  # the very name first
            [place for place, each in enumerate(names) if each == name],
            [place for place, each in enumerate(names) if each.casefold() == name.casefold()],
        ):
            if len(found) == 1:
                return found[0]
    if number not in range(len(names)):
        what = f"no channel {channel}" if number >= 0 else f"no channel named {channel!r}"
        raise DataError(
            f"{where} has {what}: it has {len(names)} ({listed(names)}), counted from 0; choose another with --channel"
        )
    return number
