"""Read MONAI's bundle command line: find the bundle, refuse misspelt overrides."""

from __future__ import annotations

import difflib
import inspect
import re
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import fire.parser
from monai.bundle import ConfigParser
from monai.bundle.scripts import run

from medseg_ext.errors import DataError
from medseg_ext.objects.result_folder import SUMMARY_FILE, ResultFolder


class OverrideError(ValueError):
    """An option of the command line names no key of the config."""


USER_ERRORS = (DataError, OverrideError)  # what people can mend themselves


def find_bundle_root(arguments: Sequence[str] | None = None) -> str:
    """Find the folder of the bundle whose config file the command line names.

    It lets a bundle be run from any working directory, with no `--bundle_root`.

    Args:
        arguments: the words of the command line; by default those of this process, when it runs MONAI's command line.

    Returns:
        The folder that holds `configs/`; `.`, MONAI's own habit, when no config file inside such a folder is named.
    """
    for file in _config_files(_options(_monai_arguments() if arguments is None else arguments)):
        if Path(file).parent.name == "configs":
            return str(Path(file).parents[1])
    return "."


def refuse_unknown_overrides(arguments: Sequence[str] | None = None) -> None:
    """Stop when an option of `python -m monai.bundle run` names no key of its config files.

    MONAI adds an unknown key silently, so that `--max_epoch 5` would train for the default number of epochs.

    Args:
        arguments: the words of the command line; by default those of this process, when it runs MONAI's command line.

    Raises:
        OverrideError: an option that is neither one of MONAI's nor a key of the config; names the nearest one.
    """
    options = _options(_monai_arguments() if arguments is None else arguments)
    own = set(inspect.signature(run).parameters) - {"override"}
    parser = ConfigParser(ConfigParser.load_config_files(_config_files(options)))
    refuse_unknown_keys([option for option in options if option not in own], parser)


def refuse_unknown_keys(keys: Iterable[str], parser: ConfigParser, *, option: str = "--") -> None:
    """Stop when a key is to be overridden that a config does not have.

    Args:
        keys: what is to be overridden, such as `decoder#min_area_px`.
        parser: holds the config.
        option: what stands before a key on the command line.

    Raises:
        OverrideError: one is no key of the config; names the nearest one.
    """
    known = sorted(key for key in parser.get() if not key.startswith("_"))
    for key in keys:
        if key not in parser or key.startswith("_"):
            nearest = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {option}{nearest[0]}?" if nearest else f"the config has: {', '.join(known)}"
            raise OverrideError(f"{option}{key}: no such key in the config; {hint}")


def end_with_the_cause() -> None:
    """Make an uncaught error end in one line with its cause, on MONAI's command line.

    MONAI wraps an error once for every level of the config, so that the last line that a person sees names a config
    item and not what went wrong. An error that this package raised is the cause, also where it was raised from another
    one. `USER_ERRORS` are shown without the traceback; everything else with it.
    """
    if not _monai_arguments():
        return

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        cause = cause_of(error)
        if not isinstance(cause, USER_ERRORS):
            sys.__excepthook__(kind, error, trace)
        print(f"error: {message_of(cause)}", file=sys.stderr)

    sys.excepthook = show


def end_with_failed_images(results: ResultFolder) -> None:
    """End MONAI's command line with the status 1 if images of an inference could not be done, as `medseg segment` does.

    A script then notices. It belongs to the end of a workflow, when all files are written. A workflow that is run from
    Python goes on: what failed is in `summary.csv`, the log, and `ResultFolder.failed`.

    Args:
        results: the folder that took the results.

    Raises:
        SystemExit: on MONAI's command line, with a line that names the first of the images.
    """
    failed = results.failed
    if failed and _monai_arguments():
        (name, reason), count = failed[0], len(failed)
        raise SystemExit(
            f"error: {count} image{'' if count == 1 else 's'} could not be done, the others are; see "
            f"{results.output_dir / SUMMARY_FILE}; the first: {name}: {reason}"
        )


def cause_of(error: BaseException) -> BaseException:
    """Find what an error comes from: the first one that this package raised, else the one at the bottom."""
    while error.__cause__ is not None and not _is_ours(error):
        error = error.__cause__
    return error


def message_of(error: BaseException) -> str:
    """Give an error's message without the traceback that PyTorch writes into it in a data loader's worker."""
    message = str(error)
    if re.match(r"Caught \w+ in DataLoader worker", message):
        return message.rpartition(f"{type(error).__name__}: ")[2].strip()
    return message


def _is_ours(error: BaseException) -> bool:
    """Say whether this package raised an error, and not what it calls."""
    frames = list(traceback.walk_tb(error.__traceback__))
    return bool(frames) and frames[-1][0].f_globals.get("__name__", "").partition(".")[0] == "medseg_ext"


def _monai_arguments() -> list[str]:
    """Give this process's arguments if it runs MONAI's command line, else none."""
    is_monai = Path(sys.argv[0]).parts[-3:-1] == ("monai", "bundle") and sys.argv[1:2] == ["run"]
    return sys.argv[1:] if is_monai else []


def _config_files(options: Mapping[str, str]) -> list[str]:
    files = fire.parser.DefaultParseValue(options.get("config_file", ""))
    return [str(file) for file in ([files] if isinstance(files, str) else files) if file]


def _options(arguments: Sequence[str]) -> dict[str, str]:
    """Read `--key value`, `--key=value` and `-key value` as Fire does, over the defaults of an `--args_file`."""
    options = {}
    for position, word in enumerate(arguments):
        if not word.startswith("-") or not word.lstrip("-")[:1].isalpha():
            continue
        key, equals, value = word.lstrip("-").partition("=")
        if not equals and position + 1 < len(arguments) and not arguments[position + 1].startswith("--"):
            value = arguments[position + 1]
        options[key.replace("-", "_")] = value
    if "args_file" in options:
        defaults = ConfigParser.load_config_files(options["args_file"])
        options = {**{key: str(value) for key, value in defaults.items()}, **options}
    return options
