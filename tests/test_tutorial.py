"""The tutorial runs from its first cell to its last."""

from pathlib import Path

import nbclient
import nbformat
import pytest

TUTORIAL = Path(__file__).parents[1] / "docs" / "tutorial.ipynb"


@pytest.fixture(scope="module", params=["two epochs", pytest.param("as it is", marks=pytest.mark.slow)])
def executed(request) -> nbformat.NotebookNode:
    notebook = nbformat.read(TUTORIAL, as_version=4)
    if request.param == "two epochs":
        (training,) = (cell for cell in notebook.cells if "**fine_tuning_settings(n_images)," in cell.source)
        training.source = training.source.replace("tings(n_images),", "tings(n_images) | {'max_epochs': 2},")
    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": TUTORIAL.parent}}).execute()
    return notebook


def test_the_tutorial_finds_objects_and_fine_tunes(executed):
    text = "".join(
        output.text for cell in executed.cells for output in cell.get("outputs", []) if output.output_type == "stream"
    )
    assert "objects in 12 images" in text
    assert "foreground_iou" in text
    assert " -> " in text


def test_every_picture_of_the_tutorial_is_drawn(executed):
    pictures = [
        output for cell in executed.cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 3
