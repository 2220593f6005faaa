"""Let an image fail without ending an evaluator's run for the others."""

from __future__ import annotations

import logging
from typing import Any

from monai.engines import Evaluator
from monai.transforms import Decollated

from medseg_ext.errors import reason_of
from medseg_ext.files import as_text

logger = logging.getLogger(__name__)


def iterate_or_report(engine: Evaluator, batch: Any) -> Any:
    """Do an iteration of MONAI's evaluator, from the network to the postprocessing; for its `iteration_update`.

    Args:
        engine: the evaluator.
        batch: items collated by `medseg_ext.datasets.collate_same_size`.

    Returns:
        What the evaluator returns; when it fails, for each item of the batch a dict with the reason under "error".
    """
    if isinstance(batch, list):  # failed before the network
        for item in batch:  # here, as a data loader's worker may not have the log
            logger.error("%s is left out: %s", as_text(item["image"]), as_text(item["error"]))
        engine.state.batch = batch
        return [{"error": item["error"]} for item in batch]
    try:
        return engine._iteration(engine, batch)
    except Exception as error:
        engine.state.batch = Decollated(keys=None, detach=True)(batch)  # as after an iteration that ends well
        paths = [item["image"].meta["filename_or_obj"] for item in engine.state.batch]
        logger.exception("%s failed in the network or after it", ", ".join(paths))
        return [{"error": reason_of(error, path)} for path in paths]
