import numpy as np
import pytest
from PIL import Image

from medseg_ext.cli.main import main


@pytest.mark.parametrize(("faulty", "lines"), [(1, 1), (3, 4), (7, 7)])
def test_all_label_maps_that_do_not_fit_are_listed_and_nothing_is_written(tmp_path, capsys, faulty, lines):
    source = tmp_path / "source"
    source.mkdir()
    for number in range(8):
        Image.fromarray(np.full((30, 30), number, np.uint8)).save(source / f"{number}.tif")
        labels = np.zeros((20 if number < faulty else 30, 30), np.uint16)
        labels[2:8, 2:8], labels[12:18, 12:18] = 1, 2
        Image.fromarray(labels).save(source / f"{number}_mask.tif")
    assert main(["prepare", str(source), str(tmp_path / "target"), "--workers", "1"]) == 2
    told = capsys.readouterr().err.partition("error: ")[2].splitlines()
    assert len(told) == lines
    assert sum("_mask.tif is a mask of 20 x 30 px" in line for line in told) == min(faulty, 5)
    assert (told[-1] == "  and 2 more") is (faulty == 7)
    assert not (tmp_path / "target").exists()
