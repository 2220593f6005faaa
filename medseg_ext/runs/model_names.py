"""Name the models of evaluations, one name for the same weights, and another one for others."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path

from medseg_ext.errors import DataError
from medseg_ext.runs.provenance import provenance_file, read_provenance
from medseg_ext.runs.run_folder import EvaluatedRun

logger = logging.getLogger(__name__)


def name_models(runs: Sequence[EvaluatedRun]) -> list[str]:
    """Name each run by its model, and models that are called alike by a folder of theirs, too.

    Runs of the same weights on different data sets have one name, whatever their order. Weights are the same by their
    hash in `provenance_evaluate.json`; where a run has none, by the file that they came from, if no two runs took
    different ones from it. Runs of the same weights on one data set have a name each, as do those of which nothing
    tells their weights.

    Args:
        runs: evaluations, on any data sets.

    Raises:
        DataError: a model's own name is what another one would be called.
    """
    rows = _rows(runs)
    models = [runs[row[0]].model or runs[row[0]].folder.resolve().name for row in rows]
    names = [""] * len(runs)
    taken = set()
    for row, model in zip(rows, models, strict=True):
        others = [each for each, name in zip(rows, models, strict=True) if name == model and each != row]
        name = model
        if others:
            rivals = [runs[position].folder.resolve() for other in others for position in other]
            name = f"{model} ({_shortest_end(runs[row[0]].folder.resolve(), rivals)})"
        if name in taken:
            raise DataError(f"two models would be called {name}: name each run with --names")
        taken.add(name)
        for position in row:
            names[position] = name
    return names


def _rows(runs: Sequence[EvaluatedRun]) -> list[list[int]]:
    """Give the positions of the runs that share a name, in order of their first one."""
    by_weights: dict[Hashable, list[int]] = {}
    for position, weights in enumerate(_weights(runs)):
        by_weights.setdefault(weights, []).append(position)
    rows = []
    for positions in by_weights.values():
        is_once = len({runs[position].data_set for position in positions}) == len(positions)
        rows += [positions] if is_once else [[position] for position in positions]
    return sorted(rows)


def _weights(runs: Sequence[EvaluatedRun]) -> list[Hashable]:
    """Tell weights apart: two runs have the same ones if what is given here is equal."""
    hashes, files = [_hash(run) for run in runs], [_file(run) for run in runs]
    weights: list[Hashable] = []
    for position, (own_hash, file) in enumerate(zip(hashes, files, strict=True)):
        known = {each for each, other in zip(hashes, files, strict=True) if each is not None and other == file}
        if own_hash is not None:
            weights.append(own_hash)
        elif file is None or len(known) > 1:
            weights.append(position)
        else:
            weights.append(known.pop() if known else file)
    return weights


def _hash(run: EvaluatedRun) -> tuple[int, str] | None:
    """Read size and hash of the weights; None where the evaluation kept no such record."""
    if not provenance_file(run.folder, "evaluate").is_file():
        return None
    try:
        record = read_provenance(run.folder, "evaluate")["weights"]
    except DataError as error:  # no reason to lose a comparison
        logger.warning("%s", error)
        return None
    return (record["bytes"], record["sha256"]) if record and record["sha256"] else None


def _file(run: EvaluatedRun) -> tuple[str, ...] | None:
    """Say by model, classes and path where the weights came from; None where the evaluation does not tell."""
    checkpoint = run.facts.get("checkpoint")
    if checkpoint in (None, "", "None"):
        return None
    return run.model, *run.class_names, str(Path(str(checkpoint)).absolute())


def _shortest_end(folder: Path, others: Iterable[Path]) -> str:
    """Give the fewest last parts of a path that no other one ends in.

    >>> _shortest_end(Path("/runs/a/evaluation"), [Path("/runs/b/evaluation")])
    'a/evaluation'
    """
    parts_of_others = [other.parts for other in others]
    for length in range(1, len(folder.parts)):
        end = folder.parts[-length:]
        if all(parts[-length:] != end for parts in parts_of_others):
            return "/".join(end)
    return str(folder)
