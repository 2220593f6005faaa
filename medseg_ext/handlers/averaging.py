"""Average the weights of a training over its steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from ignite.engine import Engine, Events
from ignite.handlers import EMAHandler

from medseg_ext.errors import DataError


class AveragedWeights:
    """Keep an exponential moving average of a network's weights, by Ignite's `EMAHandler`.

    The average is steadier from one validation to the next than the weights of single steps, the more so with small
    batches. Attach it to the trainer after what loads the first weights, and before what loads the state of a training
    that is resumed. It is up to date before anything that happens at the end of an epoch, such as validation.

    Args:
        network: the network that is trained, wrapped for several processes or not.
        momentum: share of each step's weights in the average, above 0 and at most 1: 0.01 averages over about a
            hundred steps, and wants several hundred, if the first weights are not to be a part of the result. With 1
            there is no average, and no copy of the network: `network` is the trained one.

    Attributes:
        network: the averaged network.

    Raises:
        DataError: another momentum.
    """

    def __init__(self, network: torch.nn.Module, momentum: float = 1.0) -> None:
        if not isinstance(momentum, (int, float)) or not 0 < momentum <= 1:
            raise DataError(f"ema_momentum is {momentum!r}; it must be above 0 and at most 1, which averages nothing")
        self.average = EMAHandler(network, momentum, handle_buffers="update") if momentum < 1 else None
        self.network = self.average.ema_model if self.average else network

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        if self.average:
            engine.add_event_handler(Events.STARTED, self._start)
            self.average.attach(engine)

    def _start(self) -> None:
        """Begin with the weights that the training begins with."""
        assert self.average
        self.average.ema_model.load_state_dict(self.average.model.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """Return the averaged weights; nothing where there is no average."""
        return self.average.ema_model.state_dict() if self.average else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the average of the training that is resumed.

        A training that kept none is averaged from here on; an average that is wanted no longer is left.
        """
        if self.average and state:
            self.average.ema_model.load_state_dict(state)
        elif self.average:
            self._start()
