import csv
import re
from html.parser import HTMLParser
from urllib.parse import unquote

import numpy as np
import pytest
import torch
from PIL import Image

from medseg_ext.objects.objects import Objects
from medseg_ext.objects.result_files import write_objects
from medseg_ext.pages import gallery
from medseg_ext.pages.area_histogram import area_histogram
from medseg_ext.pages.gallery import write_gallery

VOID = {"img", "input", "meta", "link", "br", "rect", "line", "path"}
REASON = 'is not an image (<script>alert("x")</script> & more)'


class Page(HTMLParser):
    """The elements of a page, each with its attributes, its text and the elements around it."""

    def __init__(self, text):
        super().__init__()
        self.elements, self._open = [], []
        self.feed(text)
        assert not self._open, [element["tag"] for element in self._open]

    def handle_starttag(self, tag, attrs):
        element = {"tag": tag, "text": "", **dict(attrs), "around": [id(each) for each in self._open]}
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self._open.pop()["tag"] == tag

    def handle_data(self, data):
        for element in self._open:
            element["text"] += data

    def find(self, tag, inside=None):
        return [e for e in self.elements if e["tag"] == tag and (inside is None or id(inside) in e["around"])]

    @property
    def cards(self):
        return {e["data-name"]: e for e in self.find("li") if "data-name" in e}


def draw(folder, name, boxes, *, shape=(60, 80)):
    """Write an image with bright boxes, and what the writer makes of them; returns its row of summary.csv."""
    instances = np.zeros(shape, dtype=np.int32)
    for label, (top, left, bottom, right) in enumerate(boxes, start=1):
        instances[top:bottom, left:right] = label
    image = np.repeat(((instances > 0) * 200 + 20).astype(np.uint8)[..., None], 3, axis=2)
    (folder / "images").mkdir(exist_ok=True)
    Image.fromarray(image).save(folder / "images" / f"{name}.png")
    objects = Objects(
        instances=torch.as_tensor(instances)[None],
        classes=torch.as_tensor(instances > 0, dtype=torch.uint8)[None],
        scores=torch.linspace(0.5, 1, len(boxes)),
    )
    table = write_objects(
        folder, name, objects, image / np.float32(255), class_names=["background", "nucleus"], object_name="nucleus"
    )
    mean = f"{np.mean(table['area_px']):.6g}" if boxes else ""
    sizes = {"height": str(shape[0]), "width": str(shape[1]), "objects": str(len(boxes)), "mean_area_px": mean}
    return {"image": f"{name}.png", "id": name, "status": "ok", **sizes}


def write(folder, rows):
    images = {row["id"]: str(folder / "images" / row["image"]) for row in rows}
    path = write_gallery(folder, rows=rows, images=images, title="Nuclei", bundle="net", object_name="nucleus")
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture
def results(tmp_path):
    unreadable = {"image": "bad <b>.tif", "id": "bad <b>", "status": f"error: {REASON}"}
    return [
        draw(tmp_path, "50% #1? & 'ä'", [(2, 3, 12, 13), (20, 30, 40, 70)]),
        draw(tmp_path, "empty", []),
        unreadable | {"height": "", "width": "", "objects": "", "mean_area_px": ""},
    ]


def test_every_image_has_a_card_with_its_state_and_numbers(results, tmp_path):
    cards = write(tmp_path, results).cards
    good, empty, bad = (cards[row["image"]] for row in results)
    assert (good["data-state"], good["data-objects"], good["data-area"]) == ("done", "2", "450")
    assert (empty["data-state"], empty["data-objects"], "data-area" in empty) == ("nothing found", "0", False)
    assert (bad["data-state"], "data-objects" in bad) == ("could not be done", False)
    assert REASON in bad["text"]


def test_pictures_are_inside_and_have_alternative_texts(results, tmp_path):
    page = write(tmp_path, results)
    pictures = [picture for picture in page.find("img") if "src" in picture]
    assert len(pictures) == 4
    assert all(picture["src"].startswith("data:image/jpeg;base64,") for picture in pictures)
    assert all(picture["alt"] for picture in page.find("img"))
    assert not page.find("link")
    assert not [script for script in page.find("script") if "src" in script]
    assert not re.search(r"https?://|@import|url\(", (tmp_path / "gallery.html").read_text(encoding="utf-8"))


def test_links_are_relative_and_lead_to_files(results, tmp_path):
    page = write(tmp_path, results)
    (tmp_path / "summary.csv").touch()
    addresses = [link["href"] for link in page.find("a")]
    assert len(addresses) == 1 + 2 * 5
    assert all((tmp_path / unquote(address)).is_file() for address in addresses)
    assert not any(set(address) & set("/#?&' ") for address in addresses)


def test_the_table_is_that_of_the_file_with_boxes_to_mark(results, tmp_path):
    page = write(tmp_path, results)
    card = page.cards[results[0]["image"]]
    rows = page.find("tr", inside=page.find("tbody", inside=card)[0])
    cells = [[cell["text"] for cell in page.find("td", inside=row)] for row in rows]
    assert cells == [["1", "0.50", "100"], ["2", "1", "800"]]
    assert [row["data-box"] for row in rows] == ["3 2 13 12", "30 20 70 40"]
    with (tmp_path / f"{results[0]['id']}_objects.csv").open(encoding="utf-8") as file:
        assert [row["area_px"] for row in csv.DictReader(file)] == [row[2] for row in cells]


def test_the_histogram_counts_every_object_once(results, tmp_path):
    page = write(tmp_path, results)
    bars = [re.search(r"px: (\d+) object", title["text"]) for title in page.find("title")]
    assert sum(int(bar[1]) for bar in bars if bar) == 2
    (figure,) = [svg for svg in page.find("svg") if svg.get("role") == "img"]
    assert "2 objects from 100 to 800 pixels" in figure["aria-label"]


def test_long_tables_are_cut_and_say_so(tmp_path, monkeypatch):
    monkeypatch.setattr(gallery, "MOST_ROWS", 10)
    boxes = [(5 * row, 5 * column, 5 * row + 3, 5 * column + 3) for row in range(4) for column in range(5)]
    page = write(tmp_path, [draw(tmp_path, "many", boxes)])
    (card,) = page.cards.values()
    assert len(page.find("tr", inside=page.find("tbody", inside=card)[0])) == 10
    assert "The first 10 of 20 objects" in card["text"]


def test_the_page_stays_small_and_says_which_large_views_it_has(tmp_path, monkeypatch):
    monkeypatch.setattr(gallery, "PICTURE_CHARACTERS", 600_000)
    rows = [draw(tmp_path, f"{number}", [(1, 1, 300, 400)], shape=(400, 500)) for number in range(6)]
    for row in rows:  # noise, which does not compress
        noise = np.random.default_rng(0).integers(0, 255, (400, 500, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / "images" / row["image"])
        Image.fromarray(noise).save(tmp_path / f"{row['id']}_overlay.png")
    page = write(tmp_path, rows)
    embedded = sum(len(picture.get("src", "")) for picture in page.find("img"))
    assert embedded <= 600_000
    enlarged = [name for name, card in page.cards.items() if "The small picture, enlarged" in card["text"]]
    first = 6 - len(enlarged)
    assert enlarged == [row["image"] for row in rows[first:]]
    (note,) = [p["text"] for p in page.find("p") if "a large view in this page" in p["text"]]
    assert f"first {first} image" in note
    assert f"{len(enlarged)} of the others" in note


def test_an_image_with_a_reduced_overlay_is_shown_at_the_overlay_s_size(tmp_path):
    row = draw(tmp_path, "slide", [(2, 3, 12, 13)])
    path = tmp_path / f"{row['id']}_overlay.png"
    with Image.open(path) as overlay:
        overlay.resize((overlay.width // 2, overlay.height // 2)).save(path)
    pictures = gallery._pictures(tmp_path, gallery._entry(row), str(tmp_path / "images" / "slide.png"), 0, None)
    assert pictures["image"].shape == pictures["overlay"].shape == (30, 40, 3)


def test_bins_of_areas_hold_what_lies_between_their_edges():
    areas = np.random.default_rng(0).lognormal(5, 1, 500).round() + 1
    histogram = area_histogram(areas)
    for bar in histogram.bars[:-1]:
        assert bar.objects == sum(bar.low_px <= area < bar.high_px for area in areas)
    assert sum(bar.objects for bar in histogram.bars) == 500
    assert histogram.median_px == np.median(areas)


@pytest.mark.parametrize("areas", [[1], [7, 7, 7], [1, 1_000_000]])
def test_few_areas_give_a_histogram_too(areas):
    histogram = area_histogram(areas)
    assert sum(bar.objects for bar in histogram.bars) == len(areas)
    assert len(histogram.ticks) >= 2
    assert all(0 <= place <= 1 for place, _ in histogram.ticks)


def test_no_areas_give_no_histogram():
    assert area_histogram([]) is None
