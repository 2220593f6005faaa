"""Run a workflow of a bundle, as MONAI's command line does."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser, ConfigWorkflow

from medseg_ext.bundle.causes import USER_ERRORS, cause_of, message_of
from medseg_ext.bundle.given import given_as
from medseg_ext.bundle.keys import DESCRIPTIONS
from medseg_ext.bundle.overrides import refuse_misfits
from medseg_ext.bundle.trust import refuse_unknown_code
from medseg_ext.bundle.values import check_value, is_path
from medseg_ext.bundle.verbatim import as_part, as_path, as_verbatim
from medseg_ext.folder_lock import FolderLock

WORKFLOW_TYPES = {"train": "train", "evaluate": "infer", "inference": "infer"}  # of MONAI's, by config
OUTPUT_LOCK = "output_lock"  # a part of every config


def run_workflow(
    bundle: Path,
    workflow: str,
    overrides: Mapping[str, Any],
    *,
    with_log: bool = True,
    with_warnings: bool = False,
    before: Callable[[ConfigWorkflow], None] | None = None,
) -> ConfigWorkflow:
    """Run one of a bundle's configs through MONAI's `ConfigWorkflow`.

    Args:
        bundle: the bundle's folder.
        workflow: a key of `WORKFLOW_TYPES`.
        overrides: see `open_workflow`.
        with_log: leave the log of MONAI and Ignite in the terminal.
        with_warnings: leave warnings there, too, which are of the libraries and not for people.
        before: takes the workflow when it is initialised, before it runs.

    Returns:
        The workflow, done.

    Raises:
        DataError: what people can mend.
        OverrideError: the config has no such key, or it does not take its value.
        RuntimeError: anything else that ended the run; its message is the cause's.
    """
    running = None
    with given_as(overrides), quiet(log=not with_log, warnings_too=not with_warnings), telling_the_cause(workflow):
        try:
            running = open_workflow(bundle, workflow, overrides, with_log=with_log)
            running.initialize()
            if before is not None:
                before(running)
            running.run()
            running.finalize()
        except BaseException:  # also Ctrl-C in a notebook
            _release(running)
            raise
    return running


def open_workflow(
    bundle: Path, workflow: str, overrides: Mapping[str, Any], *, with_log: bool = False
) -> ConfigWorkflow:
    """Read one of a bundle's configs as MONAI's `ConfigWorkflow`, of which nothing is built yet.

    In a process that `torchrun` started, the config's overlay for several processes is laid over it.

    Args:
        bundle: the bundle's folder.
        workflow: a key of `WORKFLOW_TYPES`.
        overrides: values of the config's keys, which arrive as they are: a text such as `$5` is no expression. Those of
            a part, such as `decoder#min_area_px`, are written as in a config.
        with_log: let MONAI set up its log.

    Raises:
        DataError: the bundle names code that is not run unasked, see `medseg_ext.bundle.trust`.
        OverrideError: the config has no such key, or it does not take its value.
    """
    refuse_unknown_code(bundle)
    configs = [bundle / "configs" / f"{workflow}.json"]
    overlay = bundle / "configs" / f"multi_gpu_{workflow}.json"
    if "LOCAL_RANK" in os.environ and overlay.is_file():
        configs.append(overlay)
    files = [str(config) for config in configs]
    config = ConfigParser.load_config_files(files)
    given = {"bundle_root": bundle, **overrides}
    refuse_misfits(given, config)
    return ConfigWorkflow(
        files if len(files) > 1 else files[0],
        workflow_type=WORKFLOW_TYPES[workflow],
        logging_file=None if with_log else False,
        **_for_the_parser(given, config[DESCRIPTIONS]),
    )


@contextmanager
def telling_the_cause(workflow: str | None = None) -> Iterator[None]:
    """Raise what an error comes from: MONAI wraps it once for every level of the config.

    Raises:
        DataError: what people can mend.
        OverrideError: likewise, of a key.
        RuntimeError: anything else; its message is the cause's.
    """
    try:
        yield
    except Exception as error:
        cause = cause_of(error)
        if isinstance(cause, USER_ERRORS):
            raise type(cause)(message_of(cause)) from error
        raise RuntimeError(message_of(cause, workflow) or type(cause).__name__) from error


def _release(workflow: ConfigWorkflow | None) -> None:
    """Give back the lock of a workflow that failed, and that its error may keep alive."""
    lock = workflow.parser.ref_resolver.resolved_content.get(OUTPUT_LOCK) if workflow else None
    if isinstance(lock, FolderLock):
        lock.release()


def _for_the_parser(overrides: Mapping[str, Any], schemas: Mapping[str, Any]) -> dict[str, Any]:
    """Check values, and write them so that MONAI's parser leaves them as they are."""
    written = {}
    for key, value in overrides.items():
        if key in schemas:
            plain = check_value(f"--{key}", value, schemas[key])
            written[key] = as_path(plain) if is_path(schemas[key]) else as_verbatim(plain)
        else:
            written[key] = as_part(value)
    return written


@contextmanager
def quiet(*, log: bool, warnings_too: bool) -> Iterator[None]:
    """Keep the log, warnings, or both out of the terminal."""
    before = logging.root.manager.disable
    if log:
        logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            if warnings_too:
                warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
