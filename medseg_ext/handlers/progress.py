"""Show the progress of an engine."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine
from ignite.handlers import ProgressBar as IgniteProgressBar


class ProgressBar(IgniteProgressBar):
    """Ignite's progress bar as a handler of MONAI's engines: options at construction, loss beside the bar.

    Args:
        show_loss: show the loss of the last iteration.
        **tqdm_options: for tqdm; by default the bar is left out where the output is no terminal.
    """

    def __init__(self, *, show_loss: bool = False, **tqdm_options: Any) -> None:
        super().__init__(**{"disable": None, **tqdm_options})
        self._show_loss = show_loss

    def attach(self, engine: Engine) -> None:  # type: ignore[override]  # MONAI's engines pass the engine alone
        """Attach the bar to an engine."""
        super().attach(engine, output_transform=_loss_of if self._show_loss else None)


def _loss_of(output: Any) -> dict[str, float]:
    return {"loss": float(output[0]["loss"])}
