"""Training curves of all members of an ensemble, as in Fig. 3 (right) of Krippendorf et al. (2023)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clustermass.errors import InputError
from clustermass.figures import style
from clustermass.figures.inputs import Data, dataset, name_of
from clustermass.figures.output import new_figure, styled

#: dict from losses in `clustermass.network.losses` to labels of their axes
LOSSES = {
    "likelihood": "mean negative log-likelihood",
    "squared_log": "mean squared error of log mass / variance",
    "percentage": "mean percentage error of log mass",
    "squared_log1p": "mean squared logarithmic error, scaled",
    "classification": "mean cross entropy",
}
CURVES = {"train_loss": ("training", style.BLUE, "-"), "val_loss": ("validation", style.VERMILION, "--")}


@styled
def training(members: Sequence[Data]) -> Figure:
    """Return a figure of training loss, validation loss and learning rate of each member against the epoch.

    Each of `members` is the history of a member (`members/{member}.nc`). It holds `train_loss`, `val_loss` and
    `learning_rate`, (epoch,) each.
    """
    histories = [read_history(member) for member in members]
    if not histories:
        raise InputError("no ensemble member is given; set ensemble.members to 1 or more.")
    figure = new_figure(style.TWO_COLUMNS_IN, 3.3)
    losses, rates = figure.subplots(2, 1, sharex=True, height_ratios=[4.5, 1])
    draw_losses(losses, histories)
    for history in histories:
        rates.semilogy(history["epoch"], history["learning_rate"], color=style.GREY, lw=0.8)
    rates.set(xlabel="epoch", ylabel="learning\nrate")
    return figure


def draw_losses(axes: Axes, histories: Sequence[xr.Dataset]) -> None:
    """Draw the losses of each member against the epoch, and their medians if there are several members.

    The limits of the axis leave out the steep fall of the losses in the first epochs.
    """
    several = len(histories) > 1
    thin: dict[str, Any] = {"lw": 0.5, "alpha": 0.45} if several else {"lw": 1.4}
    for name, (label, colour, dashes) in CURVES.items():
        lines = [axes.plot(history["epoch"], history[name], dashes, color=colour, **thin)[0] for history in histories]
        lines[0].set_label(f"{label}, each member" if several else label)
        if several:
            # members may have stopped at different epochs
            together = xr.concat([history[name] for history in histories], dim="member", join="outer")
            median = together.median("member")
            axes.plot(together["epoch"], median, dashes, color=colour, lw=1.8, label=f"{label}, median")
    mark_epochs(axes, histories)
    recipe = json.loads(histories[0].attrs.get("parameters", "{}")).get("recipe", {})
    values = np.concatenate([history[name].values for history in histories for name in CURVES])
    low, high = np.percentile(values[np.isfinite(values)], [0, 97])
    margin = 0.08 * max(high - low, 0.01)
    axes.set(ylabel=LOSSES[recipe.get("loss", "likelihood")], ylim=(low - margin, high + margin))
    axes.set_title("1 network" if not several else f"{len(histories)} networks", loc="left")
    axes.legend(loc="upper right", ncols=2)


def read_history(member: Data) -> xr.Dataset:
    """Return a member's losses and learning rate, (epoch,) each, with the attributes `best_epoch` and `kept_epoch`."""
    history = dataset(member, ["epoch", "learning_rate", *CURVES])
    if history.sizes["epoch"] == 0:
        raise InputError(f"{name_of(member)}: a training of no epoch. Set training epochs to 1 or more.")
    if not {"best_epoch", "kept_epoch"} <= set(history.attrs):
        message = "lacks the attribute best_epoch or kept_epoch. Delete it and run again."
        raise InputError(f"{name_of(member)}: {message}")
    return history


def mark_epochs(axes: Axes, histories: Sequence[xr.Dataset]) -> None:
    """Mark two validation losses of each member: the lowest one, and that of the epoch whose weights are kept."""
    draw = partial(axes.plot, mfc="none", mec=style.BLACK, mew=0.8, zorder=5, clip_on=False)
    marks = (("best_epoch", "o", 4.0, "lowest validation loss"), ("kept_epoch", "s", 6.0, "weights kept"))
    for attribute, marker, size, label in marks:
        epochs = [int(history.attrs[attribute]) for history in histories]
        losses = [float(history["val_loss"].sel(epoch=e)) for e, history in zip(epochs, histories, strict=True)]
        draw(epochs, losses, marker, ms=size, label=label)
