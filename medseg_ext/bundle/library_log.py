"""Leave out of the log what libraries add to an error that people are told in one line, and what nobody asked for."""

from __future__ import annotations

import logging
import re
import sys
import warnings

from medseg_ext.bundle.causes import cause_of, people_can_mend

# Loggers of Ignite's engines, and of MONAI's `StatsHandler` in a training, which adds the traceback.
OF_RUNS = ("ignite.engine.engine.SupervisedTrainer", "ignite.engine.engine.SupervisedEvaluator", "train")
# MONAI tries all its readers of images, and tells of this one that it lacks a decoder for GPUs, several times a run.
OF_READER = "monai.data.nvimgcodec_pydicom_plugin"
READER_LOGS = "nvImageCodec is not available; skipping pydicom decoder plugin registration."
BEST = "Got new best metric of "  # by the key metric alone: `BestModel` logs which weights are kept, by all metrics
READER_WARNS = "NvImgCodecPydicomReader: nvImageCodec decoder plugin did not register successfully."


def shorten_log(*, verbose: bool = False) -> None:
    """Make libraries silent on that; for a process that runs a workflow by a command line.

    Errors that people cannot mend are logged as before.

    Args:
        verbose: leave what nobody asked for in the log of a training.
    """
    for name in OF_RUNS:
        logging.getLogger(name).addFilter(_is_news)
        if not verbose:
            logging.getLogger(name).addFilter(_is_no_best)
    logging.getLogger(OF_READER).addFilter(_is_of_use)
    warnings.filterwarnings("ignore", message=re.escape(READER_WARNS))


def _is_news(record: logging.LogRecord) -> bool:
    error = sys.exc_info()[1]  # libraries log it where they catch it
    cause = None if error is None else cause_of(error)
    is_told = cause is not None and (isinstance(cause, KeyboardInterrupt) or people_can_mend(cause))
    return record.levelno < logging.ERROR or not is_told


def _is_no_best(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(BEST)


def _is_of_use(record: logging.LogRecord) -> bool:
    return record.getMessage() != READER_LOGS
