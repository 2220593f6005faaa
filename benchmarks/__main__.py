"""Measure the speed of what the package does, each beside another way to do the same, in one run.

    python -m benchmarks [ROW ...]

Writes out/bench/results.json, and prints it as a table. Rows whose peers are not installed are measured without them:
`make bench-peers` installs them.
"""

from __future__ import annotations

import argparse
import dataclasses
import fnmatch
import importlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks import machine, pictures
from benchmarks.contest import FILES, MOST_ROUNDS, OUT, AbsentError, emptied, hold
from benchmarks.report import entry_of, markdown
from benchmarks.rows import Row

SUBJECTS = (
    "segmentation", "detection", "decoding", "results", "scoring", "training", "preparation", "large_images", "start",
)  # fmt: skip
RESULTS = OUT / "results.json"
START_S = 25  # of the processes of a row


def main(words: Sequence[str] | None = None) -> None:
    """Run the rows that are asked for."""
    rows = all_rows()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="rows to measure, such as step_* (default: all)")
    parser.add_argument("--quick", action="store_true", help="do everything once: to see that it works")
    parser.add_argument("--list", action="store_true", help="say which rows there are, and end")
    options = parser.parse_args(words)
    if options.list:
        print("\n".join(f"{row.name:<20}{row.what}" for row in rows))
        return
    if unmatched := [name for name in options.rows if not fnmatch.filter([row.name for row in rows], name)]:
        parser.error(f"no row {', '.join(unmatched)}; there are {', '.join(row.name for row in rows)}")
    wanted = options.rows or ["*"]
    chosen = list(on_devices([row for row in rows if any(fnmatch.fnmatch(row.name, name) for name in wanted)]))
    emptied(FILES)
    pictures.draw_sample()
    RESULTS.unlink(missing_ok=True)
    results: dict[str, Any] = {**machine.description(), "seconds": 0.0, "rows": []}
    begin = time.perf_counter()
    for number, row in enumerate(chosen):
        progress = Progress(f"[{number + 1}/{len(chosen)}] {row.name} on {row.device}", chosen[number:])
        try:
            measured = hold(row, progress.tell, most_rounds=1 if options.quick else MOST_ROUNDS)
        except AbsentError as error:
            progress.end(f"not measured: {error}")
            continue
        results["rows"].append(entry_of(row, measured))
        results["seconds"] = time.perf_counter() - begin
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")  # each time: the rest may be interrupted
        progress.end("done")
    print(markdown(results))
    print(f"\n{RESULTS}")
    if len(results["rows"]) < len(chosen):
        sys.exit(1)


def all_rows() -> list[Row]:
    """Collect the rows of all subjects."""
    return [row for subject in SUBJECTS for row in importlib.import_module(f"benchmarks.{subject}").ROWS]


def on_devices(rows: Sequence[Row]) -> Iterator[Row]:
    """Repeat the rows of networks on a GPU, where there is one."""
    for row in rows:
        yield row
        if row.is_of_networks and machine.has_gpu():
            of_networks = [
                dataclasses.replace(contender, arguments={**contender.arguments, "device": "cuda"})
                for contender in row.contenders
            ]
            yield dataclasses.replace(row, contenders=of_networks, device="cuda")


class Progress:
    """Tell people on stderr how far it is, and how long the rest takes; in one line where that is a terminal."""

    def __init__(self, title: str, rest: Sequence[Row]) -> None:
        self.title = title
        self.rest = rest
        self.begin = time.perf_counter()
        self.is_terminal = sys.stderr.isatty()
        self.anew = "\r\033[K" if self.is_terminal else ""
        self.tell("")

    def tell(self, word: str) -> None:
        """Say what is done now."""
        left_s = sum(row.seconds + START_S for row in self.rest) - (time.perf_counter() - self.begin)
        line = f"{self.title}{word and ': '}{word} (about {max(left_s, 0) / 60:.0f} min left)"
        if self.is_terminal or not word:
            print(f"{self.anew}{line}", end="" if self.is_terminal else "\n", file=sys.stderr, flush=True)

    def end(self, word: str) -> None:
        """Say how the row ended."""
        took_s = time.perf_counter() - self.begin
        print(f"{self.anew}{self.title}: {word} in {took_s:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
