"""What the command lines of all prepare scripts share."""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from medseg_ext.data.errors import DataError


def preparation_parser(description: str, source_help: str, test_help: str) -> argparse.ArgumentParser:
    """Describe the arguments that are the same for all data sets."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("source", type=Path, help=source_help)
    parser.add_argument("target", type=Path, help="data set folder to write; an interrupted run goes on there")
    parser.add_argument("--test", type=Path, metavar="SOURCE", help=test_help)
    parser.add_argument("--groups", type=Path, metavar="CSV", help="columns image_id, group: a group is never split")
    parser.add_argument("--seed", type=int, default=0, help="another number is another split (default: 0)")
    parser.add_argument(
        "--fractions",
        type=float,
        nargs=3,
        default=(0.8, 0.1, 0.1),
        metavar=("TRAINING", "VALIDATION", "TESTING"),
        help="shares that sum to 1 (default: 0.8 0.1 0.1); the official test set, if given, is all of testing",
    )
    parser.add_argument(
        "--splits-from", type=Path, metavar="DATASET_JSON", help="take over the split of another prepared data set"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="number of processes (default: all cores)")
    return parser


def run_preparation(prepare: Callable[..., dict[str, Any]], arguments: argparse.Namespace) -> int:
    """Prepare a data set, then print its table.

    Args:
        prepare: takes the arguments by their names.
        arguments: from a parser made by `preparation_parser`.
    Returns: exit code: 0; 2 with a message on stderr if anything is unusable; 130 if interrupted.
    """
    try:
        dataset = prepare(**vars(arguments))
    except (DataError, OSError, MemoryError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: run the same command again to go on", file=sys.stderr)
        return 130
    print(f"{summary(dataset)}\nwritten to {arguments.target}")
    return 0


def summary(dataset: Mapping[str, Any]) -> str:
    """Lay out the table that a preparation ends with.

    Args:
        dataset: the content of dataset.json.
    """
    lines = [f"{dataset['name']:<12}{'images':>8}{'objects':>10}"]
    counts = dict(dataset["counts"])
    total = {key: sum(count[key] for count in counts.values()) for key in ("images", "objects")}
    for section, count in (counts | {"total": total}).items():
        lines.append(f"{section:<12}{count['images']:>8}{count['objects']:>10}")
    lines.append("skipped:" + ("" if dataset["skipped"] else " nothing"))
    lines += [f"{len(names):>6}  {reason}, e.g. {names[0]}" for reason, names in dataset["skipped"].items()]
    lines.append(f"pixels claimed by more than one {dataset['object']}: {dataset['overlap_px']}")
    if without := dataset["without_group"]:
        lines.append(f"images not in the groups file, each a group by itself: {len(without)}, e.g. {without[0]}")
    return "\n".join(lines)
