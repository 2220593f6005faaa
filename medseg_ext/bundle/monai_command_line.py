"""Read MONAI's bundle command line, as Fire does and as it was typed."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from monai.bundle import ConfigParser
from monai.bundle.scripts import run

from medseg_ext.bundle.causes import cause_of, message_of, people_can_mend
from medseg_ext.bundle.keys import DESCRIPTIONS
from medseg_ext.bundle.library_log import shorten_log
from medseg_ext.bundle.overrides import is_text, refuse_misfits
from medseg_ext.bundle.values import OverrideError, is_cut, literal, shown
from medseg_ext.images.result_names import SUMMARY_FILE
from medseg_ext.objects.result_folder import ResultFolder

COMMANDS = ("run", "run_workflow")
OWN_OPTIONS = set(inspect.signature(run).parameters) - {"override"}  # of MONAI's, which are no keys of a config


class Option(NamedTuple):
    """What the command line says of a key.

    Attributes:
        word: what was typed; None of a key that stands alone, and of one in an `--args_file`.
        value: as Fire reads it, but that nothing is cut off, or as it stands in the file.
    """

    word: str | None
    value: Any


def find_bundle_root(arguments: Sequence[str] | None = None) -> str:
    """Find the folder of the bundle whose config file the command line names.

    It lets a bundle be run from any working directory, with no `--bundle_root`.

    Args:
        arguments: the words of the command line; by default those of this process, when it runs MONAI's command line.

    Returns:
        The folder that holds `configs/`; `.`, MONAI's own habit, when no config file inside such a folder is named.
    """
    for file in config_files(arguments):
        if Path(file).parent.name == "configs":
            return str(Path(file).parents[1])
    return "."


def config_files(arguments: Sequence[str] | None = None) -> list[str]:
    """List the config files that MONAI's command line names, the later over the earlier; none if it is not running.

    Args:
        arguments: the words of the command line; by default those of this process, when it runs MONAI's command line.
    """
    options = read_options(arguments)
    files = options["config_file"].value if "config_file" in options else []
    return [str(file) for file in ([files] if isinstance(files, str) else files) if file]


def read_options(arguments: Sequence[str] | None = None) -> dict[str, Option]:
    """Read the options of `python -m monai.bundle run`, over those of an `--args_file`.

    They are `--key value`, `--key=value`, `-key value`, and `--key` or `--nokey` alone, as Fire has it; of a lone `-`
    or `--` on, the words are no options.

    Args:
        arguments: the words of the command line; by default those of this process, when it runs MONAI's command line.
    """
    words = _monai_arguments() if arguments is None else list(arguments)
    for end in ("--", "-"):
        words = words[: words.index(end)] if end in words else words
    options: dict[str, Option] = {}
    while words:
        word = words.pop(0)
        if not _is_flag(word):
            continue
        key, equals, value = word.lstrip("-").partition("=")
        key = key.replace("-", "_")
        if equals or (words and not _is_flag(words[0])):
            value = value if equals else words.pop(0)
            options[key] = Option(value, literal(value))
        elif key.startswith("no") and key not in OWN_OPTIONS:
            options[key.removeprefix("no")] = Option(None, False)
        else:
            options[key] = Option(None, True)
    if "args_file" in options:
        defaults = ConfigParser.load_config_files(options["args_file"].value)
        options = {**{key: Option(None, value) for key, value in defaults.items()}, **options}
    return options


def refuse_unknown_overrides(arguments: Sequence[str] | None = None) -> None:
    """Stop when an option of `python -m monai.bundle run` names no key of its config files, or would arrive changed.

    MONAI adds an unknown key silently, so that `--max_epoch 5` would train for the default number of epochs. Of a word
    with a `#` Fire drops the end, or MONAI's parser makes `::` of it; what is typed for a key that the config describes
    is handed on nevertheless (`medseg_ext.bundle.settle`), and nothing else.

    Args:
        arguments: the words of the command line; by default those of this process, when it runs MONAI's command line.

    Raises:
        OverrideError: an option that is neither one of MONAI's nor a key of the config; names the nearest one. Or one
            whose value would be changed, or is text where the config has a number, or true or false.
    """
    options = read_options(arguments)
    config = ConfigParser.load_config_files(config_files(arguments))
    overrides = {key: option.value for key, option in options.items() if key not in OWN_OPTIONS}
    refuse_misfits(overrides, config)
    for key, (word, value) in options.items():
        if word is None or key in config.get(DESCRIPTIONS, {}):
            continue
        if is_cut(word):
            raise OverrideError(
                f"--{key} {shown(word)}: the shell's quotes do not keep Fire from cutting it at the #; "
                "write ./ before a path, and other text in two kinds of quotes"
            )
        if key not in OWN_OPTIONS and "#" in word and is_text(value):
            raise OverrideError(
                f"--{key} {shown(word)}: MONAI's parser makes :: of #; medseg train, evaluate and segment do not"
            )


def end_with_the_cause() -> None:
    """Make an uncaught error end in one line with its cause, on MONAI's command line.

    MONAI wraps an error once for every level of the config, so that the last line that a person sees names a config
    item and not what went wrong. An error that this package raised is the cause, also where it was raised from another
    one. What people can mend is shown without the traceback, and not logged before; everything else with it.
    """
    if not _monai_arguments():
        return
    shorten_log()

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        cause = cause_of(error)
        if not people_can_mend(cause):
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


def _is_flag(word: str) -> bool:
    """Say whether Fire takes a word for a key."""
    return word.startswith("--") or re.match("-[a-zA-Z]", word) is not None


def _monai_arguments() -> list[str]:
    """Give this process's arguments if it runs MONAI's command line, else none."""
    is_monai = Path(sys.argv[0]).parts[-3:-1] == ("monai", "bundle") and sys.argv[1:2] and sys.argv[1] in COMMANDS
    return sys.argv[1:] if is_monai else []
