"""Run a workflow of a bundle, as MONAI's command line does."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fire.parser
from monai.bundle import ConfigParser, ConfigWorkflow

from medseg_ext.bundle.keys import OWN_KEYS
from medseg_ext.bundle.monai_command_line import USER_ERRORS, OverrideError, cause_of, message_of, refuse_unknown_keys

JSON_WORDS = {"true": True, "false": False, "null": None}  # as configs and help write what Python capitalises
WORKFLOW_TYPES = {"train": "train", "evaluate": "infer", "inference": "infer"}  # of MONAI's, by config


def run_workflow(
    bundle: Path,
    workflow: str,
    overrides: Mapping[str, Any],
    *,
    with_log: bool = True,
    with_warnings: bool = False,
) -> ConfigWorkflow:
    """Run one of a bundle's configs through MONAI's `ConfigWorkflow`.

    In a process that `torchrun` started, the config's overlay for several processes is laid over it.

    Args:
        bundle: the bundle's folder.
        workflow: a key of `WORKFLOW_TYPES`.
        overrides: values of the config's keys.
        with_log: leave the log of MONAI and Ignite in the terminal.
        with_warnings: leave warnings there, too, which are of the libraries and not for people.

    Returns:
        The workflow, done.

    Raises:
        DataError: what people can mend.
        OverrideError: the config has no such key.
        RuntimeError: anything else that ended the run; its message is the cause's.
    """
    configs = [bundle / "configs" / f"{workflow}.json"]
    overlay = bundle / "configs" / f"multi_gpu_{workflow}.json"
    if "LOCAL_RANK" in os.environ and overlay.is_file():
        configs.append(overlay)
    files = [str(config) for config in configs]
    refuse_unknown_keys(["bundle_root", *overrides], ConfigParser(ConfigParser.load_config_files(files)), option="--")
    with _quiet(log=not with_log, warnings_too=not with_warnings):
        try:
            running = ConfigWorkflow(
                files if len(files) > 1 else files[0],
                workflow_type=WORKFLOW_TYPES[workflow],
                logging_file=None if with_log else False,
                **{"bundle_root": str(bundle), **overrides},
            )
            running.initialize()
            running.run()
            running.finalize()
        except Exception as error:  # MONAI wraps an error once for every level of the config
            cause = cause_of(error)
            if isinstance(cause, USER_ERRORS):
                raise type(cause)(message_of(cause)) from error
            raise RuntimeError(message_of(cause) or type(cause).__name__) from error
    return running


def parse_overrides(words: Sequence[str], *, remedy: str, hint: str = "") -> dict[str, Any]:
    """Read --KEY VALUE or --KEY=VALUE, with values as MONAI's command line reads them; true, false and null, too.

    Args:
        words: of the command line, after a command's own options.
        remedy: what to give instead of a key of `OWN_KEYS`.
        hint: end of the message on a key or a value that stands alone.

    Raises:
        OverrideError: a key without a value, a value without a key, or a key that is given in another way.

    >>> parse_overrides(["--patch_size", "[512,512]", "--decoder#min_area_px=30", "--device", "cpu"], remedy="")
    {'patch_size': [512, 512], 'decoder#min_area_px': 30, 'device': 'cpu'}
    >>> parse_overrides(["--resume", "false", "--ckpt_path=null"], remedy="")
    {'resume': False, 'ckpt_path': None}
    """
    overrides = {}
    remaining = list(words)
    while remaining:
        key, equals, value = remaining.pop(0).partition("=")
        if not key.startswith("--"):
            raise OverrideError(f"{key}: expected --KEY VALUE, such as --object_diameter_px 30{hint}")
        key = key.removeprefix("--")
        if not equals:
            if not remaining or remaining[0].startswith("--"):
                raise OverrideError(f"--{key}: expected a value after it, such as --{key} True{hint}")
            value = remaining.pop(0)
        if key in OWN_KEYS:
            raise OverrideError(f"--{key}: {remedy}")
        overrides[key] = JSON_WORDS.get(value.lower(), fire.parser.DefaultParseValue(value))
    return overrides


@contextmanager
def _quiet(*, log: bool, warnings_too: bool) -> Iterator[None]:
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
