"""Keep what a run was made with, so that it can be told and repeated."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

import medseg_ext
from medseg_ext.addresses import PathLike, place, words_without_secrets
from medseg_ext.datasets.data_set_folder import DATASET_FILE, SECTIONS, read_dataset_json
from medseg_ext.errors import DataError
from medseg_ext.files import write_atomically

FORMAT = 1
WORKFLOWS = ("train", "evaluate", "inference")
PACKAGES = {  # by the names under which people know them
    "torch": "torch", "torchvision": "torchvision", "monai": "monai", "ignite": "pytorch-ignite", "numpy": "numpy",
    "scikit-image": "scikit-image", "scipy": "scipy", "transformers": "transformers", "openvino": "openvino",
    "onnxruntime": "onnxruntime",
}  # fmt: skip
PATH_KEYS = ("bundle_root", "ckpt_path", "dataset_dir", "output_dir")  # made absolute: a run may be repeated elsewhere
NAME_OR_PATH_KEYS = ("detectron2_config", "detectron2_weights", "encoder_weights")  # likewise, if there is such a file
FIRST_KEYS = ("ckpt_path", "detectron2_weights", "encoder_weights", "pretrained")  # what a training begins with
BETWEEN_MACHINES = ("instructions", "threads", "gpus", "processes")  # sums are rounded otherwise
HASHED_BYTES = 32 * 2**20  # more than the weights of any bundle here

logger = logging.getLogger(__name__)


def provenance_file(folder: Path, workflow: str) -> Path:
    """Name the file of a workflow's run; a folder may be that of a training and of its evaluation."""
    return folder / f"provenance_{workflow}.json"


class RunsNetwork(Protocol):
    """What runs a network, such as `medseg_ext.inferers.EngineInferer`."""

    @property
    def engine_used(self) -> tuple[str, str]:
        """Which engine does, by the name of its package, and in which precision."""


@dataclass(frozen=True)
class Provenance:
    """What a run is made with.

    Attributes:
        workflow: train, evaluate or inference.
        settings: the value of every key of the config.
        bundle_root: the bundle's folder.
        output_dir: folder of the run's files.
        dataset_dir: the data set folder, or the images.
        ckpt_path: the weights that the run starts with; None has none.
        given: values of those keys, and of parts of the config, that were given for the run; None if nothing tells.
        config_files: those that were named for the run; none are the bundle's own.
        inferer: runs the network, and tells which engine does; None of a training, in which PyTorch does.
    """

    workflow: str
    settings: Mapping[str, Any]
    bundle_root: Any
    output_dir: Any
    dataset_dir: Any
    ckpt_path: Any = None
    given: Mapping[str, Any] | None = None
    config_files: Sequence[str] = ()
    inferer: RunsNetwork | None = None

    def write(
        self,
        *,
        goes_on: bool = False,
        images: Sequence[PathLike] | None = None,
        workers: Mapping[str, Any] | None = None,
        output_dir: Path | str | None = None,
    ) -> None:
        """Write `provenance_<workflow>.json` into the run's folder; of several processes only the first one does.

        Args:
            goes_on: the run goes on with an earlier one, whose record stays, under `earlier`.
            images: those of an inference, instead of `dataset_dir`.
            workers: who does an inference, as `medseg_ext.cluster.ClusterSegmentation` has it; None is this process.
            output_dir: where the files of an inference go, in the end; None is `output_dir`.
        """
        from medseg_ext.processes import is_first_process  # which loads PyTorch

        if not is_first_process():
            return
        file = provenance_file(Path(self.output_dir), self.workflow)
        record = {**self._record(images, output_dir), "workers": workers}
        if goes_on and file.is_file():
            try:
                before = read_provenance(file.parent, self.workflow)
                record["earlier"] = [*before.pop("earlier", []), before]
            except DataError as error:  # no reason not to go on
                logger.warning("%s; it is written anew, without what was before", error)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, (json.dumps(record, indent=4, default=str) + "\n").encode())

    def note_engine(self) -> None:
        """Write into the record which engine ran the network, at the end of a run: another may have stood in."""
        from medseg_ext.processes import is_first_process

        if self.inferer is not None and is_first_process():
            note_engines(Path(self.output_dir), self.workflow, [self.inferer.engine_used])

    def _record(self, images: Sequence[PathLike] | None, output_dir: Path | str | None) -> dict[str, Any]:
        paths = {key: getattr(self, key) for key in PATH_KEYS} | ({"dataset_dir": list(images)} if images else {})
        paths |= {} if output_dir is None else {"output_dir": output_dir}
        paths |= {key: self.settings[key] for key in NAME_OR_PATH_KEYS if _exists(self.settings.get(key))}
        paths = {key: _absolute(path) for key, path in paths.items()}
        bundle = Path(paths["bundle_root"])
        files = self.config_files or [str(bundle / "configs" / f"{self.workflow}.json")]
        weights, data_set = paths["ckpt_path"], None
        if self.workflow != "inference":
            data_set = describe_data_set(Path(paths["dataset_dir"]))
        return {
            "format": FORMAT,
            "workflow": self.workflow,
            "bundle": bundle.name,
            "config_files": [describe_file(Path(_absolute(file))) for file in files],
            "started": datetime.now().astimezone().isoformat(timespec="seconds"),
            "command": words_without_secrets(sys.argv),
            "working_directory": str(Path.cwd()),
            "seed": self.settings.get("seed"),
            "settings": {**self.settings, **{key: path for key, path in paths.items() if key in self.settings}},
            "given": None if self.given is None else {key: paths.get(key, value) for key, value in self.given.items()},
            "data_set": data_set,
            "weights": describe_file(Path(weights)) if weights else None,
            "engines": describe_engines([self.inferer.engine_used] if self.inferer else []),
            "versions": versions(),
            "commit": find_commit(),
            "machine": describe_machine(str(self.settings.get("device", "cpu"))),
        }


def note_engines(folder: Path, workflow: str, used: Iterable[tuple[str, str]]) -> None:
    """Write into the record of a run, if it has one, which engines ran the network; see `RunsNetwork`."""
    file = provenance_file(folder, workflow)
    engines = describe_engines(used)
    if engines and file.is_file():
        record = json.loads(file.read_text(encoding="utf-8"))
        if record.get("engines") != engines:
            write_atomically(file, (json.dumps({**record, "engines": engines}, indent=4) + "\n").encode())


def describe_engines(used: Iterable[tuple[str, str]]) -> list[dict[str, str | None]]:
    """Give `name`, `version` and `precision` of engines, each once; see `RunsNetwork`."""
    of = versions()
    return [{"name": name, "version": of.get(name), "precision": precision} for name, precision in sorted(set(used))]


def read_provenance(folder: Path, workflow: str | None = None) -> dict[str, Any]:
    """Read what a run was made with.

    Args:
        folder: the run's folder.
        workflow: train, evaluate or inference; None where the folder is that of one.

    Raises:
        DataError: the folder does not tell, is that of several runs, or the file is broken.
    """
    files = [provenance_file(folder, name) for name in ([workflow] if workflow else WORKFLOWS)]
    there = [file for file in files if file.is_file()]
    if not there:
        raise DataError(f"{folder} has no {' and no '.join(file.name for file in files)}: give the folder of a run")
    if len(there) > 1:
        names = " or ".join(file.stem.removeprefix("provenance_") for file in there)
        raise DataError(f"{folder} holds several runs: say which by --workflow, {names}")
    try:
        record = json.loads(there[0].read_text(encoding="utf-8"))
        known = record["format"]
        broken = known == FORMAT and _misfit(record)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{there[0]} is broken ({type(error).__name__}: {error}): it tells nothing of the run"
        ) from error
    if known != FORMAT:
        raise DataError(f"{there[0]} has the format {known}, expected {FORMAT}: take the medseg_ext that wrote it")
    if broken:
        raise DataError(f"{there[0]} is broken ({broken}): it tells nothing of the run")
    return record


def repeatable_settings(record: Mapping[str, Any]) -> dict[str, Any]:
    """Give the settings with which a run is repeated in one go.

    They are the last ones of a training that was interrupted, but for the weights that it began with.

    Args:
        record: of `read_provenance`.
    """
    first = [*record.get("earlier", []), record][0]["settings"]
    return record["settings"] | {key: first[key] for key in FIRST_KEYS if key in first}


def changes_since(record: Mapping[str, Any], bundle: Path, device: str) -> list[str]:
    """Say in lines what is another now than when a run was made, and why its results may be others.

    Args:
        record: of `read_provenance`.
        bundle: the bundle's folder now.
        device: where the run is to be repeated.
    """
    lines = []
    first = [*record.get("earlier", []), record][0]
    config = bundle / "configs" / f"{record['workflow']}.json"
    own = next((entry for entry in record["config_files"] if Path(entry["path"]).name == config.name), None)
    named = {
        "data set": record["data_set"],
        "weights": first["weights"],
        "config": own and {**own, "path": str(config)},
    }
    for what, entry in named.items():
        if entry and not describe_file(Path(entry["path"])).items() <= entry.items():
            lines.append(f"{what}: {entry['path']} is {'another' if Path(entry['path']).is_file() else 'gone'}")
    for each in record.get("earlier", []):
        keys = sorted(each["settings"].keys() & record["settings"].keys() - {*FIRST_KEYS, "resume", "overwrite"})
        for key in keys:
            if each["settings"][key] != record["settings"][key]:
                lines.append(f"{key} was {each['settings'][key]} before the run was gone on with")
    if "seed" in record["settings"] and record["seed"] is None:
        lines.append("seed is null, which takes another one every time")
    if record["given"] is None:
        lines.append("it was started in Python, and parts of the config that were changed there are not known")
    here = {**versions(), **describe_machine(device)}
    there = {**record["versions"], **{key: record["machine"].get(key) for key in BETWEEN_MACHINES}}
    lines += [f"{name} is {here.get(name)}, and was {was}" for name, was in there.items() if here.get(name) != was]
    return lines


def describe_file(file: Path) -> dict[str, Any]:
    """Tell a file from others: by its size, and the SHA-256 of its last 32 MB, which are all of most files.

    Of weights the end is the table of checksums of all tensors: larger ones are told apart, too, and in no time.

    Returns:
        `path`; `bytes` and `sha256`, which are None where there is no such file.
    """
    if not file.is_file():
        return {"path": str(file), "bytes": None, "sha256": None}
    with file.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        stream.seek(max(0, size - HASHED_BYTES))
        return {"path": str(file), "bytes": size, "sha256": hashlib.file_digest(stream, "sha256").hexdigest()}


def describe_data_set(folder: Path) -> dict[str, Any]:
    """Tell a data set folder from others, and what it says of itself.

    Returns:
        As `describe_file` of its dataset.json, with `name`, `licence`, `origin`, `images`, the number of each section,
        and their `kinds`; without these where it is no data set folder.
    """
    described = describe_file(folder / DATASET_FILE)
    try:
        dataset = read_dataset_json(folder)
    except DataError:
        return described
    sections = {section: dataset[section] for section in SECTIONS if isinstance(dataset.get(section), list)}
    items = [item for section in sections.values() for item in section if isinstance(item, dict)]
    return {
        **described,
        **{key: dataset.get(key) for key in ("name", "licence", "origin")},
        "images": {section: len(content) for section, content in sections.items()},
        "kinds": sorted({str(item["kind"]) for item in items if "kind" in item}),
    }


def versions() -> dict[str, str | None]:
    """Give the versions of what computes, None where it is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version(), "medseg_ext": medseg_ext.__version__}
    for name, package in PACKAGES.items():
        try:
            found[name] = version(package)
        except PackageNotFoundError:
            found[name] = None
    return found


def find_commit() -> str | None:
    """Give the commit of this package's source, with "-dirty" where files differ from it; None outside a repository."""
    file = Path(medseg_ext.__file__).resolve()
    try:
        _git(file.parent, "ls-files", "--error-unmatch", file.name)  # it may lie in another project's repository
        return _git(file.parent, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*").strip()
    except (OSError, subprocess.SubprocessError):
        return None


def describe_machine(device: str) -> dict[str, Any]:
    """Tell of the machine what the last bits of results depend on.

    Args:
        device: where the network runs; GPUs are not touched for one that runs on the CPU.
    """
    import torch  # which takes a second, and whoever reads a record needs none

    numbers = range(torch.cuda.device_count()) if device.startswith("cuda") else ()
    return {
        "host": platform.node(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(number) for number in numbers],
        "processes": int(os.environ.get("WORLD_SIZE", "1")),  # of torchrun
    }


def _misfit(record: Mapping[str, Any]) -> str | None:
    """Say what is not as it is written; None where all is."""
    kinds: dict[str, Any] = {
        "workflow": str, "bundle": str, "config_files": list, "started": str, "command": list, "settings": dict,
        "given": dict | None, "data_set": dict | None, "weights": dict | None, "versions": dict, "machine": dict,
        "workers": dict | None, "seed": int | None, "working_directory": str,
    }  # fmt: skip
    for key, kind in kinds.items():
        if key not in record or not isinstance(record[key], kind):
            return f"{key} is {record[key]!r}" if key in record else f"it has no {key}"
    if record["workflow"] not in WORKFLOWS:
        return f"workflow is {record['workflow']}"
    for entry in (*record["config_files"], record["data_set"], record["weights"]):
        if entry is not None and not {"path", "bytes", "sha256"} <= entry.keys():
            return f"{entry} is no file with its hash"
    missing = [key for key in ("bundle_root", "dataset_dir", "output_dir") if key not in record["settings"]]
    misfits = [_misfit(earlier) for earlier in record.get("earlier", [])]
    return f"settings has no {', '.join(missing)}" if missing else next(filter(None, misfits), None)


def _git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=2).stdout


def _absolute(path: Any) -> Any:
    if isinstance(path, (list, tuple)):
        return [_absolute(each) for each in path]
    return None if path is None else str(place(path))


def _exists(path: Any) -> bool:
    return isinstance(path, str) and Path(path).exists()
