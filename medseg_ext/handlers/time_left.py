"""Say how long a training will take."""

from __future__ import annotations

import logging
import time

from ignite.engine import Engine, Events

from medseg_ext.processes import is_first_process

logger = logging.getLogger(__name__)


class TimeLeft:
    """Log after every epoch how much time the rest will take, by the epochs since the training started or went on.

    Attach it to a trainer after what validates, so that validations count.
    """

    def __init__(self) -> None:
        self._start, self._first = 0.0, 0

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def _begin(self, engine: Engine) -> None:
        if not self._start:
            self._start, self._first = time.monotonic(), engine.state.epoch

    def __call__(self, engine: Engine) -> None:
        """Log a line; of several processes only the first one does."""
        done, whole = engine.state.epoch, int(engine.state.max_epochs or 0)
        seconds = (time.monotonic() - self._start) / (done - self._first + 1) * (whole - done)
        if is_first_process() and done < whole:
            logger.info("epoch %d of %d: about %s left", done, whole, duration_text(seconds))


def duration_text(seconds: float) -> str:
    """Write a duration for people, rounded up.

    >>> duration_text(20), duration_text(61), duration_text(7200)
    ('1 min', '2 min', '2 h')
    >>> duration_text(7201)
    '2 h 1 min'
    """
    hours, minutes = divmod(-(-int(-(-seconds // 1)) // 60), 60)
    parts = [f"{hours} h"] * bool(hours) + [f"{minutes} min"] * bool(minutes or not hours)
    return " ".join(parts)
