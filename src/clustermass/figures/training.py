"""Training curves of all members of an ensemble, as in Fig. 3 (right) of Krippendorf et al. (2023)."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clustermass.errors import InputError
from clustermass.figures import style
from clustermass.io.netcdf import read_netcdf

#: loss in `clustermass.network.losses` -> label of its axis
LOSSES = {
    "likelihood": "mean negative log-likelihood",
    "squared_log": "mean squared error of log mass / variance",
    "percentage": "mean percentage error of log mass",
    "squared_log1p": "mean squared logarithmic error, scaled",
    "classification": "mean cross entropy",
}
CURVES = {"train_loss": ("training", style.BLUE), "val_loss": ("validation", style.VERMILION)}


@style.saved
def plot_training(members: Sequence[Path]) -> Figure:
    """Draw training loss, validation loss and learning rate of each member (`members/{member}.nc`) by epoch."""
    histories = [read_history(path) for path in members]
    if not histories:
        raise InputError("no ensemble member is given; set ensemble.members to 1 or more.")
    figure = style.new_figure(style.TWO_COLUMNS_IN, 2.7)
    losses, rates = figure.subplots(1, 2, width_ratios=[2.1, 1])
    for name, (label, colour) in CURVES.items():
        for history in histories:
            losses.plot(history["epoch"], history[name], color=colour, lw=0.5, alpha=0.45)
        # members may have stopped at different epochs
        together = xr.concat([history[name] for history in histories], dim="member", join="outer")
        losses.plot(together["epoch"], together.median("member"), color=colour, lw=1.8, label=label)
    mark_epochs(losses, histories)
    recipe = json.loads(histories[0].attrs.get("parameters", "{}")).get("recipe", {})
    losses.set(xlabel="epoch", ylabel=LOSSES[recipe.get("loss", "likelihood")])
    # limits that leave out the steep fall of the first epochs
    values = np.concatenate([history[name].values for history in histories for name in CURVES])
    low, high = np.percentile(values[np.isfinite(values)], [0, 97])
    margin = 0.08 * max(high - low, 0.01)
    losses.set_ylim(low - margin, high + margin)
    losses.set_title(f"n = {len(histories)} members (thin) and their median (thick)", loc="left")
    losses.legend(loc="upper right")
    for history in histories:
        rates.semilogy(history["epoch"], history["learning_rate"], color=style.GREEN, lw=0.8, alpha=0.7)
    rates.set(xlabel="epoch", ylabel="learning rate")
    return figure


def read_history(path: Path) -> xr.Dataset:
    """Return a member's losses and learning rate, (epoch,) each, with the attributes `best_epoch` and `kept_epoch`."""
    history = read_netcdf(path, require=["epoch", "learning_rate", *CURVES])
    if history.sizes["epoch"] == 0:
        raise InputError(f"{path}: a training of no epoch. Set training epochs to 1 or more.")
    if not {"best_epoch", "kept_epoch"} <= set(history.attrs):
        raise InputError(f"{path}: lacks the attribute best_epoch or kept_epoch. Delete it and run again.")
    return history


def mark_epochs(axes: Axes, histories: Sequence[xr.Dataset]) -> None:
    """Mark the lowest validation loss of each member, and its validation loss at the epoch whose weights are kept."""
    draw = partial(axes.plot, mfc="none", mec=style.BLACK, mew=0.8, zorder=5, clip_on=False)
    marks = (("best_epoch", "o", 4.0, "lowest validation loss"), ("kept_epoch", "s", 6.0, "weights kept"))
    for attribute, marker, size, label in marks:
        epochs = [int(history.attrs[attribute]) for history in histories]
        losses = [float(history["val_loss"].sel(epoch=e)) for e, history in zip(epochs, histories, strict=True)]
        draw(epochs, losses, marker, ms=size, label=label)
