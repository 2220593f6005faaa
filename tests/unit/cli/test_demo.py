import pytest

from medseg_ext.cli.main import main


@pytest.mark.parametrize("content", ["raw/image.png", "notes.txt"])
def test_a_folder_that_the_demo_did_not_make_is_left_alone(tmp_path, content, capsys):
    file = tmp_path / "data" / content
    file.parent.mkdir(parents=True)
    file.write_text("precious")
    assert main(["demo", "--target", str(tmp_path / "data")]) == 2
    assert file.read_text() == "precious"
    assert "give another --target" in capsys.readouterr().err


def test_a_file_is_no_target(tmp_path, capsys):
    (tmp_path / "file").write_text("precious")
    assert main(["demo", "--target", str(tmp_path / "file")]) == 2
    assert (tmp_path / "file").read_text() == "precious"
