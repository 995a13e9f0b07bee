"""One page: the simulated sky beside published numbers, panel by panel."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clustermass.errors import InputError
from clustermass.figures import style
from clustermass.figures.labels import MASS
from clustermass.io.files import atomic
from clustermass.simulate.agn import counts_above
from clustermass.sky_validation import published, statistics
from clustermass.sky_validation.measure import read_measured
from clustermass.sky_validation.published import Histogram, Running

SIMULATED, SPURIOUS, OBSERVED = style.BLUE, style.VERMILION, style.BLACK
#: count/s (0.2-2.3 keV) of an AGN per erg/s/cm2 (0.5-2 keV): photon index 1.9, 3e20 hydrogen atoms per cm2
AGN_RATE_OVER_FLUX = 1.38e12
#: of Moretti et al. 2003, sources per deg2
AGN_NORMALISATION = 6150.0
#: every point of a scatter plot above this number of realizations would only blacken it
FIELDS_DRAWN = 4
FLUX_LABEL = "flux, 0.5–2 keV [erg/s/cm²]"


@style.styled
def plot_sky_validation(measured: Path, table: Path, png: Path, pdf: Path, dpi: int) -> None:
    """Draw what was measured on the simulated fields beside published numbers.

    Parameters
    ----------
    measured
        `measured.nc` of `sky_validation.table.validate`.
    table
        `sky.json` of the same: how many of its lines hold stands above the panels.
    png, pdf
        Files to write.
    dpi
        Resolution of the PNG, dots per inch.

    Raises
    ------
    InputError
        A file is missing or damaged, or there is no selected cluster.
    """
    data = read_measured(measured)
    if not statistics.chosen(data, "selected").any():
        raise InputError(f"{measured}: no selected cluster in it; nothing can be drawn. Enlarge the sky.")
    figure = style.new_figure(1.4 * style.TWO_COLUMNS_IN, 9.2)
    panels = figure.subplots(3, 3)
    for axes, (title, draw) in zip(panels.flat, PANELS.items(), strict=True):
        draw(axes, data)
        axes.set_title(title, loc="left", fontweight="bold")
    label_page(figure, data, table)
    # the layout takes longer than the drawing: once for both files
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    style.save_png(figure, png, dpi)
    with atomic(pdf) as temporary:
        facts = {"CreationDate": None, "Subject": style.made_by()}
        figure.savefig(temporary, format="pdf", dpi=style.RASTER_DPI, metadata=facts)


def label_page(figure: Figure, data: xr.Dataset, table: Path) -> None:
    """Write above the panels how many lines of the table hold, and below them what the marks mean."""
    try:
        asked = json.loads(Path(table).read_text(encoding="utf-8"))["musts"]
        words = [
            f"{asked[d]['number'] - len(asked[d]['failed'])} of {asked[d]['number']} {d}s" for d in ("must", "aim")
        ]
    except (OSError, ValueError, KeyError) as fault:
        raise InputError(f"{table}: no readable table of the validation ({fault}). Delete it and run again.") from fault
    number, area = data.sizes["realization"], float(data["area"].mean())
    figure.suptitle(
        f"The simulated sky ({number} fields of {area:.0f} deg²) and eFEDS: {words[0]} and {words[1]} of the table hold"
    )
    marks: list[Any] = [
        figure.axes[0].plot([], [], color=SIMULATED, lw=1.5)[0],
        figure.axes[0].plot([], [], color=SPURIOUS, lw=1.5)[0],
        figure.axes[0].plot([], [], "o", color=OBSERVED)[0],
    ]
    meaning = ["simulated, selected clusters (mean of the fields)", "simulated, spurious candidates", "published"]
    figure.legend(marks, meaning, loc="outside lower center", ncols=3)


def draw_number_counts(axes: Axes, data: xr.Dataset) -> None:
    """Clusters per deg2 above a flux: all simulated ones, the selected, and published numbers."""
    flux, area = data["flux"].values, float(data["area"].sum())
    truth, selected = (data[name].sum("realization").values / area for name in ("haloes_above", "selected_above"))
    axes.loglog(flux, no_zeros(truth), color=style.GREY, label="simulated, all")
    axes.loglog(flux, no_zeros(selected), color=SIMULATED, label="simulated, selected")
    for limit in (3e-15, 1e-14, 1e-13):
        density = published.number(f"density {limit:.0e}").value
        axes.errorbar(limit, density, 0.2 * density, fmt="o", color=OBSERVED, capsize=2, lw=0.8)
    found = published.tables()["clusters_above_flux"]
    density = np.array(list(found.values())) / published.tables()["efeds_deg2"]
    axes.errorbar(
        list(found), density, density / np.sqrt(list(found.values())), fmt="s", mfc="white", color=OBSERVED, lw=0.8,
        label=r"eFEDS candidates, $F_{500\,\mathrm{kpc}}$",
    )  # fmt: skip
    axes.set(xlabel=FLUX_LABEL, ylabel="clusters above the flux, per deg²", ylim=(0.01, 100))
    axes.legend(loc="lower left")
    style.note(axes, "bars: the 20 % allowed", "upper right")


def draw_completeness(axes: Axes, data: xr.Dataset) -> None:
    """Share of the haloes that is detected and selected in bins of flux; the band is the spread of the fields."""
    flux = data["flux"].values
    centre = np.sqrt(flux[:-1] * flux[1:])
    haloes = -np.diff(data["haloes_above"].values, axis=1)
    for name, label, colour in (
        ("detected_above", "detected at all", style.GREY),
        ("selected_above", "selected", SIMULATED),
    ):
        found = -np.diff(data[name].values, axis=1)
        enough = haloes.sum(axis=0) >= 10
        share = found.sum(axis=0)[enough] / haloes.sum(axis=0)[enough]
        error = np.sqrt(share * (1 - share) / haloes.sum(axis=0)[enough])
        axes.fill_between(centre[enough], share - error, share + error, color=colour, alpha=0.25, lw=0)
        axes.semilogx(centre[enough], share, color=colour, label=label)
    axes.set(xlabel=FLUX_LABEL, ylabel="share of the simulated clusters", ylim=(0, 1.03))
    axes.legend(loc="upper left")


def draw_point_sources(axes: Axes, data: xr.Dataset) -> None:
    """Point sources per deg2 above a count rate, the input number counts and the published total."""
    rate, area = data["rate"].values, float(data["area"].sum())
    found = data["points_above"].sum("realization").values / area
    axes.loglog(rate, no_zeros(found), color=SIMULATED, label="simulated, DET_LIKE ≥ 6")
    drawn = counts_above(rate / AGN_RATE_OVER_FLUX, AGN_NORMALISATION)
    axes.loglog(rate, drawn, color=style.GREY, ls="--", label="input: Moretti et al. 2003")
    total = published.number("points 6").value
    axes.axhline(total, color=OBSERVED, lw=0.8, label=f"eFEDS, DET_LIKE ≥ 6: {total:.0f} in all")
    axes.set(xlabel="ML_RATE [count/s]", ylabel="point sources above the rate, per deg²", ylim=(0.1, 2000))
    axes.legend(loc="lower left")
    all_found = float(data["points_6"].sum()) / area
    style.note(axes, f"simulated in all: {all_found:.0f}", "upper right")


def draw_redshifts(axes: Axes, data: xr.Dataset) -> None:
    """Distribution of redshifts of the selected clusters and of the confirmed ones."""
    chosen = statistics.chosen(data, "selected")
    draw_histogram(axes, data, data["redshift"].values[chosen], published.histogram("redshift"), SIMULATED)
    axes.set(xlabel="redshift", ylabel="clusters per field and 0.1 in redshift", xlim=(0, 1.4))
    tell_medians(axes, data["redshift"].values[chosen], published.quantile("redshift", 50).value, 2)


def draw_masses(axes: Axes, data: xr.Dataset) -> None:
    """Distribution of true masses of the selected clusters, and of masses inferred for eFEDS."""
    chosen = statistics.chosen(data, "selected")
    draw_histogram(axes, data, data["log10_m500c"].values[chosen], published.histogram("mass"), SIMULATED)
    axes.set(xlabel=MASS, ylabel="clusters per field and 0.1 dex", xlim=(13, 15))
    tell_medians(axes, data["log10_m500c"].values[chosen], published.quantile("mass", 50).value, 2)
    style.note(axes, "eFEDS: inferred\nfrom count rates,\nhence narrower")


def draw_counts(axes: Axes, data: xr.Dataset) -> None:
    """Distribution of the fitted counts of all candidates, the spurious ones apart."""
    counts, spurious = np.log10(data["ml_cts"].values), ~statistics.chosen(data, "selected")
    draw_histogram(axes, data, counts, published.histogram("log_counts"), style.GREY)
    draw_histogram(axes, data, counts[spurious], published.histogram("log_counts"), SPURIOUS, observed=False)
    axes.set(xlabel=r"$\log_{10}$ ML_CTS", ylabel="candidates per field and 0.15 dex", xlim=(1.3, 3.5))
    number, real = counts.size / data.sizes["realization"], published.number("candidates").value
    more = f"\ngrey, all: {number:.0f} (eFEDS {real:.0f})\nspurious: {100 * spurious.mean():.0f} %"
    tell_medians(axes, data["ml_cts"].values, published.quantile("counts", 50).value, 0, more)


def draw_likelihoods(axes: Axes, data: xr.Dataset) -> None:
    """Both likelihoods of the candidates of a few fields, and published quantiles."""
    few = data["field"].values < FIELDS_DRAWN
    for kind, colour in (
        (statistics.chosen(data, "selected"), SIMULATED),
        (~statistics.chosen(data, "selected"), SPURIOUS),
    ):
        shown = few & kind
        axes.plot(
            data["det_like"].values[shown], data["ext_like"].values[shown], ".", color=colour, ms=1.8, alpha=0.4,
            mew=0, rasterized=True,
        )  # fmt: skip
    draw_running_median(axes, data["det_like"].values, data["ext_like"].values, published.running("ext_by_det"))
    draw_running(axes, published.running("ext_by_det"))
    axes.set(xscale="log", yscale="log", xlabel="DET_LIKE", ylabel="EXT_LIKE", xlim=(5, 3000), ylim=(6, 2000))
    style.note(axes, "diamonds: simulated medians\ncircles, bars: eFEDS, 16, 50, 84 %")


def draw_mass_relation(axes: Axes, data: xr.Dataset) -> None:
    """Draw true mass against count rate, moved to z = 0.35 by the relation that the masses of eFEDS follow."""
    chosen = statistics.chosen(data, "selected")
    few = chosen & (data["field"].values < FIELDS_DRAWN)
    rate, relation = data["ml_rate"].values, published.mass_relation()
    offset = np.full(rate.shape, np.nan)
    offset[chosen] = statistics.offsets_from_relation(data)
    expected = relation["log10_mass"] + relation["slope_rate"] * np.log10(rate / relation["pivot_rate"])
    mass = offset + expected
    axes.plot(rate[few], mass[few], ".", color=SIMULATED, ms=1.8, alpha=0.4, mew=0, rasterized=True)
    edges = np.quantile(rate[chosen], np.linspace(0, 1, 9)) if chosen.sum() >= 80 else np.empty(0)
    for low, high in pairwise(edges):
        inside = chosen & (rate >= low) & (rate <= high)
        axes.plot(np.median(rate[inside]), np.mean(mass[inside]), "D", color=SIMULATED, mec="white", mew=0.6)
    line = np.array([0.02, 2.0])
    expected_line = relation["log10_mass"] + relation["slope_rate"] * np.log10(line / relation["pivot_rate"])
    axes.plot(line, expected_line, color=OBSERVED, lw=1.2)
    axes.set(xscale="log", xlabel="ML_RATE [count/s]", ylabel=MASS + ", at $z$ = 0.35", xlim=line, ylim=(13.1, 15.4))
    text = f"{statistics.mass_offset(data):+.3f}".replace("-", "−")
    style.note(axes, f"line: masses of eFEDS follow it\ndiamonds: simulated means\nmean offset {text} dex")


def draw_background(axes: Axes, data: xr.Dataset) -> None:
    """Background rate against exposure of the candidates of a few fields, and published quantiles."""
    exposure = data["ml_exp"].values
    level = 1000 * data["ml_bkg"].values / exposure
    few = data["field"].values < FIELDS_DRAWN
    axes.plot(exposure[few], level[few], ".", color=style.GREY, ms=1.8, alpha=0.4, mew=0, rasterized=True)
    draw_running_median(axes, exposure, level, published.running("background_by_exposure"))
    draw_running(axes, published.running("background_by_exposure"))
    axes.set(xlabel="ML_EXP [s]", ylabel="ML_BKG / ML_EXP [count/arcmin²/ks]", xlim=(0, 2600), ylim=(4, 9))
    medians = published.quantile("exposure", 50).value, float(np.median(exposure))
    style.note(axes, f"median exposure: {medians[1]:.0f} s\neFEDS: {medians[0]:.0f} s", "upper right")


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
    """Draw the mean number per field in each bin, and the published numbers with their square roots as errors.

    In bins wider than the first one the number is that in the first one's width.
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
        axes.set_ylim(0, 1.25 * max(counts.max(), (number + error).max()))


def draw_running(axes: Axes, real: Running) -> None:
    """Draw published medians, with the range from 16 to 84 % as bars."""
    spread = np.stack([real.median - real.low, real.high - real.median])
    axes.errorbar(real.x, real.median, spread, fmt="o", color=OBSERVED, ms=3.5, lw=0.9, capsize=1.5, zorder=5)


def draw_running_median(axes: Axes, x: np.ndarray, y: np.ndarray, real: Running) -> None:
    """Draw the simulated medians in the bins of the published ones, where there are ten values or more."""
    members = [(x >= low) & (x < high) for low, high in pairwise(real.edges)]
    enough = [inside for inside in members if inside.sum() >= 10]
    axes.plot(
        [np.median(x[inside]) for inside in enough], [np.median(y[inside]) for inside in enough], "-D",
        color=SIMULATED, mec="white", mew=0.6, ms=4.5, zorder=4,
    )  # fmt: skip


def tell_medians(axes: Axes, values: np.ndarray, real: float, decimals: int, more: str = "") -> None:
    """Print the simulated and the published median in the upper right corner, and `more` below."""
    text = f"median {np.median(values):.{decimals}f} (eFEDS {real:.{decimals}f}){more}"
    style.note(axes, text, "upper right")


def no_zeros(values: np.ndarray) -> np.ndarray:
    """Replace zeros by NaN, which a logarithmic axis leaves out."""
    return np.where(values > 0, values, np.nan)
