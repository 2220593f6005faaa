"""The log has what nobody is told otherwise, and nothing that repeats."""

import logging

import pytest

from medseg_ext.bundle.library_log import OF_READER, OF_RUNS, READER_LOGS, shorten_log
from medseg_ext.errors import DataError


@pytest.fixture(autouse=True)
def shortened():
    loggers = [logging.getLogger(name) for name in (*OF_RUNS, OF_READER)]
    before = [(list(logger.filters), logger.propagate) for logger in loggers]
    shorten_log()
    for logger in loggers:
        logger.propagate = True  # to caplog
    yield
    for logger, (filters, propagate) in zip(loggers, before, strict=True):
        logger.filters, logger.propagate = filters, propagate


def log_of(caplog, error, *, level=logging.ERROR, name=OF_RUNS[0]):
    """Log as Ignite does where a run ends by an error."""
    try:
        raise error
    except BaseException:
        logging.getLogger(name).log(level, "the run ends")
    return caplog.messages


@pytest.mark.parametrize("name", OF_RUNS)
def test_errors_that_people_cannot_mend_are_logged_and_others_are_not(caplog, name):
    wrapped = RuntimeError("the config's item 3")
    wrapped.__cause__ = ValueError("of a library")
    assert log_of(caplog, wrapped, name=name) == ["the run ends"]
    assert log_of(caplog, DataError("a.png is broken"), name=name) == ["the run ends"]
    assert log_of(caplog, KeyboardInterrupt(), name=name) == ["the run ends"]


def test_a_run_that_is_tried_again_after_an_error_is_logged(caplog):
    assert log_of(caplog, DataError("of the first"), level=logging.WARNING) == ["the run ends"]


def test_a_best_of_one_metric_is_told_only_if_asked_for(caplog):
    logger = logging.getLogger(OF_RUNS[1])
    with caplog.at_level(logging.INFO, OF_RUNS[1]):
        logger.info("Got new best metric of pq: 0.5")
        assert not caplog.messages
        logger.filters.clear()
        shorten_log(verbose=True)
        logger.info("Got new best metric of pq: 0.5")
    assert caplog.messages == ["Got new best metric of pq: 0.5"]


def test_of_the_reader_of_dicom_only_one_line_is_left_out(caplog):
    for message in (READER_LOGS, "another one"):
        logging.getLogger(OF_READER).warning(message)
    assert caplog.messages == ["another one"]


def test_the_line_is_what_monai_says(caplog):
    from monai.data import nvimgcodec_pydicom_plugin as plugin

    logging.getLogger(OF_READER).filters.clear()
    if not plugin.is_nvimgcodec_available():
        plugin.register_as_decoder_plugin()
        assert caplog.messages == [READER_LOGS]
