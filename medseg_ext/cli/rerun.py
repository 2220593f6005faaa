"""`medseg rerun`: repeat a run by what its folder tells of it."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medseg_ext.addresses import is_address
from medseg_ext.cli.interruption import is_first_process
from medseg_ext.cli.quick_imports import quick_imports
from medseg_ext.cli.segment import workers_for
from medseg_ext.cli.workflow_command import add_trust_option, read_overrides, say_files

# Said by options of this command, or for the first run alone.
NOT_REPEATED = ("bundle_root", "dataset_dir", "output_dir", "overwrite", "resume")
# Files of a bundle that `medseg` takes by itself where they belong.
CONFIGS = {"train.json", "evaluate.json", "inference.json", "multi_gpu_train.json", "multi_gpu_evaluate.json"}


def add_command(commands: Any) -> None:
    """Add it to the subparsers of `medseg`."""
    parser = commands.add_parser(
        "rerun",
        allow_abbrev=False,
        help="repeat a run by what its folder tells of it",
        description="Repeat a training, an evaluation or a segmentation with the settings, the data and the weights "
        "that its folder names (provenance_*.json), and say what is another since. Keys of the config after the "
        "options, such as --device cpu, go before those of the run.",
    )
    parser.usage = "medseg rerun RUN_DIR [--output FOLDER] [--workflow NAME] [--trust] [--KEY VALUE ...]"
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR", help="folder of the run")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="for the files (default: RUN_DIR_rerun)")
    parser.add_argument(
        "--workflow", choices=("train", "evaluate", "inference"), help="which, where the folder holds several runs"
    )
    add_trust_option(parser)
    parser.set_defaults(run=_run, keys=[])


def _run(options: argparse.Namespace) -> int:
    with quick_imports():
        from medseg_ext.bundle.find import find_bundle
        from medseg_ext.runs.provenance import changes_since, provenance_file, read_provenance, repeatable_settings

    record = read_provenance(options.run_dir, options.workflow)
    _refuse_other_configs(record, options.run_dir)
    workflow, settings = record["workflow"], repeatable_settings(record)
    root = Path(settings["bundle_root"])
    bundle = find_bundle(str(root) if root.is_dir() else record["bundle"])
    further = read_overrides(options.keys, bundle, workflow, remedy="it is that of the run, or --output")
    with quick_imports():  # after all that needs no second
        from medseg_ext.bundle.library_log import shorten_log
        from medseg_ext.bundle.segmentation import run_serially, segment
        from medseg_ext.bundle.trust import refuse_unknown_code, refuse_unknown_values
        from medseg_ext.bundle.workflow import run_workflow

    given = record["given"] or {}
    repeated = {key: value for key, value in settings.items() if key not in NOT_REPEATED}
    workers: dict[str, Any] = record["workers"] or {}
    if workers:
        repeated.pop("num_workers")  # which is nothing for them
    if "device" not in given:
        repeated.pop("device", None)  # another machine may have another
    parts = {key: value for key, value in given.items() if key not in settings}
    source = provenance_file(options.run_dir, workflow)
    refuse_unknown_code(bundle)
    refuse_unknown_values(bundle, workflow, {**repeated, **parts}, source)
    data = settings["dataset_dir"]
    images = [data] if isinstance(data, str) else data
    if not options.trust:
        _refuse_other_scheduler(workers, source)
        _refuse_addresses(images, source)
    overrides = {**repeated, **parts, **further}
    output = _output(options, workflow)
    if is_first_process():
        for line in changes_since(record, bundle, str(overrides.get("device", settings.get("device")))):
            print(f"not as it was: {line}", file=sys.stderr)
        print(f"{workflow} with {bundle}, as of {record['started']}, to {output}", file=sys.stderr)
    shorten_log()
    if workflow == "inference":
        carry_out = workers_for(workers.get("workers"), workers.get("scheduler")) or run_serially
        done = segment(images, bundle, output, overrides=overrides, carry_out=carry_out)
        print("\n".join(done.report()))
        return 1 if done.unreadable else 0
    run_workflow(bundle, workflow, {**overrides, "dataset_dir": data, "output_dir": output})
    say_files(
        [("weights", output / "model.pt"), ("report", output / "report.html"), ("metrics", output / "metrics.json")]
    )
    return 0


def _refuse_other_configs(record: Mapping[str, Any], run_dir: Path) -> None:
    """Stop where a run read further config files, of which this command knows nothing.

    Raises: ValueError: names the first one, and the command of the run.
    """
    configs = Path(record["settings"]["bundle_root"]) / "configs"
    for entry in record["config_files"]:
        file = Path(entry["path"])
        if file.parent.resolve() != configs.resolve() or file.name not in CONFIGS:
            raise ValueError(
                f"{run_dir}: the run read {file}, too, which medseg rerun does not: repeat it by its own command, in "
                f"{record['working_directory']}: {shlex.join(record['command'])}"
            )


def _refuse_other_scheduler(workers: Mapping[str, Any], source: Path) -> None:
    """Stop before this process connects to where a file says: a scheduler may have it run code.

    Raises: ValueError: names the address.
    """
    if workers.get("scheduler"):
        raise ValueError(
            f"{source}: the run had the Dask scheduler {workers['scheduler']}, which may have this process run code; "
            "give --trust if it is yours"
        )


def _refuse_addresses(images: Sequence[str], source: Path) -> None:
    """Stop before this process reads, by its own rights, where a file says.

    Raises: ValueError: names the first address.
    """
    if addresses := [image for image in images if is_address(image)]:
        raise ValueError(f"{source}: the run read {addresses[0]}; give --trust if you know that address")


def _output(options: argparse.Namespace, workflow: str) -> Path:
    """Choose the folder of the files.

    Raises: ValueError: it is that of the run, or by default one that holds files; a training sees to that.
    """
    run_dir: Path = options.run_dir
    output: Path = options.output or run_dir.with_name(f"{run_dir.resolve().name}_rerun")
    if output.resolve() == run_dir.resolve():
        raise ValueError(f"--output {output} is the folder of the run, which stays as it is: give another one")
    is_seen_to = options.output or workflow == "train" or not is_first_process()
    if not is_seen_to and output.is_dir() and any(output.iterdir()):
        raise ValueError(f"{output} holds files already: give another folder as --output")
    return output
