"""Names that are markup or scripts are shown by every page, and never run, in a real browser."""

import csv
import re
import subprocess
from functools import partial
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from chromium import CHROMIUM, FLAGS
from compare_cases import UNET, evaluate
from PIL import Image

from medseg_ext.objects.objects import Objects
from medseg_ext.objects.result_files import write_objects
from medseg_ext.pages.comparison_page import write_comparison
from medseg_ext.pages.gallery import write_gallery
from medseg_ext.pages.gallery_pictures import GalleryPictures
from medseg_ext.runs.run_comparison import compare_run_folders
from medseg_ext.tables import read_csv_rows

# Each would set the page's title if it ran; what cannot be in a file's name is left out of it.
RUN = "document.title=String.fromCharCode(82,65,78)"
NAMES = [
    f"<img src=x onerror={RUN}>",
    f'"><svg onload={RUN}>',
    f"' onmouseover={RUN} autofocus onfocus={RUN} x='",
    f"<script>{RUN}",
    f"--><script>{RUN}",
    f"]]><style onload={RUN}>",
    "{{ 7*7 }}{% raw %}",
    "=HYPERLINK(1)",
]

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")


def seen(page, profile, *words):
    """Give the page's elements as the browser has them."""
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", *words, "--dump-dom", page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout


class Dom(HTMLParser):
    """The text of a page, and what its elements do on an event."""

    def __init__(self, text):
        super().__init__()
        self.text, self.events = "", set()
        self.feed(text)

    def handle_data(self, data):
        self.text += data

    def handle_starttag(self, tag, attrs):
        self.events |= {(name, value) for name, value in attrs if name.startswith("on")}


def check(page, profile, names):
    dom = seen(page, profile)
    assert "<title>RAN" not in dom
    found = Dom(dom)
    for name in names:
        assert name in found.text
    assert found.events <= {("onsubmit", "return false")}


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gallery")
    rows, pictures = [], GalleryPictures(len(NAMES))
    for name in NAMES:
        instances = np.zeros((60, 80), dtype=np.int32)
        instances[5:15, 20:30] = 1
        objects = Objects(torch.as_tensor(instances)[None], torch.as_tensor(instances > 0).byte()[None], torch.ones(1))
        show = partial(pictures.add, {"image": f"/in/{name}.png", "id": name})
        names = {"class_names": ["background", NAMES[0]], "object_name": NAMES[1]}
        write_objects(folder, name.replace("/", "_"), objects, np.zeros((60, 80, 3), np.float32), **names, show=show)
        sizes = {"height": "60", "width": "80", "objects": "1", "mean_area_px": "100", "remarks": f"remark {name}"}
        rows.append({"image": f"{name}.png", "id": name, "status": "ok", **sizes})
    rows.append({"image": f"{NAMES[0]}.tif", "id": "bad", "status": f"error: {NAMES[3]}", "remarks": ""})
    return write_gallery(folder, rows=rows, pictures=pictures, title=NAMES[0], bundle=NAMES[1], object_name=NAMES[0])


def test_the_gallery_shows_them(gallery, tmp_path):
    check(gallery, tmp_path / "profile", NAMES)


def test_the_gallerys_large_view_shows_them_after_a_click(gallery, tmp_path):
    page = tmp_path / "clicked.html"
    clicks = "for (const each of document.querySelectorAll('button.picture')) each.click();"
    page.write_text(gallery.read_text(encoding="utf-8").replace("</body>", f"<script>{clicks}</script></body>"))
    check(page, tmp_path / "profile", NAMES)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    of_all = {"data_set": NAMES[1], "kind": NAMES[0], "title": NAMES[0]}
    return [
        evaluate(folder / "a", UNET, model=NAMES[0], **of_all),
        evaluate(folder / "b", UNET, model=NAMES[7], **of_all),
    ]


def test_the_report_shows_them(runs, tmp_path):
    check(runs[0] / "report.html", tmp_path / "profile", [NAMES[0]])


def test_the_comparison_shows_them_and_its_markdown_and_table_hold_no_code(runs, tmp_path):
    page = write_comparison(compare_run_folders(runs, None), tmp_path / "comparison")
    check(page, tmp_path / "profile", NAMES[:2])
    markdown = (tmp_path / "comparison" / "comparison.md").read_text(encoding="utf-8")
    assert not re.search("<(?!br>)", markdown)
    table = tmp_path / "comparison" / "comparison.csv"
    with table.open(encoding="utf-8", newline="") as stream:
        assert {row["run"] for row in csv.DictReader(stream)} == {NAMES[0], f"'{NAMES[7]}"}
    assert {row["run"] for row in read_csv_rows(table)} == {NAMES[0], NAMES[7]}


def test_a_browser_runs_such_names_where_a_page_does_not_escape_them(tmp_path):
    """What the others look for would be seen."""
    page = tmp_path / "page.html"
    page.write_text(f"<title>x</title>{NAMES[0]}")
    assert "<title>RAN" in seen(page, tmp_path / "profile")


def test_a_picture_of_the_page_can_be_made(gallery, tmp_path):
    shot = tmp_path / "shot.png"
    seen(gallery, tmp_path / "profile", "--window-size=1200,900", f"--screenshot={shot}")
    assert np.asarray(Image.open(shot).convert("L")).std() > 5
