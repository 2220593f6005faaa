import csv
import io

import pytest

from medseg_ext.tables import read_csv_rows, to_csv

TEXTS = [
    "=1+1.png", "+a", "-a", "@SUM(A1)",
    "\t=1", "\r=1", "\n=1", "=HYPERLINK(\"http://x\",\"a\")", "\uff1d1+1", "'=1", "''=1",
    "'", "''", "'a", "a", "", "a=b", " =1", "-1", "+5", "-1.5e3", "-1+1", "a,b\"c\nd", "é",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_a_text_is_no_formula_and_comes_back_as_it_was(text, tmp_path):
    content = to_csv(["image", text or "x", "value"], [{"image": text, "value": -3}, {"image": text, "value": -0.5}])
    raw = list(csv.reader(io.StringIO(content.decode(), newline="")))
    for row in raw[1:]:
        is_number = text in ("-1", "+5", "-1.5e3")
        assert is_number or not row[0].startswith(("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d"))
        assert float(row[2]) < 0  # a number stays one
    (tmp_path / "table.csv").write_bytes(content)
    rows = list(read_csv_rows(tmp_path / "table.csv"))
    assert [row["image"] for row in rows] == [text, text]
    assert list(rows[0]) == ["image", text or "x", "value"]


def test_floats_have_as_many_decimals_as_wanted():
    assert to_csv(["a"], [{"a": 1 / 3}, {"a": float("nan")}], decimals=3) == b'a\n0.333\n""\n'
