"""Mass-redshift plane of all simulated haloes and of the selected clusters, as Fig. 2 of Krippendorf et al. (2023)."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from astropy.io import fits
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from clustermass.errors import InputError
from clustermass.figures import style
from clustermass.figures.style import MASS
from clustermass.io.files import reading
from clustermass.io.netcdf import read_netcdf

BINS = 40


@style.saved
def plot_sample(truth: Sequence[Path], ensemble: Path) -> Figure:
    """Draw all selected clusters of `ensemble.nc` on the density of all haloes, with distributions of both."""
    halo_z, halo_mass = read_haloes(truth)
    selected = read_netcdf(ensemble, require=["redshift", "log10_m500c"])
    z, mass = selected["redshift"].values, selected["log10_m500c"].values
    if z.size == 0:
        raise InputError(f"{ensemble}: no cluster in it; the sample can't be drawn. Widen the selection.")
    figure = style.new_figure(5.2, 4.2)
    plane, top, right = joint_axes(figure)
    z_edges = np.linspace(0, 1.02 * max(halo_z.max(), z.max()), BINS + 1)
    mass_edges = np.linspace(min(halo_mass.min(), mass.min()), max(halo_mass.max(), mass.max()) + 0.05, BINS + 1)
    density = np.ma.masked_equal(np.histogram2d(halo_z, halo_mass, bins=(z_edges, mass_edges))[0].T, 0)
    grey = plane.pcolormesh(z_edges, mass_edges, density, norm=LogNorm(), cmap="Greys", rasterized=True)
    plane.scatter(z, mass, s=3, c=style.BLUE, alpha=0.5, lw=0, rasterized=z.size > style.RASTERISE_ABOVE)
    plane.set(xlabel="redshift", ylabel=MASS, xlim=z_edges[[0, -1]], ylim=mass_edges[[0, -1]])
    draw_margin(partial(top.hist, orientation="vertical"), z, halo_z, z_edges)
    draw_margin(partial(right.hist, orientation="horizontal"), mass, halo_mass, mass_edges)
    top.set(ylabel="number")
    right.set(xlabel="number")
    bar = partial(figure.colorbar, location="bottom", aspect=50, shrink=0.75, anchor=(0, 0.5))
    bar(grey, ax=[plane, right], label="all haloes per cell")
    figure.legend(*top.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def read_haloes(truth: Sequence[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Redshift and log10(M500c / Msun) of all haloes of all realizations, (halo,) each; InputError without any."""
    columns = [np.empty((2, 0))]
    for path in truth:
        with reading(path, "table TRUTH"), fits.open(path, memmap=False) as hdus:
            columns.append(np.array([hdus["TRUTH"].data[name] for name in ("Z", "LOG10_M500C")], dtype=float))
    redshift, mass = np.concatenate(columns, axis=1)
    if redshift.size == 0:
        raise InputError(f"{len(truth)} truth file(s) without a single halo; the sample can't be drawn.")
    return redshift, mass


def joint_axes(figure: Figure) -> tuple[Axes, Axes, Axes]:
    """Return a large panel, a flat one above it and a narrow one to its right that share its axes."""
    grid = figure.add_gridspec(2, 2, width_ratios=[3.2, 1], height_ratios=[1, 3.2])
    plane = figure.add_subplot(grid[1, 0])
    top = figure.add_subplot(grid[0, 0], sharex=plane)
    right = figure.add_subplot(grid[1, 1], sharey=plane)
    top.tick_params(labelbottom=False)
    right.tick_params(labelleft=False)
    return plane, top, right


def draw_margin(hist: Callable[..., object], selected: np.ndarray, haloes: np.ndarray, edges: np.ndarray) -> None:
    """Draw the histograms of all haloes and of the selected clusters on a logarithmic scale."""
    histogram = partial(hist, bins=edges.tolist(), log=True)
    histogram(haloes, color=style.LIGHT_GREY, label=f"haloes that send photons, n = {haloes.size:,}")
    histogram(selected, histtype="step", color=style.BLUE, lw=1.2, label=f"selected clusters, n = {selected.size:,}")
