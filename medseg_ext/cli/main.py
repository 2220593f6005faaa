"""The command `medseg`."""

# Only what is loaded in no time: what a command needs is imported when it runs, and Ctrl-C may come meanwhile.
from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from medseg_ext.cli.interruption import Interruption

if TYPE_CHECKING:
    import argparse

# In the order of `medseg --help`: each is a module of this room.
COMMANDS = (
    "segment", "bundles", "prepare", "check", "train", "evaluate", "rerun", "compare", "ship", "card", "export",
    "verify", "inspect", "pack", "sample", "demo", "render",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status.

    A module of a command imports what it needs when it runs, so that help and mistakes cost no second.
    """
    interruption = Interruption(ends_process=arguments is None)
    return interruption.guard(partial(_run, arguments, interruption))


def _run(arguments: Sequence[str] | None, interruption: Interruption) -> int:
    import io

    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files may hold bytes that are no text
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        parser = build_parser()
        words = sys.argv[1:] if arguments is None else arguments
        _refuse_unknown_command(parser, words)
        options, further = parser.parse_known_args(arguments)
        if further and not hasattr(options, "keys"):
            parser.error(_unknown(further, options.own_options()))
        options.keys = further
        interruption.advice = partial(getattr(options, "advice", _same_again), options, words)
        if getattr(options, "trust", False):
            from medseg_ext.bundle.trust import trusting

            with trusting():
                return options.run(options)
        return options.run(options)
    except (OSError, RuntimeError, ValueError, MemoryError) as error:
        from medseg_ext.errors import one_line

        if isinstance(error, BrokenPipeError) and _nobody_reads_on():
            return 141  # as shells say it
        print(f"error: {one_line(error, interruption.advice)}", file=sys.stderr)
        return 2


CITATION = """\
To cite it: The medseg_ext maintainers. medseg_ext: MONAI bundles for cell and nucleus segmentation, version {version}.
Cite the data set and the network of the bundle, too: "References" in its docs/README.md; and MONAI:
Cardoso et al. 2022, doi:10.48550/arXiv.2211.02701."""


def _same_again(_: argparse.Namespace, words: Sequence[str]) -> str:
    """Advise to run the command again: what it had not ended leaves nothing half-written."""
    import shlex

    return f"; to begin anew: {shlex.join(['medseg', *words])}"


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of all commands; what it reads has a command's function as `run`."""
    import argparse
    from importlib import import_module

    class _Version(argparse.Action):
        def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
            from medseg_ext import __version__

            parser.exit(message=f"medseg {__version__}\n{CITATION.format(version=__version__)}\n")

    parser = argparse.ArgumentParser(
        prog="medseg",
        description="Find cells and nuclei in microscopy images; train, compare and deploy what finds them.",
        epilog="medseg COMMAND --help tells more.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version, and how to cite")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name in COMMANDS:
        import_module(f"medseg_ext.cli.{name}").add_command(commands)
    for command in commands.choices.values():
        command.set_defaults(own_options=partial(_options_of, command))
    return parser


def _options_of(command: argparse.ArgumentParser) -> list[str]:
    """List the options of a command, by its help."""
    import re

    return sorted(set(re.findall(r"(?<!\w)--[a-z][\w-]*", command.format_help())))


def _unknown(words: Sequence[str], known: Sequence[str]) -> str:
    """Say which words a command does not know, and which option may be meant."""
    import difflib

    for word in words:
        name = word.partition("=")[0]
        if name.startswith("--") and (nearest := difflib.get_close_matches(name, known, n=1)):
            return f"{name}: no such option; did you mean {nearest[0]}?"
    return f"unrecognized arguments: {' '.join(words)}; a path that begins with - is written ./-"


def _refuse_unknown_command(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """End with the command that may be meant, where the first word is like one; argparse lists them all else."""
    import difflib

    word = words[0] if words else ""
    if word not in COMMANDS and (nearest := difflib.get_close_matches(word, COMMANDS, n=1)):
        parser.error(f"there is no command {word!r}; did you mean {nearest[0]}?")


def _nobody_reads_on() -> bool:
    """Say whether what read this command's output has gone, such as `| head`; then nothing is written to it again."""
    import os
    import select

    if not hasattr(select, "poll"):
        return False
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)  # errors are told, whatever is asked for
    has_gone = any(event & select.POLLERR for _, event in poll.poll(0))
    if has_gone:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return has_gone
