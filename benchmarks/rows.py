"""What a row of the table is: the work, who does it, and what is wanted of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

OURS = "medseg_ext"
OWN, PEERS = "own", "peers"  # environments


@dataclass(frozen=True)
class Contender:
    """Who does the work of a row, in a process of its own.

    Attributes:
        name: in the table.
        target: "module:function"; the function prepares the work, and returns a `benchmarks.worker.Work`.
        arguments: of the function; JSON.
        environment: whose packages it needs.
        most_rounds: a slow one sits out the others.
    """

    name: str
    target: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    environment: str = OWN
    most_rounds: int = 1000


@dataclass(frozen=True)
class Row:
    """A piece of work, done by us and by others in turns.

    Attributes:
        name: by which it is picked, and found in the results.
        what: the work, in the table.
        contenders: the first is ours.
        aims: what is wanted of the times.
        seconds: how long the rounds may take together.
        unit: of the contenders' amounts.
        left_out: what the others do that we don't, and the other way round.
        device: where networks run; on a GPU it is the time that passes that counts, else that of the processor.
        is_of_networks: whether the work is done on a GPU, too, where there is one.
    """

    name: str
    what: str
    contenders: Sequence[Contender]
    aims: Sequence[Any] = ()
    seconds: float = 30
    unit: str = ""
    left_out: str = ""
    device: str = "cpu"
    is_of_networks: bool = False
