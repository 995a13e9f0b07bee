"""Injected clusters: predicted against true masses of those that are detected, and the share that is detected."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clustermass.apply.recovered import joined, residuals, summarise
from clustermass.arrays import FloatArray
from clustermass.figures import style
from clustermass.figures.output import new_figure, styled
from clustermass.figures.style import PREDICTED_MASS, TRUE_MASS, draw_equality, note, signed


@styled
def recovered(tables: Sequence[Path]) -> Figure:
    """Return a figure of injected clusters: predicted against true masses, and the detected share against the flux.

    Each of `tables` is a file `recovered.fits` of `clustermass recovered`. They count together.
    """
    rows, result = joined(tables), summarise(tables)
    figure = new_figure(style.TWO_COLUMNS_IN, 3.4)
    left, right = figure.subplots(1, 2)
    true = np.asarray(rows["LOG10_M500C"], dtype=float)
    _draw_masses(left, true, residuals(rows), np.asarray(rows["LOGM500_ERR"], dtype=float))
    all_of = result["all"]
    text = f"{all_of['detected']} of {all_of['injected']} detected"
    if all_of["bias_dex"] is not None:
        bias = f"{signed(all_of['bias_dex'])} ± {all_of['bias_dex_error']:.3f} dex"
        text += f"\nbias {bias}\nscatter {all_of['scatter_dex']:.3f} ± {all_of['scatter_dex_error']:.3f} dex"
    note(left, text)
    bins = [row for row in result["by_log10_flux_cgs"] if row["injected"]]
    share, error, low, high = (
        np.array([row[name] for row in bins]) for name in ("completeness", "completeness_error", "low", "high")
    )
    high = np.minimum(high, np.log10(np.asarray(rows["FLUX"], dtype=float)).max())
    centre = (low + high) / 2
    right.errorbar(centre, share, yerr=error, xerr=[centre - low, high - centre], fmt="o", color=style.BLUE)
    right.set(xlabel=r"$\log_{10}$ flux inside $R_{500c}$ [erg/s/cm$^2$], 0.5–2 keV", ylabel="detected share")
    right.set_ylim(-0.05, 1.05)
    return figure


def _draw_masses(axes: Axes, true: FloatArray, residual: FloatArray, error: FloatArray) -> None:
    """Draw predicted against true log10 masses with their errors."""
    known = np.isfinite(residual)
    x, y, bars = true[known], (true + residual)[known], error[known]
    axes.errorbar(x, y, yerr=bars, fmt="o", ms=2.5, lw=0.5, color=style.BLUE, alpha=0.6)
    ends = np.concatenate([x, y]) if len(x) else np.array([13.5, 15.0])
    draw_equality(axes, (float(ends.min()) - 0.1, float(ends.max()) + 0.1))
    axes.set(xlabel=TRUE_MASS, ylabel=PREDICTED_MASS)
