"""What of the plugin needs no window: the process that segments, and who talks to it."""

import subprocess
import sys
import time

import numpy as np
import pytest

from medseg_ext.errors import DataError
from medseg_ext.napari import client
from medseg_ext.napari.requests import Request
from medseg_ext.objects.segmented_array import SegmentedArray

PIXELS = np.zeros((8, 9), np.uint8)
WITHOUT_PYTORCH = """
import sys
import medseg_ext.datasets.labelled_folder
import medseg_ext.napari.bundles, medseg_ext.napari.client, medseg_ext.napari.planes
assert not {"torch", "monai", "napari"} & sys.modules.keys()
"""


@pytest.fixture
def ask(monkeypatch):
    """Ask a client whose process runs some code; `tiles` takes what it tells on the way."""
    made = client.Client()

    def call(code, *, is_cancelled=lambda: False, tiles=None):
        monkeypatch.setattr(client, "COMMAND", [sys.executable, "-c", code])
        told = [].append if tiles is None else lambda *numbers: tiles.append(numbers)
        return made.segment(PIXELS, name="a", bundle="b", is_cancelled=is_cancelled, when_tile_done=told)

    call.client = made
    yield call
    made.close()


def test_the_windows_process_is_without_pytorch():
    subprocess.run([sys.executable, "-c", WITHOUT_PYTORCH], check=True)


def test_requests_and_results_arrive_as_they_were_sent(tmp_path):
    request = Request("p.npy", "r.npz", 'z "[3]" µ\n', "bundles/a", pixel_size_um=(0.25, 0.5))
    assert request.to_line().count("\n") == 1
    assert Request.from_line(request.to_line()) == request
    table = {"id": np.array([1, 2]), "class": np.array(["a", "b"], object), "ratio": np.array([0.5, np.nan])}
    labels = np.arange(6, dtype=np.int32).reshape(2, 3)
    for nuclei in (None, labels // 2):
        SegmentedArray(labels, nuclei, table, {"scale": np.float32(0.5), "remarks": ""}).save(tmp_path / "r.npz")
        found = SegmentedArray.load(tmp_path / "r.npz")
        np.testing.assert_array_equal(found.objects, labels)
        assert (found.nuclei is None) is (nuclei is None)
        assert found.summary == {"scale": 0.5, "remarks": ""}
        for name, column in table.items():
            np.testing.assert_array_equal(found.table[name], column)


def test_tiles_and_errors_are_handed_on(ask):
    tiles = []
    code = """if True:
        print('{"tiles": [1, 2]}', flush=True)
        input()
        print('{"error": "a: is dark"}', flush=True)
        input()
    """
    with pytest.raises(DataError, match="a: is dark"):
        ask(code, tiles=tiles)
    assert tiles == [(1, 2)]


def test_a_process_that_dies_is_told_in_one_line_and_replaced(ask):
    code = "import sys; input(); print('no memory', file=sys.stderr); sys.exit(3)"
    for _ in range(2):
        with pytest.raises(DataError, match=r"^a: the process that segments ended .*status 3, no memory.*try again$"):
            ask(code)


def test_who_cancels_waits_for_nothing_and_leaves_no_file(ask):
    folders = []

    def is_cancelled():
        folders.append(ask.client._process.folder)
        return True

    started = time.monotonic()
    assert ask("import time; time.sleep(600)", is_cancelled=is_cancelled) is None
    assert time.monotonic() - started < 60
    assert not folders[0].exists()
