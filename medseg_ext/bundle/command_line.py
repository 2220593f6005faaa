"""Refuse misspelt overrides on MONAI's bundle command line."""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Sequence

import fire.parser
from monai.bundle import ConfigParser
from monai.bundle.scripts import run


def refuse_unknown_overrides(arguments: Sequence[str] | None = None) -> None:
    """Stop when an option of `python -m monai.bundle run` names no key of its config files.

    MONAI adds an unknown key silently, so that `--max_epoch 5` would train for the default number of epochs.

    Args:
        arguments: the words of the command line; by default those of this process, when it runs MONAI's command line.

    Raises:
        ValueError: an option that is neither one of MONAI's nor a key of the config; names the nearest one.
    """
    if arguments is None:
        if "monai" not in sys.argv[0].replace("\\", "/").split("/"):
            return
        arguments = sys.argv[1:]
    given = dict(_options(arguments))
    own = set(inspect.signature(run).parameters) - {"override"}
    parser = ConfigParser(ConfigParser.load_config_files(fire.parser.DefaultParseValue(given.get("config_file", ""))))
    if given.get("args_file"):
        defaults = ConfigParser.load_config_files(given["args_file"])
        if "config_file" in defaults and "config_file" not in given:
            parser = ConfigParser(ConfigParser.load_config_files(defaults["config_file"]))
        given = {**dict.fromkeys(defaults, ""), **given}
    known = sorted(key for key in parser.get() if not key.startswith("_"))
    for option in given:
        if option in own or option in parser:
            continue
        nearest = difflib.get_close_matches(option, known, n=1)
        hint = f"did you mean --{nearest[0]}?" if nearest else f"the config has: {', '.join(known)}"
        raise ValueError(f"--{option}: no such key in the config; {hint}")


def _options(arguments: Sequence[str]) -> list[tuple[str, str]]:
    """Split `--key value`, `--key=value` and `-key value` as Fire does; words that are no option are passed over."""
    options = []
    for position, word in enumerate(arguments):
        if not word.startswith("-") or not word.lstrip("-")[:1].isalpha():
            continue
        key, equals, value = word.lstrip("-").partition("=")
        if not equals and position + 1 < len(arguments) and not arguments[position + 1].startswith("--"):
            value = arguments[position + 1]
        options.append((key.replace("-", "_"), value))
    return options
