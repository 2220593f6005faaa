import numpy as np
import pytest
from run_length_codes import encode_run_length

from medseg_ext.datasets.run_length import decode_run_length


def test_code_runs_down_the_columns_from_pixel_1():
    """Worked by hand: 3 rows x 4 columns; pixels 1-3 are the first column, 5 and 6 the lower two of the second."""
    mask = decode_run_length("1 1 5 3", height=3, width=4)
    assert mask.astype(int).tolist() == [[1, 0, 1, 0], [0, 1, 0, 0], [0, 1, 0, 0]]
    assert encode_run_length(mask) == "1 1 5 3"


def test_kaggles_example_is_read_as_kaggle_explains_it():
    """Source: the competition's evaluation page: '1 3 10 5' implies pixels 1, 2, 3, 10, 11, 12, 13, 14."""
    mask = decode_run_length("1 3 10 5", height=5, width=4)
    assert (np.flatnonzero(mask.ravel(order="F")) + 1).tolist() == [1, 2, 3, 10, 11, 12, 13, 14]


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (7, 3), (16, 16)])
@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
def test_decoding_undoes_encoding(shape, density):
    mask = np.random.default_rng(0).random(shape) < density
    assert np.array_equal(decode_run_length(encode_run_length(mask), height=shape[0], width=shape[1]), mask)


@pytest.mark.parametrize("code", ["1", "a 2", "0 3", "1 0", "-1 2", "1.5 2", "11 3", "13 1"])
def test_codes_that_are_none_or_leave_the_image_are_refused(code):
    with pytest.raises(ValueError, match="run"):
        decode_run_length(code, height=3, width=4)
