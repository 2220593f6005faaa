"""Write what an evaluator finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events

from medseg_ext.errors import DataError
from medseg_ext.objects.objects import Objects
from medseg_ext.objects.result_folder import Item, ResultFolder


class ObjectWriter:
    """Hand the objects of each image of an evaluator to a `ResultFolder`, in a thread beside the network's.

    While the files of one image are written, the network sees the next one; no further image waits.

    It reads from each item of the decollated batch its `id` and the image as it came; and from each item of the output
    `pred_instances`, `pred_classes` and `pred_scores`, and the metadata of its `image`, or `error`, the reason why the
    image failed.

    Args:
        results: the folder that takes the objects.
        original_key: the image as it came, float (3, H, W) in [0, 1]: the preprocessing copies it before it changes it.
    """

    def __init__(self, results: ResultFolder, *, original_key: str = "original_image") -> None:
        self.results = results
        self.original_key = original_key
        self._items: dict[str, Item] = {}
        self._thread: ThreadPoolExecutor | None = None
        self._being_written: Future[None] | None = None

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.write)
        engine.add_event_handler(Events.COMPLETED, self.finish)

    def start(self, engine: Engine) -> None:
        """Make the folder ready."""
        self.results.start()
        self._items = {item["id"]: item for item in self.results.images.data}  # once: there may be 100,000
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="object-writer")

    def write(self, engine: Engine) -> None:
        """Begin to write the files of each image of the batch, once those of the batch before are written."""
        state: Any = engine.state  # after MONAI's postprocessing both are lists of dicts
        for batch, output in zip(state.batch, state.output, strict=True):
            item = self._items[batch["id"]]
            if "error" in output:
                self._next(partial(self.results.add_failure, item, output["error"]))
            else:
                objects = Objects(output["pred_instances"], output["pred_classes"], output["pred_scores"])
                metadata = getattr(output.get("image"), "meta", None)
                self._next(partial(self.results.write, item, objects, self._original_of(batch), metadata=metadata))

    def finish(self, engine: Engine) -> None:
        """Wait for the last image, and write the summary."""
        self.close()
        self.results.summarise()

    def close(self) -> None:
        """Wait for the image that is being written, if there is one, also where the engine was stopped."""
        if self._thread is not None:
            self._thread.shutdown(wait=True)
            self._thread = None
        self._wait()

    def _next(self, task: Callable[[], None]) -> None:
        if self._thread is None:
            raise RuntimeError("start() comes first")
        self._wait()
        self._being_written = self._thread.submit(task)

    def _wait(self) -> None:
        """Wait for the image that is being written; raises what that has raised."""
        written, self._being_written = self._being_written, None
        if written is not None:
            written.result()

    def _original_of(self, item: Mapping[str, Any]) -> np.ndarray:
        """Give the image as it came, float (H, W, 3)."""
        if self.original_key not in item:
            raise DataError(
                f"the preprocessing hands on no '{self.original_key}': copy the image before it is changed, by "
                "CopyItemsd, as the inference.json of a bundle does"
            )
        return torch.as_tensor(item[self.original_key]).permute(1, 2, 0).contiguous().numpy()
