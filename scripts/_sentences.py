"""The sentences of the docs that hold figures, written by the data: each has to stand on its page as it is here."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import _inference
import _search
import _shrinking
import _starting_large
import _study
import _tickets
import numpy as np

from tfprune.reporting.comparison import differences_of
from tfprune.reporting.statistics import resampled_interval, t_interval

RESULTS = Path(__file__).parents[1] / "docs" / "results"
SECTIONS = {  # page -> headings below which each figure is computed or quoted
    "README.md": ("## Does it work?",),
    "docs/penguins.md": ("## Conclusions",),
    "docs/fashion_mnist.md": ("## Conclusions",),
    "docs/flowers.md": ("## Conclusions",),
    "docs/cifar10.md": ("## Conclusions",),
    "docs/study.md": ("## Results",),
    "docs/starting-large.md": ("## Results",),
    "docs/tickets.md": ("## Results",),
    "docs/methods-compared.md": (
        "### Conclusions for the penguins",
        "### Conclusions for Fashion-MNIST",
        "### Conclusions for CIFAR-10",
    ),
}
QUOTED = (  # settings, arithmetic and figures of others, which no runs of ours come to
    ("README.md", "[lottery ticket](https://arxiv.org/abs/1803.03635)"),
    ("README.md", "95 % interval"),
    ("README.md", "Over 26 tables of data"),
    ("README.md", "from 80 % on"),
    ("README.md", "0.5 points"),
    ("README.md", "after 20 epochs, where the default is 30"),
    ("docs/study.md", "95 % intervals"),
    ("docs/study.md", "linear from -1 to +1 point"),
    ("docs/study.md", "At 80 % zeros, the best mean ranks first"),
    ("docs/study.md", "at 80 and 90 % zeros"),
    ("docs/study.md", "(P(worse) below 0.05)"),
    *(("docs/study.md", f"<summary>{name}") for name in ("All methods at 50 %", "At 80 %", "At 90 %", "At 95 %")),
    ("docs/starting-large.md", "95 % intervals"),
    ("docs/starting-large.md", "0.4 points to the whole network"),
    ("docs/starting-large.md", "16, 16 and 128 instead of 16, 32 and 64"),
    ("docs/starting-large.md", "22 seconds of CPU time once"),
    ("docs/starting-large.md", "in 39 instead of 34 seconds"),
    ("docs/starting-large.md", "groups of 16 channels lost none"),
    ("docs/tickets.md", "95 % interval"),
    ("docs/tickets.md", "figures 1 and 4"),
    ("docs/tickets.md", "the paper's figure 3"),
    ("docs/tickets.md", "to 200 iterations"),
    ("docs/methods-compared.md", "at 50 and 75 % zeros"),
    ("docs/methods-compared.md", "so at 96.9 % 31 of the last layer's 1,000 weights are left"),
    ("docs/methods-compared.md", "one weight of 235,200"),
    ("docs/methods-compared.md", "the lowest means at 50 and 87.5 %"),
    ("docs/methods-compared.md", "Frankle et al. 2021"),
    ("docs/methods-compared.md", "At 96.9 % the distribution of the weights"),
    ("docs/methods-compared.md", "leaves the first convolution 14 weights and the last layer 20"),
    ("docs/methods-compared.md", "the lowest means of them at 50 and 87.5 %"),
    (
        "docs/methods-compared.md",
        "the dense network has 91.7 %): one-shot with fine-tuning 91.4, 90.7 and 88.5 % at 67, 79 and 89 % zeros, with "
        "learning-rate rewinding 91.6, 90.7 and 89.0 %, rewound to the initial weights 90.2, 89.2 and 87.1 %. So 2.7 "
        "points are lost at 89 % there",
    ),
    ("docs/methods-compared.md", "sees 90,000 images per training run"),
    ("docs/methods-compared.md", "one split of 33 penguins"),
    ("docs/methods-compared.md", "a multiple of 3 %"),
    ("docs/starting-large.md", "One test set of 10,000 images"),
    ("docs/penguins.md", "one data set of 333 rows"),
    ("docs/penguins.md", "a test split of 33 rows for 200 of training"),
    ("docs/penguins.md", "at 4,000 and at 12,000 epochs"),
    ("docs/penguins.md", "At 4,000 epochs"),
    ("docs/penguins.md", "after 4,000 epochs"),
    ("docs/penguins.md", "At 12,000 epochs"),
    ("docs/penguins.md", "zeroed 60 % of the weights"),
    ("docs/fashion_mnist.md", "95 % interval"),
    ("docs/fashion_mnist.md", "a margin of 0.5 points"),
    ("docs/fashion_mnist.md", "At 31 % zeros"),
    ("docs/fashion_mnist.md", "With 31 % zeros"),
    ("docs/fashion_mnist.md", "above them from 95 % on"),
    ("docs/fashion_mnist.md", "it was above from 90 % on"),
    ("docs/fashion_mnist.md", "and at 98 % the trained weights"),
    ("docs/fashion_mnist.md", "LeNet-300-100 at five sparsities"),
    ("docs/fashion_mnist.md", "at 50, 80 and 90 %"),
    ("docs/flowers.md", "At 31 % zeros"),
    ("docs/flowers.md", "At 50, 80 and 90 % zeros"),
    ("docs/flowers.md", "At 80 %"),
    ("docs/flowers.md", "With a test split of 367 images, one image is 0.27 % of accuracy."),
    ("docs/cifar10.md", "At 31 % zeros"),
    ("docs/cifar10.md", "after 20 epochs"),
    ("docs/cifar10.md", "With 30 epochs"),
    ("docs/cifar10.md", "instead of 64"),
    ("docs/cifar10.md", "rewound to epoch 0"),
    ("docs/cifar10.md", "at 50, 80 and 90 %"),
)
EARLY_BIRD_LOOKS = 160  # at the mask, `early_bird.looks`
ORDINALS = ("0th", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
Tables = Mapping[str, Mapping[str, Any]]


def sentences(tables: Tables) -> Iterator[tuple[str, str]]:
    """Yields a page and what has to stand there."""
    pages = {"penguins": _penguins, "fashion_mnist": _fashion_mnist, "flowers": _flowers, "cifar10": _cifar10}
    for page, said in {**pages, "methods-compared": _methods}.items():
        yield from ((f"docs/{page}.md", sentence) for sentence in said(tables[page]))
    yield from (("README.md", said) for said in (*_readme(tables), *_study.readme(RESULTS / "study")))
    yield from _inference.sentences(RESULTS)
    yield from (("docs/faster-and-smaller.md", said) for said in _shrinking.sentences(RESULTS))
    yield from (("docs/study.md", said) for said in _study.sentences(RESULTS / "study"))
    yield from (("docs/which-method.md", said) for said in _study.which_method(RESULTS / "study"))
    yield from (("docs/starting-large.md", said) for said in _starting_large.sentences(RESULTS / "starting-large"))
    yield from (("docs/tickets.md", said) for said in _tickets.sentences(RESULTS / "tickets"))


def _penguins(tables: Mapping[str, Any]) -> Iterator[str]:
    own, budget = tables["results penguins"], tables["budget penguins"]
    losses = np.array([row["test_loss"] for row in own["unpruned"]["seeds"].values()])
    apart = np.abs(losses[:, None] - losses[None, :]).sum() / (len(losses) * (len(losses) - 1))
    four = [own[name]["mean"]["test_loss"] for name in ("unpruned", "pruned", "lottery", "dynamic")]
    yield (
        f"Two unpruned networks with different seeds (split and initial weights) differ in test loss by {apart:.3f} on "
        f"average, the means of the four methods by {max(four) - min(four):.3f} at most."
    )
    yield f"does not appear with {len(losses)} seeds"
    dynamic = own["dynamic"]
    yield (
        f"Dynamic pruning costs {_loss(dynamic)} of loss and {_lost(dynamic)} points of accuracy, and reaches the "
        f"unpruned network's validation loss in {_reached(dynamic)} of {len(dynamic['seeds'])} seeds"
    )
    yield f"pruning after training without fine-tuning costs {_loss(own['pruned'])}"
    other = {
        name: resampled_interval(differences_of(dynamic["seeds"], own["unpruned"]["seeds"], name), 33 / 200)
        for name in ("test_loss", "test_accuracy")
    }
    yield (
        f"the loss is {_signed(other['test_loss'], 1, 3)} higher, and a difference of accuracy of "
        f"{_signed(other['test_accuracy'], 100, 2)} points is open"
    )
    both = ((dynamic, own["unpruned"]), (budget["dynamic"], budget["unpruned"]))
    *times, last = sorted(ratio for pair in both for ratio in _time_ratios(*pair))
    of_ticket = sorted(_time_ratios(dynamic, own["lottery"]))
    yield (
        f"{', '.join(f'{ratio:.2f}' for ratio in times)} and {last:.2f} times that of the unpruned network in the "
        f"{len(times) + 1} measurements that there are, and "
        f"{' and '.join(f'{ratio:.2f}' for ratio in of_ticket)} times that of a ticket"
    )
    yield (
        f"random masks cost {_loss(own['random'])}, {own['random']['delta']['mean'] / dynamic['delta']['mean']:.0f} "
        f"times as much; a dense network of the same size costs {_loss(own['small_dense'])}"
    )
    ticket = own["lottery"]
    yield (
        f"its loss differs by {_loss(ticket)}; its accuracy is {_points(ticket)} points higher, after twice the epochs"
    )
    yield (
        f"shuffled masks cost {own['shuffled']['delta']['mean']:.3f} of loss, new initial weights "
        f"{own['reinitialised']['delta']['mean']:.3f}"
    )
    yield (
        f"twice the epochs alone gain {-own['longer']['delta']['mean']:.3f} of loss and "
        f"{100 * own['longer']['accuracy']['mean']:.1f} points"
    )
    yield f"At an equal budget the ticket loses {budget['lottery']['delta']['mean']:.3f}"
    yield from _search.sentences(_search.Search(RESULTS / "search"))


def _fashion_mnist(tables: Mapping[str, Any]) -> Iterator[str]:
    own, levels = tables["results fashion_mnist"], tables["sparsities fashion_mnist"]
    dynamic, pruned, ticket = own["dynamic"], own["pruned"], own["lottery"]
    yield (
        f"dynamic pruning loses {_lost(dynamic)} points: a little, and less than a margin of 0.5 points. Its loss is "
        f"{_loss(dynamic, 4)} higher."
    )
    yield f"{_reached(dynamic)} of {len(dynamic['seeds'])} seeds reach the unpruned network's validation loss"
    yield f"The training takes {_time(dynamic, own['unpruned'])} times as long"
    others = [own[name]["sd"]["test_loss"] for name in ("unpruned", "lottery", "dynamic")]
    spread = [pruned["sd"]["test_loss"] / sd for sd in (max(others), min(others))]
    yield (
        f"costs {_lost(pruned)} points and {_loss(pruned, 3)} of loss, which depends on the seed (its standard "
        f"deviation is {spread[0]:.0f} to {spread[1]:.0f} times that of the others)"
    )
    yield (f"the ticket's loss is {_loss(ticket, 4)}, its accuracy {_points(ticket)} points: not told apart from the ")
    accuracy = {name: levels[name]["mean"]["test_accuracy"] for name in levels}
    lost = [100 * (accuracy["unpruned"] - accuracy[f"pruned {level} %"]) for level in (50, 80)]
    yield f"costs {lost[0]:.0f} points at 50 %, and at 80 % leaves {100 * accuracy['pruned 80 %']:.0f} %"
    behind = [100 * (accuracy[f"lottery {level} %"] - accuracy[f"dynamic {level} %"]) for level in (50, 80, 90)]
    yield f"ended {behind[0]:.1f}, {behind[1]:.1f} and {behind[2]:.1f} points below the ticket at 50, 80 and 90 %"
    yield from _lenet_300_100(tables["five fashion_mnist"])


def _lenet_300_100(own: Mapping[str, Any]) -> Iterator[str]:
    levels = (50, 80, 90, 95, 98)
    yield f"at 50 % dynamic pruning has {_points(own['dynamic 50 %'])} points to the unpruned network"
    said = [_to(own, f"dynamic {level} %", f"small_dense {level} %") for level in levels]
    yield (
        f"At 50, 80, 90, 95 and 98 % zeros it has {', '.join(said[:-1])} and {said[-1]} points to small dense networks "
        "of as many parameters"
    )
    times = [own[f"small_dense {level} %"]["ratio"]["training_time"] for level in levels]
    yield f"whose training takes {min(times):.2f} to {max(times):.2f} times the CPU time of the unpruned network's"
    accuracy = {name: 100 * values["mean"]["test_accuracy"] for name, values in own.items()}
    below = [[accuracy[f"dynamic {level} %"] - accuracy[f"{name} {level} %"] for level in levels]
             for name in ("random", "pruned")]  # fmt: skip
    yield (
        f"Random masks are {min(below[0]):.1f} to {max(below[0]):.1f} points below dynamic pruning, pruning after "
        f"training {min(below[1]):.1f} to {max(below[1]):.1f}"
    )
    anew = [_to(own, f"reinitialised {level} %", f"dynamic {level} %") for level in levels]
    yield f"after twice the epochs, have {', '.join(anew[:-1])} and {anew[-1]} points to it"


def _to(own: Mapping[str, Any], trial: str, other: str) -> str:
    """Returns the points of accuracy that one trial has to another, with their interval."""
    found = t_interval(differences_of(own[trial]["seeds"], own[other]["seeds"], "test_accuracy"))
    return _signed(found, 100, 2)


def _flowers(tables: Mapping[str, Any]) -> Iterator[str]:
    own = tables["results flowers"]
    pruned, dynamic, ticket = own["pruned"], own["dynamic"], own["lottery"]
    yield f"{_points(pruned)} points of accuracy and {_loss(pruned, 3)} of loss"
    yield (
        f"dynamic pruning has {_points(dynamic)} points of accuracy to the unpruned network and {_loss(dynamic, 3)} of "
        f"loss, which is higher in {_higher(dynamic, own)} of {len(dynamic['seeds'])} seeds"
    )
    yield f"The training takes {_time(dynamic, own['unpruned'])} times as long"
    yield f"To decide on the accuracy takes about {_needed(dynamic)} seeds."
    yield f"{_points(ticket)} points of accuracy and {_loss(ticket, 3)} of loss after twice as many epochs"
    yield (
        f"random masks have {_to(own, 'random', 'dynamic')} points to dynamic pruning, a dense network of as many "
        f"parameters, trained for {_time(own['small_dense'], own['unpruned'])} times unpruned's time, "
        f"{_to(own, 'small_dense', 'dynamic')}"
    )
    yield from _flowers_with_more_zeros(tables["sparsities flowers"])


def _flowers_with_more_zeros(own: Mapping[str, Any]) -> Iterator[str]:
    levels, small = ("50 %", "80 %", "90 %"), own["small_dense"]
    yield f"dynamic pruning has {_listed(_points(own[f'dynamic {level}']) for level in levels)} points to the unpruned"
    yield f"pruning after training {_listed(_points(own[f'pruned {level}']) for level in levels)}"
    yield (
        f"dynamic pruning has {_to(own, 'dynamic 80 %', 'small_dense')} points to a dense network of as many "
        f"parameters, which trained for {_time(small, own['unpruned'])} times the unpruned network's time and is "
        f"{_to(own, 'small_dense', 'unpruned')} points above it"
    )


def _listed(texts: Iterable[str]) -> str:
    *first, last = texts
    return f"{', '.join(first)} and {last}"


def _cifar10(tables: Mapping[str, Any]) -> Iterator[str]:
    own, levels = tables["results cifar10"], tables["sparsities cifar10"]
    dynamic, pruned, ticket = own["dynamic"], own["pruned"], own["lottery"]
    yield (
        f"dynamic pruning has {_points(dynamic)} points of accuracy to the unpruned network and {_loss(dynamic, 4)} of "
        f"loss: open. {_reached(dynamic)} of {len(dynamic['seeds'])} seeds reaches its validation loss"
    )
    yield f"The training takes {_time(dynamic, own['unpruned'])} times as long"
    yield (
        f"{_lost(pruned)} points of accuracy and {_loss(pruned, 3)} of loss; corrected for {len(own) - 1} comparisons, "
        f"p of the loss is {pruned['delta']['p_holm']:.2f}"
    )
    yield f"The ticket has {_points(ticket)} points after twice the epochs"
    accuracy = {name: levels[name]["mean"]["test_accuracy"] for name in levels}
    ahead = [100 * (accuracy[f"dynamic {level} %"] - accuracy[f"lottery {level} %"]) for level in (50, 80, 90)]
    yield (
        f"In one run of the small network dynamic pruning ended {ahead[0]:.1f}, {ahead[1]:.1f} and {ahead[2]:.1f} "
        "points above the ticket at 50, 80 and 90 %"
    )
    behind = [100 * (accuracy["unpruned"] - accuracy[f"dynamic {level} %"]) for level in (50, 80, 90)]
    yield f"{behind[0]:.1f}, {behind[1]:.1f} and {behind[2]:.1f} points below the unpruned one"
    lost = 100 * (accuracy["unpruned"] - accuracy["pruned 50 %"])
    yield (
        f"pruning half of the weights cost {lost:.0f} points, and pruning 80 % left {_percent(accuracy['pruned 80 %'])}"
    )
    long, short = (_metrics(f"cifar10-unpruned-seed10-{key}") for key in ("f465e5bc", "af56be4e"))
    for run, said in ((long, f" in validation; one run, seed {long['seed']})"), (short, ") with batches of 32")):
        test, validation = (run[split]["accuracy"] for split in ("test", "validation"))
        yield f"{100 * test:.1f} % ({100 * validation:.1f} %{said}"
    yield f"against {100 * own['unpruned']['mean']['test_accuracy']:.1f} % on average"
    yield from _cifar10_with_seven_seeds(tables["seven cifar10"])


def _cifar10_with_seven_seeds(own: Mapping[str, Any]) -> Iterator[str]:
    levels = (50, 80, 90)
    three = {
        "the unpruned network": [_points(own[f"dynamic {level} %"]) for level in levels],
        "learning-rate rewinding": [_to(own, f"dynamic {level} %", f"rate_rewinding {level} %") for level in levels],
        "the ticket": [_to(own, f"dynamic {level} %", f"lottery {level} %") for level in levels],
    }
    for other, said in three.items():
        yield f"{said[0]}, {said[1]} and {said[2]} points to {other}"
    against = [_to(own, f"lottery {level} %", f"rate_rewinding {level} %") for level in levels]
    yield f"the ticket has {against[0]}, {against[1]} and {against[2]} points to learning-rate rewinding"


def _readme(tables: Tables) -> Iterator[str]:
    losses = {
        name: tables[name][f"results {name}"]["dynamic"] for name in ("penguins", "fashion_mnist", "flowers", "cifar10")
    }
    shares = {f"{100 * own['mean']['sparsity']:.0f}" for own in losses.values()}
    penguins, fashion = losses["penguins"], losses["fashion_mnist"]
    yield (
        f"With {' and '.join(sorted(shares))} % of the weights pruned, dynamic pruning loses {_lost(penguins)} points "
        f"of accuracy on the penguins and {_lost(fashion)} on Fashion-MNIST, where that is less than a margin of 0.5 "
        f"points; the differences of {_points(losses['flowers'])} on flowers and {_points(losses['cifar10'])} on "
        f"CIFAR-10 are open with {len(losses['flowers']['seeds'])} and {len(losses['cifar10']['seeds'])} seeds."
    )
    unpruned = {name: tables[name][f"results {name}"]["unpruned"] for name in losses}
    as_many = all(own["mean"]["epochs"] == unpruned[name]["mean"]["epochs"] for name, own in losses.items())
    yield (
        f"It takes as long as training without pruning{'' if as_many else ', at other epochs,'} "
        f"({_time(losses['cifar10'], unpruned['cifar10'])} times on CIFAR-10)"
    )
    first, second = (tables["penguins"]["results penguins"][name] for name in ("random", "small_dense"))
    yield (
        f"random masks cost {first['delta']['mean'] / penguins['delta']['mean']:.0f} times its loss and a small dense "
        f"network {second['delta']['mean'] / penguins['delta']['mean']:.1f} times"
    )
    flowers = tables["flowers"]["results flowers"]
    checks = [_to(flowers, name, "dynamic") for name in ("random", "small_dense")]
    yield f"on flowers these have {checks[0]} and {checks[1]} points to it"


def _methods(tables: Mapping[str, Any]) -> Iterator[str]:
    yield from _methods_on_penguins(tables["sparsities penguins"])
    own, long = tables["global fashion_mnist"], tables["global-long fashion_mnist"]
    kept = [
        own[f"{name} 87.5 %"]["mean"]["test_accuracy"]
        for name in ("fine_tuned", "lottery", "dynamic", "gradual", "rate_rewinding")
    ]
    layer = tables["sparsities fashion_mnist"]
    accuracy = {name: 100 * values["mean"]["test_accuracy"] for name, values in layer.items()}
    yield (
        f"At 87.5 % the methods that prune trained weights ({100 * min(kept):.1f} to {100 * max(kept):.1f} %) are "
        f"above the highest method at initialisation (`synflow`, {accuracy['synflow 87.5 %']:.1f} %), and that above "
        f"random pruning ({accuracy['random_at_init 87.5 %']:.1f} %)"
    )
    three = [own[f"{name} 96.9 %"]["mean"]["test_accuracy"] for name in ("rate_rewinding", "gradual", "lottery")]
    yield (
        f"At 96.9 % `rate_rewinding`, `gradual` and `lottery` ({100 * min(three):.1f} to {100 * max(three):.1f} %) are "
        f"above `synflow` ({accuracy['synflow 96.9 %']:.1f} %)"
    )
    gained = [100 * values["mean"]["test_accuracy"] - accuracy[name] for name, values in own.items() if "96.9" in name]
    yield f"of the methods that prune trained weights by {min(gained):.0f} to {max(gained):.0f} points at 96.9 %"
    half = layer["dynamic 50 %"]
    yield (
        f"Dynamic pruning at 50 % is {half['accuracy']['outcome']} ({_points(half)} points) for "
        f"{half['ratio']['training_flops_masked']:.2f} x the multiplications that have to be done"
    )
    few = [accuracy[f"{name} 87.5 %"] for name in ("set", "rigl", "synflow", "snip")]
    times = [values["ratio"]["training_time"] for name, values in layer.items() if name != "unpruned"]
    yield f"`set`, `rigl`, `synflow` and `snip` have {_range(few, '.0f')} % for one eighth"
    yield f"training took {min(times):.2f} to {max(times):.2f} times the CPU time of the unpruned network's"
    yield f"`magnitude_at_init` collapses at 96.9 % ({accuracy['magnitude_at_init 96.9 %']:.1f} %)"
    ends = [100 * long[f"rate_rewinding {level} %"]["mean"]["test_accuracy"] for level in (87.5, 96.9)]
    yield f"With the budget of that paper `rate_rewinding` has {ends[0]:.1f} and {ends[1]:.1f} %"
    yield f"with global scope {_lost(own['dynamic 87.5 %'])} points at 87.5 %"
    yield from _methods_on_cifar10(tables["sparsities cifar10"])


def _methods_on_penguins(own: Mapping[str, Any]) -> Iterator[str]:
    levels = ("50 %", "75 %", "87.5 %")
    loss = {name: values["delta"]["mean"] for name, values in own.items() if values["delta"]}
    accuracy = {name: 100 * values["mean"]["test_accuracy"] for name, values in own.items()}
    at_init = [_range([loss[f"{name} {level}"] for name in ("snip", "synflow", "grasp")], "+.2f") for level in levels]
    tuned, drawn = ([loss[f"{name} {level}"] for level in levels] for name in ("fine_tuned", "random_at_init"))
    yield (
        f"`fine_tuned` (loss {tuned[0]:+.3f} and {tuned[1]:+.3f}), then `snip`, `synflow` and `grasp` ({at_init[0]}, "
        f"{at_init[1]}), then `random_at_init` ({drawn[0]:+.2f}, {drawn[1]:+.2f})"
    )
    three = _range([accuracy[f"{name} 87.5 %"] for name in ("snip", "synflow", "grasp")], ".0f")
    yield (
        f"At 87.5 % it is that of the accuracies ({accuracy['fine_tuned 87.5 %']:.1f} %, {three} %, "
        f"{accuracy['random_at_init 87.5 %']:.1f} %) but not of the losses"
    )
    found = [accuracy[f"dynamic {level}"] for level in levels]
    highest = all(
        accuracy[f"dynamic {level}"] == max(value for name, value in accuracy.items() if name.endswith(f" {level}"))
        for level in levels
    )
    yield (
        f"`dynamic` is {'' if highest else 'not '}the highest of the pruned networks at each sparsity ({found[0]:.1f}, "
        f"{found[1]:.1f} and {found[2]:.1f} %), at 50 % by {found[0] - accuracy['fine_tuned 50 %']:.1f} points"
    )
    lowest = sorted((loss[name], name.removesuffix(" 87.5 %")) for name in loss if name.endswith(" 87.5 %"))
    yield f"At 87.5 % the mean losses of `{lowest[0][1]}` and `{lowest[1][1]}` are the lowest"
    looks = [_look(row, own["unpruned"]["seeds"][seed]) for name in own if name.startswith("early_bird")
             for seed, row in own[name]["seeds"].items()]  # fmt: skip
    first, epochs = min(looks), own["early_bird 50 %"]["mean"]["epochs"]
    yield (
        f"the ticket is drawn at the {ORDINALS[first]} of {EARLY_BIRD_LOOKS} checks in {looks.count(first)} of "
        f"{len(looks)} runs (epoch {first * epochs / EARLY_BIRD_LOOKS:.0f} of {epochs:,.0f}) and never after the "
        f"{ORDINALS[max(looks)]}"
    )
    yield f"(`set` {100 * own['set 50 %']['mean']['sparsity']:.1f} % for 50 %)"


def _look(row: Mapping[str, Any], unpruned: Mapping[str, Any]) -> int:
    """Returns at which look at the mask a run drew the early bird: its FLOPs without zeros are fewer from there on."""
    saved = 1 - row["training_flops_masked"] / row["training_flops"]
    gone = 1 - row["forward_flops_masked"] / unpruned["forward_flops_masked"]
    return round(EARLY_BIRD_LOOKS * (1 - saved / gone))


def _methods_on_cifar10(own: Mapping[str, Any]) -> Iterator[str]:
    accuracy = {name: 100 * values["mean"]["test_accuracy"] for name, values in own.items()}
    yield f"The unpruned network reaches {accuracy['unpruned']:.1f} %"
    below = {name: accuracy["unpruned"] - value for name, value in accuracy.items() if name.endswith(" 50 %")}
    far = [name for name in below if below[name] > 2]
    near = [below[name] for name in below if name not in far]
    names = [f"`{name.removesuffix(' 50 %')}`" for name in far]
    points = [f"{below[name]:.1f}" for name in far]
    yield (
        f"At 50 % {', '.join(names[:-1])} and {names[-1]} are {', '.join(points[:-1])} and {points[-1]} points below "
        f"the unpruned network, the others {_range(near, '.1f')}, random pruning {below['random_at_init 50 %']:.1f}"
    )
    few = ("synflow", "set", "rigl")
    ends = {name.removesuffix(" 96.9 %"): value for name, value in accuracy.items() if name.endswith(" 96.9 %")}
    yield (
        f"`synflow`, `set` and `rigl` have {_range([ends[name] for name in few], '.0f')} % at 96.9 %, the others "
        f"{_range([value for name, value in ends.items() if name not in few], '.0f')} %"
    )
    trained = ("fine_tuned", "rate_rewinding", "lottery", "gradual", "early_bird", "dynamic")
    for level in ("50 %", "87.5 %", "96.9 %"):
        best = max(trained, key=lambda name: accuracy[f"{name} {level}"])
        against = [_to(own, f"dynamic {level}", f"{name} {level}") for name in ("rate_rewinding", "lottery")]
        yield (
            f"At {level} `{best}` has the highest mean of them ({accuracy[f'{best} {level}']:.1f} %), and `dynamic` "
            f"has {against[0]} points to `rate_rewinding` and {against[1]} to `lottery`"
        )
    same = [accuracy[f"{name} 87.5 %"] for name in ("fine_tuned", "rate_rewinding")]
    yield f"At 87.5 % it has {same[0]:.1f} %, and with learning-rate rewinding the same weights reach {same[1]:.1f} %"
    snip, magnitude = (_to(own, f"{name} 96.9 %", "random_at_init 96.9 %") for name in ("snip", "magnitude_at_init"))
    yield f"At 96.9 % `snip` has {snip} points to random pruning, `magnitude_at_init` {magnitude}"
    times = {name: values["ratio"]["training_time"] for name, values in own.items() if name != "unpruned"}
    synflow = [times.pop(f"synflow {level}") for level in ("50 %", "87.5 %", "96.9 %")]
    yield (
        f"training took {_range(list(times.values()), '.2f')} times the CPU time of the unpruned network's, and "
        f"{_range(synflow, '.2f')} times with `synflow`"
    )


def _range(values: Sequence[float], form: str) -> str:
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low} to {high}"


def _loss(values: Mapping[str, Any], digits: int = 3) -> str:
    return _signed(_interval(values["delta"]), 1, digits)


def _points(values: Mapping[str, Any]) -> str:
    return _signed(_interval(values["accuracy"]), 100, 2)


def _lost(values: Mapping[str, Any]) -> str:
    return _signed(_interval(values["accuracy"]), -100, 2)


def _interval(found: Mapping[str, float]) -> tuple[float, float, float]:
    return found["mean"], found["low"], found["high"]


def _signed(interval: tuple[float, float, float], scale: float, digits: int) -> str:
    mean, low, high = (scale * value for value in interval)
    low, high = sorted((low, high))
    form = f".{digits}f" if low > 0 else f"+.{digits}f"  # what is above 0 throughout is an amount
    return f"{mean:{form}} ({low:{form}} to {high:{form}})"


def _time(values: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    ratios = [row["training_time"] / other["seeds"][seed]["training_time"] for seed, row in values["seeds"].items()]
    mean, low, high = np.exp(t_interval(np.log(ratios)))
    return f"{mean:.2f} ({low:.2f} to {high:.2f})"


def _time_ratios(values: Mapping[str, Any], other: Mapping[str, Any]) -> set[float]:
    return {
        round(row["training_time"] / other["seeds"][seed]["training_time"], 9) for seed, row in values["seeds"].items()
    }


def _reached(values: Mapping[str, Any]) -> int:
    return sum(row["epochs_to_reach"] is not None for row in values["seeds"].values())


def _higher(values: Mapping[str, Any], summary: Mapping[str, Any]) -> int:
    return int(np.sum(differences_of(values["seeds"], summary["unpruned"]["seeds"], "test_loss") > 0))


def _needed(values: Mapping[str, Any]) -> str:
    return f"{values['accuracy']['seeds_needed']:,}"


def _percent(share: float, digits: int = 0) -> str:
    return f"{100 * share:.{digits}f} %"


def _metrics(run: str) -> dict[str, Any]:
    return json.loads((RESULTS / "cifar10" / run / "metrics.json").read_text(encoding="utf-8"))
