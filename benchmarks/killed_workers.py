"""Segment many small images on workers that are killed, and compare every file with those of a serial run.

    python benchmarks/killed_workers.py data/dsb2018/images out/killed --images 3000 --workers 4 --kills 5
    python benchmarks/killed_workers.py data/dsb2018/images out/killed --images 3000 --workers 2 --kill-all

The first kills one worker after another, at random moments; the second kills the process that has started them, looks
whether they end, too, and goes on with --resume. Images are cut at random places, with a seed. What follows -- goes to
both runs, such as -- --object_diameter_px 20.
"""

import argparse
import filecmp
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from medseg_ext.images.result_names import DONE_FILE
from medseg_ext.runs.provenance import provenance_file

SIDE = 96
PATIENCE_S = 20  # for workers to end after the process that has started them


def main() -> int:
    """Run, kill and compare; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder of images to cut from")
    parser.add_argument("out", type=Path, help="folder to write to")
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--kill-all", action="store_true")
    parser.add_argument("--bundle", default="dsb2018_unet")
    parser.add_argument("--seed", type=int, default=0)
    words = sys.argv[1:]
    end = words.index("--") if "--" in words else len(words)
    options = parser.parse_args(words[:end])
    chance = random.Random(options.seed)  # nosec B311 # nothing is secret
    cut_images(options.source, options.out / "images", options.images, chance)
    command = [sys.executable, "-m", "medseg_ext.cli", "segment", str(options.out / "images"), "--bundle"]
    command += [options.bundle, *words[end + 1 :]]
    if not (options.out / "serial" / "summary.csv").is_file():
        run([*command, "--output", str(options.out / "serial")])
    several = [*command, "--output", str(options.out / "several"), "--workers", str(options.workers)]
    shutil.rmtree(options.out / "several", ignore_errors=True)  # of an earlier call
    moments = sorted(chance.sample(range(options.images // 20, options.images * 9 // 10), options.kills))
    started = time.monotonic()
    process = subprocess.Popen(several)
    if options.kill_all:
        kill_all(process, options.out / "several", options.images // 2)
        several.append("--resume")
        run(several)
    else:
        kill_workers(process, options.out / "several", moments, chance)
        if process.wait():
            raise SystemExit(f"the run ended with status {process.returncode}")
    print(f"{time.monotonic() - started:.0f} s")
    return compare(options.out / "serial", options.out / "several", options.images)


def cut_images(source: Path, target: Path, number: int, chance: random.Random) -> None:
    """Cut images of 96 x 96 at random places."""
    if target.is_dir():
        return  # an earlier call's, which the serial run is of
    target.mkdir(parents=True)
    files = sorted(source.glob("*.png"))
    for index in range(number):
        with Image.open(chance.choice(files)) as image:
            left, top = (chance.randrange(max(1, side - SIDE)) for side in image.size)
            image.convert("RGB").crop((left, top, left + SIDE, top + SIDE)).save(target / f"{index:05}.png")


def run(command: list[str]) -> None:
    """Run a command, and tell the time that it took."""
    started, before = time.monotonic(), cpu_seconds()
    subprocess.run(command, check=True)
    print(f"{time.monotonic() - started:.0f} s, {cpu_seconds() - before:.0f} s of CPU", flush=True)


def cpu_seconds() -> float:
    """Sum the CPU time of ended children."""
    times = psutil.Process().cpu_times()
    return times.children_user + times.children_system


def kill_workers(process: subprocess.Popen, folder: Path, moments: list[int], chance: random.Random) -> None:
    """Kill a worker each time that so many images are done."""
    for moment in moments:
        if not wait_for(process, folder, moment):
            return
        victim = chance.choice(workers_of(process))
        victim.kill()
        print(f"killed worker {victim.pid} when {done(folder)} images were done", flush=True)


def kill_all(process: subprocess.Popen, folder: Path, moment: int) -> None:
    """Kill the process that has started the workers when so many images are done, and wait for these to end."""
    if not wait_for(process, folder, moment):
        return
    workers = workers_of(process)
    process.kill()
    print(f"killed the scheduler's process when {done(folder)} images were done", flush=True)
    started = time.monotonic()
    _, left = psutil.wait_procs(workers, timeout=PATIENCE_S)
    if left:
        raise SystemExit(f"{len(left)} of {len(workers)} workers are left after {PATIENCE_S} s")
    print(f"its {len(workers)} workers ended within {time.monotonic() - started:.1f} s", flush=True)


def wait_for(process: subprocess.Popen, folder: Path, number: int) -> bool:
    """Wait until so many images are done; False where the run ends before."""
    while done(folder) < number:
        if process.poll() is not None:
            print("the run ended before")
            return False
        time.sleep(0.05)
    return True


def done(folder: Path) -> int:
    """Count the images that are done."""
    file = folder / DONE_FILE
    return file.read_bytes().count(b"\n") - 1 if file.is_file() else 0


def workers_of(process: subprocess.Popen) -> list[psutil.Process]:
    """Find the worker processes of a run."""
    workers = []
    for child in psutil.Process(process.pid).children():
        with suppress(psutil.NoSuchProcess):  # it has just been killed
            if "spawn_main" in " ".join(child.cmdline()):
                workers.append(child)
    return workers


def compare(serial: Path, several: Path, number: int) -> int:
    """Tell whether all files are the same, but for hidden ones; returns the exit status."""
    ours, theirs = (sorted(visible(folder)) for folder in (serial, several))
    rows = (several / "summary.csv").read_text().splitlines()[1:]
    differing = filecmp.cmpfiles(serial, several, ours, shallow=False)[1:]
    hidden = sorted(path.name for path in several.iterdir() if path.name.startswith(".") and path.name != DONE_FILE)
    print(f"{len(rows)} rows of {len(set(rows))} images; {len(ours)} files, {len(theirs)} of workers")
    print(f"different: {differing[0]}, missing: {differing[1]}, left over: {hidden}")
    broken = [name for name in ours if name.endswith(".png") and not is_whole(several / name)]
    print(f"images that cannot be read: {broken}")
    alike = ours == theirs and not any(differing) and len(set(rows)) == len(rows) == number
    return 0 if alike and not broken and not hidden else 1


def visible(folder: Path) -> Iterator[str]:
    """Name the files of a folder that are not hidden, but for the record of the run, which tells how it was made."""
    record = provenance_file(folder, "inference").name
    return (path.name for path in folder.iterdir() if not path.name.startswith(".") and path.name != record)


def is_whole(path: Path) -> bool:
    """Say whether an image can be read."""
    with Image.open(path) as image:
        return np.asarray(image).size > 0


if __name__ == "__main__":
    sys.exit(main())
