"""The figure of weighted training masses: its numbers, and only the same clusters side by side."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from figures_inputs import laid_out, texts

from clustermass.errors import InputError
from clustermass.figures import weighting
from clustermass.io.netcdf import write_netcdf

ROWS = [{"experiment": "fiducial", "weighting": "none"}, {"experiment": "even", "weighting": "uniform_mass"}]


def predictions(path: Path, slope: float, sigma: float, first: int = 0) -> Path:
    """Write 200 test clusters, and others of no concern, whose residuals are exactly `slope` times mass - 14."""
    n = 300
    mass = np.linspace(13.2, 14.8, n)
    columns = {
        "split": np.repeat(["train", "test"], [100, 200]),
        "log10_m500c": mass,
        "mu": mass + slope * (mass - 14),
        "sigma_calibrated": np.where(np.arange(n) < 100, 9.0, sigma),
    }
    ids = [f"01_{first + i}" for i in range(n)]
    table = xr.Dataset({name: ("cluster", values) for name, values in columns.items()}, {"cluster": ids})
    write_netcdf(table, path, "test", {"source": "test"})
    return path


def draw(folder: Path, paths: list[Path]) -> tuple[Path, Path]:
    weighting(paths, ROWS, svg=folder / "weighting.svg", pdf=folder / "weighting.pdf")
    return folder / "weighting.svg", folder / "weighting.pdf"


@pytest.fixture
def pair(tmp_path: Path) -> list[Path]:
    return [predictions(tmp_path / "plain.nc", -0.3, 0.14), predictions(tmp_path / "even.nc", -0.1, 0.19)]


def test_numbers_of_both_are_printed_and_drawn(pair: list[Path]) -> None:
    printed = texts(laid_out(weighting(pair, ROWS)))
    mass = np.linspace(13.2, 14.8, 300)[100:]
    for slope, sigma in ((-0.3, 0.14), (-0.1, 0.19)):
        residual = slope * (mass - 14)
        assert f"bias {residual.mean():+.3f}, scatter {residual.std():.3f}".replace("-", "−") in printed
        assert f"mean {sigma:.3f}" in printed
    assert "Training with and without weights, the same 200 test clusters" in printed
    assert {"fiducial (weighting: none)", "even (weighting: uniform mass)"} <= set(printed)


def test_same_bytes_twice(pair: list[Path], tmp_path: Path) -> None:
    first, second = draw(tmp_path / "a", pair), draw(tmp_path / "b", pair)
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_other_test_clusters_are_refused(pair: list[Path], tmp_path: Path) -> None:
    other = predictions(tmp_path / "other.nc", -0.1, 0.19, first=1)
    with pytest.raises(InputError, match=r"other\.nc: holds other test clusters"):
        draw(tmp_path, [pair[0], other])
    with pytest.raises(InputError, match="no pair"):
        weighting([], [])
