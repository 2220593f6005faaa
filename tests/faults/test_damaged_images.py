"""A damaged image of any container is read, or refused in a line that names it; quickly, and in little memory."""

import random
import resource
import time
import warnings

import pytest
from mutations import bombs, damaged, image_files

from medseg_ext.errors import DataError
from medseg_ext.images.blocks import open_block_image
from medseg_ext.images.boxes import Box
from medseg_ext.images.formats import read_header
from medseg_ext.images.read import read_rgb

OF_EACH = 12
OF_EACH_LONG = 150
LONGEST_S = 5  # of CPU
MOST_MB = 1500  # more than before
FILES = image_files()


def read(path):
    """Read a file in all ways; returns the reasons of those that refuse it."""
    reasons = []
    for way in (read_header, read_rgb, lambda each: open_block_image(each).read(Box(0, 0, 8, 8))):
        try:
            way(path)
        except DataError as error:
            reasons.append(str(error))
    return reasons


@pytest.mark.parametrize("number", [OF_EACH, pytest.param(OF_EACH_LONG, marks=pytest.mark.faults)])
@pytest.mark.parametrize("name", FILES)
def test_damaged_files_are_read_or_refused_by_name(name, number, tmp_path):
    chance = random.Random(f"{name} {number}")
    path = tmp_path / name
    for kind, content in damaged(FILES[name], chance, number):
        path.write_bytes(content)
        started, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of libraries
            reasons = read(path)
        assert all(str(path) in reason and "\n" not in reason for reason in reasons), (kind, reasons)
        assert time.process_time() - started < LONGEST_S, kind
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_MB * 1024, kind


@pytest.mark.parametrize("name", bombs())
def test_bombs_and_circles_end_at_once(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(bombs()[name])
    started, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    reasons = read(path)
    assert all(str(path) in reason for reason in reasons)
    assert reasons or "rows" in name or "sub" in name
    assert time.process_time() - started < LONGEST_S
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_MB * 1024
