"""Write what an evaluator finds."""

from __future__ import annotations

import logging
from typing import Any

from ignite.engine import Engine, Events

from medseg_ext.objects.objects import Objects
from medseg_ext.objects.result_folder import Item, ResultFolder

logger = logging.getLogger(__name__)


class ObjectWriter:
    """Hand the objects of each image of an evaluator to a `ResultFolder`.

    It reads `id` from each item of the decollated batch, and `pred_instances`, `pred_classes` and `pred_scores` from
    each item of the output, and the metadata of its `image`; or `error`, the reason why the image failed.

    Args:
        results: the folder that takes the objects.
    """

    def __init__(self, results: ResultFolder) -> None:
        self.results = results
        self._items: dict[str, Item] = {}

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.write)
        engine.add_event_handler(Events.COMPLETED, self.results.summarise)

    def start(self, engine: Engine) -> None:
        """Make the folder ready."""
        self.results.start()
        self._items = {item["id"]: item for item in self.results.images.data}  # once: there may be 100,000

    def write(self, engine: Engine) -> None:
        """Write the files of each image of the batch."""
        state: Any = engine.state  # after MONAI's postprocessing both are lists of dicts
        for batch, output in zip(state.batch, state.output, strict=True):
            item = self._items[batch["id"]]
            if "error" in output:
                self.results.add_failure(item, output["error"])
            else:
                objects = Objects(output["pred_instances"], output["pred_classes"], output["pred_scores"])
                self.results.write(item, objects, metadata=getattr(output.get("image"), "meta", None))
