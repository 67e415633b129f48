"""Writes the tables of docs/compatibility.md on Keras 3 from what `proof` and `pairs` have found."""

import collections
import json
from pathlib import Path

from tabulate import tabulate

from tfprune.reporting.tables import update_page

PAGE = Path(__file__).parents[3] / "docs" / "compatibility.md"
MODELS = PAGE.parent / "results" / "keras3-models.jsonl"
COMBINATIONS = PAGE.parent / "results" / "keras3-combinations.jsonl"
BACKENDS = ("tensorflow", "jax", "torch")
OUTCOMES = {
    "equal": "to the bit",
    "rounded": "but for rounding",
    "unsteady": "Keras unsteady",
    "keras": "Keras cannot",
    "refused": "refused",
}


def models(path=MODELS):
    """Returns what a file says, one row per model, as Markdown."""
    found = [json.loads(line) for line in path.read_text().splitlines()]
    used = {name: number for own in found for name, number in own["versions"].items()}
    shown = [name for name in BACKENDS if any(own["backend"] == name for own in found)]
    rows, notes = [], []
    for group, name in dict.fromkeys((own["group"], own["model"]) for own in found):
        of = {own["backend"]: own for own in found if (own["group"], own["model"]) == (group, name)}
        known = next((own for own in of.values() if "weights" in own), None)
        cells = []
        for backend in shown:
            own = of.get(backend, {"outcome": ""})
            if own["outcome"] not in ("yes", ""):
                notes.append(f"({len(notes) + 1}) {own['outcome']}")
                own = {"outcome": f"({len(notes)})"}
            cells.append("eagerly" if own.get("eagerly") else own["outcome"])
        shares = (f"{known['weights']:,}", f"{known['share']:.0%}") if known else ("", "")
        rows.append([group, name.replace("_", " ") if group == "architectures" else name, *shares, *cells])
    text = "With " + ", ".join(f"{name} {number}" for name, number in sorted(used.items())) + ":\n\n"
    headers = ["of", "model", "weights in kernels", "of its weights", *shown]
    text += tabulate(rows, headers, tablefmt="github", disable_numparse=True)
    return text + ("\n\n" + "\n".join(f"* {note}" for note in notes) if notes else "")


def combinations(path=COMBINATIONS):
    """Returns what a file says, one row per backend, as Markdown."""
    found = [json.loads(line) for line in path.read_text().splitlines()]
    rows = []
    for backend in dict.fromkeys(own["backend"] for own in found):
        here = [own for own in found if own["backend"] == backend]
        counts = collections.Counter(own["outcome"] for own in here)
        different = [len({own["combination"][axis] for own in here}) for axis in (0, 1)]
        rows.append([backend, len(here), *different, *(counts[key] or "" for key in OUTCOMES)])
    used = {name: number for own in found for name, number in own["versions"].items()}
    text = "With " + ", ".join(f"{name} {number}" for name, number in sorted(used.items())) + ":\n\n"
    headers = ["backend", "combinations", "models", "optimizers", *OUTCOMES.values()]
    text += tabulate(rows, headers, tablefmt="github", disable_numparse=True)
    said = sorted({own["said"] for own in found if own["outcome"] in ("refused", "keras")})
    return text + ("\n\n" + "\n".join(f"* {line}" for line in said) if said else "")


if __name__ == "__main__":
    update_page(PAGE, "keras3", models())
    update_page(PAGE, "keras3-twins", combinations())
