"""Stop a training early, also one that was interrupted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monai.handlers import EarlyStopHandler


class EarlyStop(EarlyStopHandler):
    """MONAI's `EarlyStopHandler`, whose count a resumed training goes on with."""

    @property
    def has_stopped(self) -> bool:
        """Whether as many validations as are waited for were no better."""
        return self._ignite.counter >= self.patience

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed training must know."""
        return dict(self._ignite.state_dict())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the count of the training that is resumed."""
        self._ignite.load_state_dict(state)

    @property
    def _ignite(self) -> Any:
        if self._handler is None:
            raise RuntimeError("EarlyStop: call set_trainer before the training starts")
        return self._handler
