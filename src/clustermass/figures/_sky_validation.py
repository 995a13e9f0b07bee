"""A page of panels that compare a simulated sky with published numbers."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clustermass.baselines.scaling_relations import count_rate_relation
from clustermass.errors import InputError
from clustermass.figures import style
from clustermass.figures.inputs import Block, Data, block, dataset, name_of
from clustermass.figures.output import new_figure, styled
from clustermass.figures.style import MASS, signed
from clustermass.io.files import reading
from clustermass.simulate.sources import counts_above
from clustermass.sky_validation import statistics
from clustermass.sky_validation.measure import VARIABLES, above
from clustermass.sky_validation.statistics import Histogram, Running

SIMULATED, SPURIOUS, OBSERVED = style.BLUE, style.VERMILION, style.BLACK
#: count/s (0.2-2.3 keV) of an AGN per erg/s/cm2 (0.5-2 keV), for photon index 1.9 and 3e20 hydrogen atoms per cm2
AGN_RATE_OVER_FLUX = 1.38e12
#: normalisation of the number counts of Moretti et al. 2003, sources per deg2
AGN_NORMALISATION = 6150.0
#: number of fields whose single points are drawn: more points would hide each other
FIELDS_DRAWN = 4
#: dict from the demands in the table to words for them
DEMANDS = {"must": "required", "aim": "desired"}
FLUX_LABEL = "flux, 0.5–2 keV [erg/s/cm²]"
#: options of the points of a scatter plot, and of the markers of simulated means and medians
POINTS: dict[str, Any] = {"marker": ".", "ls": "", "ms": 1.8, "alpha": 0.4, "mew": 0, "rasterized": True}
MEANS: dict[str, Any] = {"marker": "D", "color": SIMULATED, "mec": "white", "mew": 0.6}


@styled
def sky_validation(measured: Data, table: Block) -> Figure:
    """Return a figure that compares a simulated sky with published numbers.

    `measured` and `table` are the contents of `measured.nc` and `sky.json`. In `table` some numbers are required to
    agree with published ones, and others are desired to agree. The title says how many of each kind do.
    """
    data = dataset(measured, VARIABLES)
    if not statistics.chosen(data, "selected").any():
        raise InputError(f"{name_of(measured)}: no selected cluster in it; nothing can be drawn. Enlarge the sky.")
    figure = new_figure(1.2 * style.TWO_COLUMNS_IN, 8.8)
    panels = figure.subplots(3, 3)
    for axes, (title, draw) in zip(panels.flat, PANELS.items(), strict=True):
        draw(axes, data)
        axes.set_title(title, loc="left", fontweight="bold")
    label_page(figure, data, table)
    return figure


def label_page(figure: Figure, data: xr.Dataset, table: Block) -> None:
    """Print above the panels how many numbers in `table` agree as they should, and draw a legend below the panels."""
    with reading(name_of(table), "table of the validation"):
        demands = block(table, "table of the validation")["musts"]
        rows = [(demands[name]["number"], len(demands[name]["failed"]), word) for name, word in DEMANDS.items()]
    words = " and ".join(f"{number - failed} of {number} {word}" for number, failed, word in rows)
    fields = f"{data.sizes['realization']} fields of {float(data['area'].mean()):.0f} deg²"
    figure.suptitle(f"The simulated sky ({fields}) and eFEDS: {words} agreements hold")
    first = figure.axes[0]
    marks = {
        "simulated, selected clusters (mean of the fields)": first.plot([], [], color=SIMULATED, lw=1.5)[0],
        "simulated, spurious candidates": first.plot([], [], color=SPURIOUS, lw=1.5)[0],
        "published": first.plot([], [], "o", color=OBSERVED)[0],
    }
    figure.legend(marks.values(), marks.keys(), loc="outside lower center", ncols=3)


def draw_number_counts(axes: Axes, data: xr.Dataset) -> None:
    """Draw how many clusters per deg2 are brighter than a flux: all simulated ones, selected ones, published ones.

    Fluxes of selected clusters and of eFEDS candidates are those inside 500 kpc, and all other fluxes are those inside
    R500c.
    """
    flux, area = data["flux"].values, float(data["area"].sum())
    everything = data["haloes_above"].sum("realization").values
    selected = above(data["flux_500kpc"].values[statistics.chosen(data, "selected")], flux)
    curves = (
        (everything, r"simulated, all, $F_{500\mathrm{c}}$", style.GREY),
        (selected, r"simulated, selected, $F_{500\,\mathrm{kpc}}$", SIMULATED),
    )
    for number, label, colour in curves:
        axes.loglog(flux, np.where(number > 0, number / area, np.nan), color=colour, label=label)
    for limit in (3e-15, 1e-14, 1e-13):
        density = statistics.published_number(f"density {limit:.0e}").value
        axes.errorbar(limit, density, 0.2 * density, fmt="o", color=OBSERVED, capsize=2, lw=0.8)
    fluxes, number = map(np.array, zip(*statistics.published()["clusters_above_flux"].items(), strict=True))
    density = number / statistics.published()["efeds_deg2"]
    error, label = density / np.sqrt(number), r"eFEDS candidates, $F_{500\,\mathrm{kpc}}$"
    axes.errorbar(fluxes, density, error, fmt="s", mfc="white", color=OBSERVED, lw=0.8, label=label)
    axes.set(xlabel=FLUX_LABEL, ylabel="clusters above the flux, per deg²", ylim=(0.01, 100))
    axes.legend(loc="lower left")
    style.note(axes, "bars: the 20 % allowed", "upper right")


def draw_completeness(axes: Axes, data: xr.Dataset) -> None:
    """Draw the share of detected and the share of selected haloes in bins of flux, with binomial errors."""
    flux = data["flux"].values
    number = -np.diff(data["haloes_above"].values, axis=1).sum(axis=0)
    enough = number >= 10
    centre, number = np.sqrt(flux[:-1] * flux[1:])[enough], number[enough]
    curves = (("detected_above", "detected at all", style.GREY), ("selected_above", "selected", SIMULATED))
    for name, label, colour in curves:
        share = -np.diff(data[name].values, axis=1).sum(axis=0)[enough] / number
        error = np.sqrt(share * (1 - share) / number)
        axes.fill_between(centre, share - error, share + error, color=colour, alpha=0.25, lw=0)
        axes.semilogx(centre, share, color=colour, label=label)
    axes.set(xlabel=FLUX_LABEL, ylabel="share of the simulated clusters", ylim=(0, 1.03))
    axes.legend(loc="upper left")


def draw_point_sources(axes: Axes, data: xr.Dataset) -> None:
    """Draw how many point sources per deg2 exceed a count rate: detected, simulated and published ones."""
    rate, area = data["rate"].values, float(data["area"].sum())
    detected = data["points_above"].sum("realization").values / area
    axes.loglog(rate, np.where(detected > 0, detected, np.nan), color=SIMULATED, label="simulated, DET_LIKE ≥ 6")
    drawn = counts_above(rate / AGN_RATE_OVER_FLUX, AGN_NORMALISATION)
    axes.loglog(rate, drawn, color=style.GREY, ls="--", label="input: Moretti et al. 2003")
    total = statistics.published_number("points 6").value
    axes.axhline(total, color=OBSERVED, lw=0.8, label=f"eFEDS, DET_LIKE ≥ 6: {total:.0f} in all")
    axes.set(xlabel="ML_RATE [count/s]", ylabel="point sources above the rate, per deg²", ylim=(0.1, 2000))
    axes.legend(loc="lower left")
    style.note(axes, f"simulated in all: {float(data['points_6'].sum()) / area:.0f}", "upper right")


def draw_redshifts(axes: Axes, data: xr.Dataset) -> None:
    """Draw the redshift distributions of the selected clusters and of the confirmed eFEDS clusters."""
    redshift = data["redshift"].values[statistics.chosen(data, "selected")]
    draw_histogram(axes, data, redshift, statistics.published_histogram("redshift"), SIMULATED)
    axes.set(xlabel="redshift", ylabel="clusters per field and 0.1 in redshift", xlim=(0, 1.4))
    print_medians(axes, redshift, statistics.published_quantile("redshift", 50).value, 2)


def draw_masses(axes: Axes, data: xr.Dataset) -> None:
    """Draw the distributions of the selected clusters' true masses and of the masses inferred for eFEDS."""
    mass = data["log10_m500c"].values[statistics.chosen(data, "selected")]
    draw_histogram(axes, data, mass, statistics.published_histogram("mass"), SIMULATED)
    axes.set(xlabel=MASS, ylabel="clusters per field and 0.1 dex", xlim=(13, 15))
    more = "\neFEDS: inferred from count\nrates, hence narrower"
    print_medians(axes, mass, statistics.published_quantile("mass", 50).value, 2, more)


def draw_counts(axes: Axes, data: xr.Dataset) -> None:
    """Draw the distributions of the fitted counts of all candidates, of spurious ones, and of the eFEDS candidates."""
    counts, spurious = np.log10(data["ml_cts"].values), statistics.chosen(data, "spurious")
    draw_histogram(axes, data, counts, statistics.published_histogram("log_counts"), style.GREY)
    draw_histogram(axes, data, counts[spurious], statistics.published_histogram("log_counts"), SPURIOUS, observed=False)
    axes.set(xlabel=r"$\log_{10}$ ML_CTS", ylabel="candidates per field and 0.15 dex", xlim=(1.3, 3.5))
    number, real = counts.size / data.sizes["realization"], statistics.published_number("candidates").value
    more = f"\ngrey, all: {number:.0f} (eFEDS {real:.0f})\nspurious: {100 * spurious.mean():.0f} %"
    print_medians(axes, data["ml_cts"].values, statistics.published_quantile("counts", 50).value, 0, more)


def draw_likelihoods(axes: Axes, data: xr.Dataset) -> None:
    """Draw EXT_LIKE against DET_LIKE for candidates of a few fields.

    The medians of the candidates of all fields, and published quantiles, are drawn, too.
    """
    few, spurious = data["field"].values < FIELDS_DRAWN, statistics.chosen(data, "spurious")
    detection, extent = data["det_like"].values, data["ext_like"].values
    for shown, colour in ((few & ~spurious, SIMULATED), (few & spurious, SPURIOUS)):
        axes.plot(detection[shown], extent[shown], color=colour, **POINTS)
    draw_running(axes, detection, extent, statistics.published_running("ext_by_det"))
    axes.set(xscale="log", yscale="log", xlabel="DET_LIKE", ylabel="EXT_LIKE", xlim=(5, 3000), ylim=(6, 2000))
    style.note(axes, "diamonds: simulated medians\ncircles, bars: eFEDS, 16, 50, 84 %")


def draw_mass_relation(axes: Axes, data: xr.Dataset) -> None:
    """Draw the true masses of selected clusters, converted to redshift 0.35, against count rate.

    The relation between count rate, redshift and mass of the eFEDS clusters is used for the conversion. This relation
    and mean masses in bins of count rate are drawn, too.
    """
    chosen = statistics.chosen(data, "selected")
    rate, relation = data["ml_rate"].values, statistics.mass_relation()
    at_pivot = count_rate_relation(np.array(relation["pivot_z"]), relation)
    mass = statistics.offsets_from_relation(data) + at_pivot.log10_mass(rate)
    few = chosen & (data["field"].values < FIELDS_DRAWN)
    axes.plot(rate[few], mass[few], color=SIMULATED, **POINTS)
    edges = np.quantile(rate[chosen], np.linspace(0, 1, 9)) if chosen.sum() >= 80 else np.empty(0)
    for low, high in pairwise(edges):
        inside = chosen & (rate >= low) & (rate <= high)
        axes.plot(np.median(rate[inside]), np.mean(mass[inside]), ls="", **MEANS)
    line = np.array([0.02, 2.0])
    axes.plot(line, at_pivot.log10_mass(line), color=OBSERVED, lw=1.2)
    axes.set(xscale="log", xlabel="ML_RATE [count/s]", ylabel=MASS + ", at $z$ = 0.35", xlim=line, ylim=(13.1, 15.4))
    text = f"mean offset {signed(statistics.mass_offset(data))} dex"
    style.note(axes, f"line: masses of eFEDS follow it\ndiamonds: simulated means\n{text}")


def draw_background(axes: Axes, data: xr.Dataset) -> None:
    """Draw background (count/arcmin2/ks) against exposure (s) for candidates of a few fields.

    The medians of the candidates of all fields, and published quantiles, are drawn, too.
    """
    exposure = data["ml_exp"].values
    level = 1000 * data["ml_bkg"].values / exposure
    few = data["field"].values < FIELDS_DRAWN
    axes.plot(exposure[few], level[few], color=style.GREY, **POINTS)
    draw_running(axes, exposure, level, statistics.published_running("background_by_exposure"))
    axes.set(xlabel="ML_EXP [s]", ylabel="ML_BKG / ML_EXP [count/arcmin²/ks]", xlim=(0, 2600), ylim=(4, 9))
    real = statistics.published_quantile("exposure", 50).value
    style.note(axes, f"median exposure: {np.median(exposure):.0f} s\neFEDS: {real:.0f} s", "upper right")


PANELS = {
    "Clusters on the sky": draw_number_counts,
    "Completeness": draw_completeness,
    "Point sources": draw_point_sources,
    "Redshifts": draw_redshifts,
    "Masses": draw_masses,
    "Fitted counts": draw_counts,
    "Likelihoods": draw_likelihoods,
    "Count rate and mass": draw_mass_relation,
    "Background and exposure": draw_background,
}


def draw_histogram(
    axes: Axes, data: xr.Dataset, values: np.ndarray, real: Histogram, colour: str, observed: bool = True
) -> None:
    """Draw a histogram of simulated `values`, as mean numbers per field, in the bins of the published histogram `real`.

    If `observed` is true, the published numbers are drawn, too, with Poisson errors. Numbers in wider bins are scaled
    to the width of the first bin.
    """
    width = np.diff(real.edges)
    scale = width[0] / width
    counts = scale * np.histogram(values, real.edges)[0] / data.sizes["realization"]
    axes.stairs(counts, real.edges, color=colour, lw=1.4)
    axes.stairs(counts, real.edges, color=colour, fill=True, alpha=0.2 if observed else 0.5)
    if observed:
        centre, filled = 0.5 * (real.edges[:-1] + real.edges[1:]), real.counts > 0
        number, error = scale * real.counts, scale * np.sqrt(real.counts)
        axes.errorbar(centre[filled], number[filled], error[filled], fmt="o", color=OBSERVED, ms=3, lw=0.8)
        axes.set_ylim(0, 1.4 * max(counts.max(), (number + error).max()))


def draw_running(axes: Axes, x: np.ndarray, y: np.ndarray, real: Running) -> None:
    """Draw published quantiles of one quantity in bins of another quantity, and the simulated medians in these bins.

    `real` holds the bins and the quantiles, and `x` and `y` are the simulated values of both quantities. Medians of `y`
    are drawn only in bins with at least ten values.
    """
    members = [(x >= low) & (x < high) for low, high in pairwise(real.edges)]
    enough = [inside for inside in members if inside.sum() >= 10]
    medians = [[np.median(values[inside]) for inside in enough] for values in (x, y)]
    axes.plot(*medians, **MEANS, ms=4.5, zorder=4)
    spread = np.stack([real.median - real.low, real.high - real.median])
    axes.errorbar(real.x, real.median, spread, fmt="o", color=OBSERVED, ms=3.5, lw=0.9, capsize=1.5, zorder=5)


def print_medians(axes: Axes, values: np.ndarray, real: float, decimals: int, more: str = "") -> None:
    """Print the simulated and the published median in the upper right corner, and the text `more` below them."""
    text = f"median {np.median(values):.{decimals}f} (eFEDS {real:.{decimals}f}){more}"
    style.note(axes, text, "upper right")
