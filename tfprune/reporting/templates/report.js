"use strict";
// What a mark is, shown at the pointer; without this script the browser shows the same titles after a while.
const tip = document.createElement("div");
tip.className = "tip";
tip.hidden = true;
document.body.append(tip);
const NEAR = 14; // pixels

const middle = (mark) => {
  const box = mark.getBoundingClientRect();
  return [box.x + box.width / 2, box.y + box.height / 2];
};

for (const svg of document.querySelectorAll(".panels svg")) {
  const marks = [...svg.querySelectorAll("use > title")].map((title) => {
    const mark = title.parentNode;
    mark.said = title.textContent;
    title.remove();
    return mark;
  });
  const show = (event) => {
    let best = null, least = NEAR;
    for (const mark of marks) {
      if (mark.closest(".off")) continue;
      const [x, y] = middle(mark);
      const distance = Math.hypot(event.clientX - x, event.clientY - y);
      if (distance < least) [best, least] = [mark, distance];
    }
    tip.hidden = !best;
    if (!best) return;
    tip.textContent = best.said;
    const [x, y] = middle(best);
    const left = Math.max(4, Math.min(x + 10, document.documentElement.clientWidth - tip.offsetWidth - 4));
    tip.style.left = `${left + scrollX}px`;
    tip.style.top = `${Math.max(4, y - tip.offsetHeight - 8) + scrollY}px`;
  };
  svg.addEventListener("pointermove", show);
  svg.addEventListener("pointerdown", show);
  svg.addEventListener("pointerleave", () => { tip.hidden = true; });
}

// The names below a figure: point at one to see it among the others in grey, press it to hide it.
for (const figures of document.querySelectorAll(".panels[data-keyed]")) {
  const key = figures.previousElementSibling;
  const drawn = [...figures.querySelectorAll("[data-series]")];
  for (const button of key.querySelectorAll("button")) {
    const name = button.dataset.series;
    const fade = (faded) => drawn.forEach((mark) =>
      mark.classList.toggle("faded", faded && mark.dataset.series !== name));
    button.disabled = false;
    button.addEventListener("click", () => {
      const shown = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(shown));
      drawn.filter((mark) => mark.dataset.series === name).forEach((mark) => mark.classList.toggle("off", !shown));
    });
    button.addEventListener("pointerenter", () => fade(true));
    button.addEventListener("focus", () => fade(true));
    button.addEventListener("pointerleave", () => fade(false));
    button.addEventListener("blur", () => fade(false));
  }
}

// What is folded is printed too.
addEventListener("beforeprint", () => {
  for (const folded of document.querySelectorAll("details")) folded.open = true;
});
