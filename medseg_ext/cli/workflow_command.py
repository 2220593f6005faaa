"""What the commands that run a workflow of a bundle share."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medseg_ext.cli.interruption import is_first_process
from medseg_ext.cli.quick_imports import quick_imports

if TYPE_CHECKING:
    from monai.bundle import ConfigWorkflow

    from medseg_ext.bundle.fine_tuning import Plan

SHOWN = "dsb2018_unet"  # whose keys are shown where no bundle is named
WIDTH, INDENT = 100, 26
LIKE_BUNDLE = 0.75  # of 1, for a misspelt --bundle


def add_workflow_command(commands: Any, name: str, workflow: str, usage: str, **texts: str) -> argparse.ArgumentParser:
    """Add a command that takes, after its own options, the keys of a bundle's config.

    Args:
        commands: the subparsers of `medseg`.
        name: the command.
        workflow: name of the config file, such as "train".
        usage: of the command's own options.
        **texts: `help` and others of `argparse`.
    """
    parser = commands.add_parser(name, allow_abbrev=False, add_help=False, **texts)
    parser.usage = f"medseg {name} {usage} [--KEY VALUE ...]"
    parser.add_argument("-h", "--help", action=_HelpWithKeys, workflow=workflow, nargs=0, help="show this and the keys")
    parser.add_argument("--bundle", metavar="NAME", help="a bundle's name, such as dsb2018_unet, or its folder; needed")
    add_trust_option(parser)
    parser.set_defaults(keys=[])
    return parser


def add_trust_option(parser: argparse.ArgumentParser) -> None:
    """Add the option of a command that runs bundles, which may come from anywhere."""
    parser.add_argument(
        "--trust", action="store_true", help="run any code that the bundle names (medseg inspect lists it)"
    )


def add_data_options(parser: argparse.ArgumentParser, *, output_help: str) -> None:
    """Add the options of a command that works on a data set folder."""
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="data set folder (medseg prepare)")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help=output_help)


class _HelpWithKeys(argparse.Action):
    """Print the help, and what the keys of the config mean."""

    def __init__(self, *, workflow: str, **options: Any) -> None:
        super().__init__(**{**options, "default": argparse.SUPPRESS})
        self.workflow = workflow

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        print(parser.format_help())
        print("\n".join(_keys_text(getattr(namespace, "bundle", None), self.workflow)))
        parser.exit()


def _keys_text(bundle: str | None, workflow: str) -> list[str]:
    from medseg_ext.bundle.find import find_bundle
    from medseg_ext.bundle.keys import OWN_KEYS, read_keys
    from medseg_ext.errors import DataError

    try:
        folder = find_bundle(bundle or SHOWN)
    except DataError as error:
        return [f"keys: {error}"]
    config = folder / "configs" / f"{workflow}.json"
    lines = [
        f"keys, given as --KEY VALUE after the options; the defaults are those of {folder.name}"
        + ("" if bundle else " (--bundle NAME --help shows those of another)")
        + ":"
    ]
    for key in read_keys(config):
        if key.name in OWN_KEYS:
            continue
        default = f"; default {key.default}" if key.default else ""
        text = f"{key.description} ({key.type}{default})"
        lines += textwrap.wrap(
            text,
            WIDTH,
            initial_indent=f"  --{key.name} ".ljust(INDENT),
            subsequent_indent=" " * INDENT,
            break_on_hyphens=False,
        )
    lines.append("A value inside a part of the config is reached by #, such as --decoder#min_area_px 30.")
    return lines


def read_overrides(
    words: Sequence[str], bundle: Path, workflow: str, *, options: Sequence[str] = (), **texts: str
) -> dict[str, Any]:
    """Read the keys that follow a command's options, by the bundle's config; loads no framework.

    Args:
        words: of the command line.
        bundle: the bundle's folder.
        workflow: name of the config file, such as "train".
        options: those of the command itself, which may be meant by a misspelt key.
        **texts: `remedy` and `hint` of `parse_overrides`.

    Raises:
        OverrideError: the config has no such key, or it does not take its value.
    """
    from medseg_ext.bundle.keys import DESCRIPTIONS, read_config
    from medseg_ext.bundle.overrides import parse_overrides, refuse_misfits

    config = read_config(bundle / "configs" / f"{workflow}.json")
    overrides = parse_overrides(words, config.get(DESCRIPTIONS, {}), **texts)
    refuse_misfits(overrides, config, options=options)
    return overrides


def plain_settings(bundle: Path, workflow: str, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Give the values of a config's keys, with those that are given, but for what is computed when the bundle runs."""
    from medseg_ext.bundle.keys import read_defaults
    from medseg_ext.bundle.overrides import is_computed

    defaults = read_defaults(bundle / "configs" / f"{workflow}.json")
    return {key: value for key, value in defaults.items() if not is_computed(value)} | dict(overrides)


def find_named_bundle(options: argparse.Namespace) -> Path:
    """Find the bundle that `--bundle` names.

    Raises: DataError: none does, or there is no such bundle; `--bundle` may be misspelt.
    """
    import difflib

    from medseg_ext.bundle.find import find_bundle
    from medseg_ext.errors import DataError

    if options.bundle is None:
        for word in (word.partition("=")[0] for word in options.keys if word.startswith("--")):
            if difflib.get_close_matches(word, ["--bundle"], cutoff=LIKE_BUNDLE):
                raise DataError(f"{word}: no such option; did you mean --bundle?")
    return find_bundle(options.bundle)


def run_command(
    options: argparse.Namespace,
    workflow: str,
    *,
    data: Path,
    output: Path,
    sections: Sequence[str],
    complete: Callable[[Path, Mapping[str, Any]], Plan],
) -> ConfigWorkflow:
    """Run a bundle's workflow on a data set folder, with the log in the terminal.

    Args:
        options: of the command line.
        workflow: name of the config file, such as "train".
        data: the data set folder.
        output: folder of the run's files.
        sections: of the data set that it takes, or names of keys that name one.
        complete: plans, for the bundle and the keys that are given, what is not given; and refuses what it sees then.

    Returns:
        The workflow, done.
    """
    from medseg_ext.datasets.data_set_folder import read_section

    bundle = find_named_bundle(options)
    remedy = "give --data, --bundle and --output instead"
    overrides = read_overrides(options.keys, bundle, workflow, options=options.own_options(), remedy=remedy)
    settings = plain_settings(bundle, workflow, overrides)
    for section in sections:
        read_section(data, settings.get(section, section))
    plan = complete(bundle, overrides)
    with quick_imports():  # after all that needs no second
        from medseg_ext.bundle.library_log import shorten_log
        from medseg_ext.bundle.workflow import run_workflow

    shorten_log(verbose=getattr(options, "verbose", False))
    if is_first_process():
        print("\n".join([f"{workflow} with {bundle}", *plan.lines]), file=sys.stderr)
    return run_workflow(bundle, workflow, {**plan.settings, **overrides, "dataset_dir": data, "output_dir": output})


def say_files(rows: Sequence[tuple[str, Path]]) -> None:
    """Print where files are, those that exist."""
    for what, path in rows:
        if path.exists() and is_first_process():
            print(f"{what:<9}{path}")
