"""The gallery in a real browser."""

import re
import subprocess
from functools import partial

import numpy as np
import pytest
import torch
from chromium import CHROMIUM, FLAGS
from PIL import Image

from medseg_ext.objects.objects import Objects
from medseg_ext.objects.result_files import write_objects
from medseg_ext.pages.gallery import write_gallery
from medseg_ext.pages.gallery_pictures import GalleryPictures

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")

# Errors go to the title; then a person's clicks, and what is to be seen after them as attributes of the body.
ACTIONS = """
<script>addEventListener("error", (event) => { document.title = "error: " + event.message; });</script>
"""
CLICKS = """
<script>
const order = () => [...document.querySelectorAll(".card")].filter((card) => !card.hidden)
  .map((card) => card.dataset.name).join("|");
const note = (name) => document.body.setAttribute("data-" + name, order());
const choose = (id, value, kind) => { byId(id).value = value; byId(id).dispatchEvent(new Event(kind)); };
note("by-name");
choose("sort", "-objects", "change"); note("by-objects");
choose("filter", "NOT be done", "input"); note("filtered");
document.body.dataset.shown = byId("shown").value;
choose("filter", "of 2 pages", "input"); note("remarked");
choose("filter", "", "input");
document.querySelector("button.picture").click();
document.body.dataset.opened = byId("dialog-name").textContent + " " + byId("dialog").open;
content.querySelector(".objects").dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown" }));
document.body.dataset.marked = content.querySelector(".mark rect").getAttribute("x");
dialog.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
document.body.dataset.next = byId("dialog-name").textContent;
</script>
"""


def chromium(profile, *words):
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout


@pytest.fixture
def page(tmp_path):
    rows, pictures = [], GalleryPictures(4)
    for name, count in (("image 10", 3), ("image 9", 1), ("image 100", 2)):
        instances = np.zeros((60, 80), dtype=np.int32)
        for label in range(1, count + 1):
            instances[5:15, 20 * label : 20 * label + 10] = label
        image = np.repeat((instances > 0)[..., None].astype(np.uint8) * 200, 3, axis=2)
        classes = torch.as_tensor(instances > 0, dtype=torch.uint8)[None]
        objects = Objects(torch.as_tensor(instances)[None], classes, torch.ones(count))
        names = {"class_names": ["background", "nucleus"], "object_name": "cell"}
        show = partial(pictures.add, {"image": f"/in/{name}.png", "id": name})
        write_objects(tmp_path, name, objects, image / np.float32(255), **names, show=show)
        sizes = {"height": "60", "width": "80", "objects": str(count), "mean_area_px": "100", "remarks": ""}
        rows.append({"image": f"{name}.png", "id": name, "status": "ok", **sizes})
    rows.append({"image": "bad.tif", "id": "bad", "status": "error: broken", "remarks": "of 2 pages page 0 was taken"})
    return write_gallery(tmp_path, rows=rows, pictures=pictures, title="Nuclei", bundle="net", object_name="cell")


def test_sorting_filter_and_the_large_view_work_from_a_file(page, tmp_path):
    html = page.read_text(encoding="utf-8")
    html = html.replace("<head>", f"<head>{ACTIONS}").replace("</body>", f"{CLICKS}</body>")
    page.write_text(html, encoding="utf-8")
    dom = chromium(tmp_path / "profile", "--dump-dom", page.as_uri())
    assert "<title>error" not in dom
    seen = dict(re.findall(r'data-([\w-]+)="([^"]*)"', re.search(r"<body[^>]*>", dom)[0]))
    assert seen == {
        "by-name": "bad.tif|image 9.png|image 10.png|image 100.png",
        "by-objects": "image 10.png|image 100.png|image 9.png|bad.tif",
        "filtered": "bad.tif",
        "shown": "1 of 4 shown",
        "remarked": "bad.tif",
        "opened": "image 10.png true",
        "marked": "20",
        "next": "image 100.png",
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_light_or_dark_as_the_reader_wants_and_fits_a_narrow_window(page, tmp_path, scheme):
    picture = tmp_path / "shot.png"
    chromium(
        tmp_path / "profile", f"--blink-settings=preferredColorScheme={int(scheme == 'light')}",
        "--window-size=500,900", f"--screenshot={picture}", page.as_uri(),
    )  # fmt: skip
    shot = np.asarray(Image.open(picture).convert("L"))
    assert shot.shape == (900, 500)
    assert (shot[2, 2] > 200) == (scheme == "light")
    assert shot.std() > 5
    assert np.ptp(shot[:, -3:]) < 30  # nothing reaches over the right edge
