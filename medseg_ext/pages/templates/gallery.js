"use strict";
const byId = (id) => document.getElementById(id);
const list = byId("cards"), dialog = byId("dialog"), content = byId("dialog-content");
const cards = [...list.children];
const names = new Intl.Collator(undefined, { numeric: true });
let open = null;

function compareBy(key) {
  const field = key.replace("-", ""), sign = key.startsWith("-") ? -1 : 1;
  return (one, other) => {
    const [a, b] = [one.dataset[field], other.dataset[field]];
    if (field !== "name" && a !== b) {
      if (a === undefined) return 1; // what has no number comes last, either way
      if (b === undefined) return -1;
      if (Number(a) !== Number(b)) return sign * (a - b);
    }
    return names.compare(one.dataset.name, other.dataset.name);
  };
}

function arrange() {
  const words = byId("filter").value.toLowerCase().split(/\s+/);
  for (const card of cards) {
    const remarks = [...card.querySelectorAll(".text .remark")].map((remark) => remark.textContent);
    const text = [card.dataset.name, card.dataset.state, ...remarks].join(" ").toLowerCase();
    card.hidden = !words.every((word) => text.includes(word));
  }
  list.append(...cards.sort(compareBy(byId("sort").value)));
  const shown = cards.filter((card) => !card.hidden).length;
  byId("shown").value = shown === cards.length ? `${shown} shown` : `${shown} of ${cards.length} shown`;
  byId("nothing").hidden = shown > 0;
}

const openable = () => cards.filter((card) => !card.hidden && card.querySelector("template"));

function mark(row) {
  const rect = content.querySelector(".mark rect");
  content.querySelector(".marked")?.classList.remove("marked");
  row?.classList.add("marked");
  if (!rect) return;
  const [left, top, right, bottom] = row ? row.dataset.box.split(" ").map(Number) : [0, 0, 0, 0];
  for (const [name, value] of Object.entries({ x: left, y: top, width: right - left, height: bottom - top })) {
    rect.setAttribute(name, value);
  }
  const text = content.querySelector(".mark text"), box = content.querySelector(".mark").viewBox.baseVal;
  const letters = 15 * box.width / (content.querySelector("figure").clientWidth || box.width); // of 15 pixels on the screen
  text.textContent = row ? row.cells[0].textContent : "";
  text.setAttribute("font-size", letters);
  text.setAttribute("x", Math.min(left, box.width - 3 * letters));
  text.setAttribute("y", top > 1.4 * letters ? top - 0.4 * letters : bottom + 1.1 * letters); // beside the object, not on it
}

function rowAt(rows, x, y) {
  const inside = rows.map((row) => [row, ...row.dataset.box.split(" ").map(Number)])
    .filter(([, left, top, right, bottom]) => left <= x && x < right && top <= y && y < bottom)
    .sort((a, b) => (a[3] - a[1]) * (a[4] - a[2]) - (b[3] - b[1]) * (b[4] - b[2]));
  return inside[0]?.[0]; // the smallest box
}

function show(card) {
  open = card;
  byId("dialog-name").textContent = card.dataset.name;
  content.replaceChildren(card.querySelector("template").content.cloneNode(true));
  for (const picture of content.querySelectorAll("[data-small]")) {
    picture.src = card.querySelector(`.picture .${picture.className}`).src;
  }
  const figure = content.querySelector("figure"), slider = content.querySelector("[type=range]");
  const table = content.querySelector(".objects"), rows = [...content.querySelectorAll("[data-box]")];
  slider?.addEventListener("input", () => figure.style.setProperty("--shown", `${slider.value}%`));
  if (byId("cards").dataset.view === "image" && slider) {
    slider.value = 0;
    figure.style.setProperty("--shown", "0%");
  }
  for (const row of rows) row.addEventListener("pointerenter", () => mark(row));
  table?.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const now = rows.indexOf(content.querySelector(".marked"));
    const row = rows[Math.min(rows.length - 1, Math.max(0, now + step))];
    mark(row);
    row.scrollIntoView({ block: "nearest" });
  });
  figure?.addEventListener("click", (event) => {
    const area = figure.getBoundingClientRect(), box = figure.querySelector(".mark").viewBox.baseVal;
    const x = (event.clientX - area.left) / area.width * box.width, y = (event.clientY - area.top) / area.height * box.height;
    const row = rowAt(rows, x, y);
    mark(row);
    row?.scrollIntoView({ block: "nearest" });
  });
  const all = openable();
  byId("previous").disabled = all[0] === card;
  byId("next").disabled = all.at(-1) === card;
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
}

function step(by) {
  const all = openable(), next = all[all.indexOf(open) + by];
  if (next) show(next);
}

byId("filter").addEventListener("input", arrange);
byId("sort").addEventListener("change", arrange);
for (const choice of document.querySelectorAll("[name=view]")) {
  choice.addEventListener("change", () => { list.dataset.view = choice.value; });
}
list.addEventListener("click", (event) => {
  const button = event.target.closest("button.picture");
  if (button) show(button.closest(".card"));
});
byId("previous").addEventListener("click", () => step(-1));
byId("next").addEventListener("click", () => step(1));
byId("close").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
dialog.addEventListener("close", () => {
  open?.querySelector("button.picture")?.focus();
  content.replaceChildren();
});
dialog.addEventListener("keydown", (event) => {
  if (event.target.matches("[type=range]")) return;
  if (event.key === "ArrowLeft") step(-1);
  if (event.key === "ArrowRight") step(1);
});
arrange();
