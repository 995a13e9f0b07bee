"""The figure of the members' spread: the right clusters, the right neighbours, in the right places."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from astropy.coordinates import SkyCoord
from astropy.io import fits
from figures_inputs import laid_out, texts
from matplotlib.figure import Figure

from clustermass.errors import InputError
from clustermass.figures._sample import pixels_of
from clustermass.figures._spread import (
    brightest_neighbour,
    median_error,
    neighbours,
    sources,
    spread,
    spreads,
)
from clustermass.figures.output import KINDS
from clustermass.io.fits import write_fits
from clustermass.io.netcdf import read_netcdf, write_netcdf

N, MEMBERS = 30, 4
MADE = {"source": "test"}
LOW = 0.25 + 0.205 * np.arange(10)


def table(path: Path, name: str, **columns: np.ndarray) -> Path:
    made = [fits.Column(key, {"i": "K", "f": "D"}[v.dtype.kind], array=v) for key, v in columns.items()]
    write_fits(fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(made, name=name)]), path)
    return path


def around(ra: np.ndarray, dec: np.ndarray, west: float, north: float) -> tuple[np.ndarray, np.ndarray]:
    """Positions at some distance in arcsec, by astropy."""
    centre = SkyCoord(ra, dec, unit="deg")
    moved = centre.spherical_offsets_by(-west / 3600 * centre.ra.unit, north / 3600 * centre.ra.unit)
    return moved.ra.deg, moved.dec.deg


def make_sky(folder: Path, realization: str, rng: np.random.Generator) -> None:
    """Write distant clusters; every second one has a point source of 3 times its counts 100" West and 40" North."""
    number = np.arange(N)
    ra, dec = 130.0 + 0.7 * number, -2 + 4 * rng.random(N)
    counts = rng.uniform(50, 500, N)
    near_ra, near_dec = around(ra[::2], dec[::2], 100.0, 40.0)
    far_ra, far_dec = around(ra, dec, 400.0, 0.0)
    table(
        folder / f"catalogue_{realization}.fits",
        "CATALOGUE",
        ID_SRC=np.concatenate([number, 100 + number[::2], 200 + number]),
        RA=np.concatenate([ra, near_ra, far_ra]),
        DEC=np.concatenate([dec, near_dec, far_dec]),
        EXT_LIKE=np.concatenate([np.full(N, 20.0), np.zeros(N // 2 + N)]),
        ML_CTS=np.concatenate([counts, 3 * counts[::2], 50 * counts]),
    )
    halo_id = 2**60 + number
    radius = np.where(number % 3, 2.0, np.nan)
    table(folder / f"truth_{realization}.fits", "TRUTH", HALO_ID=halo_id, RA=ra, DEC=dec, R500_ARCMIN=radius)
    x = 12.0 * (np.arange(100) - 49.5)
    cube = rng.poisson(0.1, (N, 10, 100, 100)).astype(np.uint16)
    cube[::2, :, 53, 58] += 9  # x = 102", y = 42"
    images = xr.Dataset(
        {
            "counts": (("cluster", "band", "y", "x"), cube),
            "band_bounds": (("band", "edge"), np.stack([LOW, LOW + 0.205], axis=1)),
            "ra": ("cluster", ra),
            "dec": ("cluster", dec),
            "realization": ("cluster", [realization] * N),
        },
        {"cluster": [f"{realization}_{i}" for i in number], "band": LOW + 0.1025, "x": x, "y": x},
    )
    write_netcdf(images, folder / f"images_{realization}.nc", "test", MADE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("spread")
    rng = np.random.default_rng(50)
    for realization in ("01", "02"):
        make_sky(made, realization, rng)
    ids = [f"{r}_{i}" for r in ("01", "02") for i in range(N)]
    total = len(ids)
    mu = rng.uniform(13.5, 14.8, total) + 0.01 * rng.normal(size=(MEMBERS, total))
    split = np.resize(["test", "test", "train"], total)
    # the ends of the test set; a training cluster has a larger spread still
    mu[:, ids.index("02_7")] = [14.0, 14.3, 14.1, 14.1]
    mu[:, ids.index("01_4")] = [14.0, 14.0001, 14.0, 14.0]
    mu[:, ids.index("01_2")] = [13.0, 15.0, 14.0, 14.0]
    columns = {
        "split": split,
        "log10_m500c": rng.uniform(13.5, 14.8, total),
        "realization": np.repeat(["01", "02"], N),
        "halo_id": 2**60 + np.tile(np.arange(N), 2),
        "mu": mu.mean(axis=0),
        "redshift": rng.uniform(0.1, 0.8, total),
        "ml_cts": rng.uniform(50, 500, total),
        "sigma_calibrated": np.full(total, 0.15),
    }
    data = xr.Dataset({name: ("cluster", values) for name, values in columns.items()}, {"cluster": ids})
    members = data.drop_vars("sigma_calibrated").assign(member_mu=(("member", "cluster"), mu))
    write_netcdf(members, made / "ensemble.nc", "test", MADE)
    write_netcdf(data.drop_vars(["realization", "halo_id"]), made / "predictions.nc", "test", MADE)
    write_netcdf(
        xr.Dataset({name: ("cluster", ids) for name in ("split", "group")}, {"cluster": ids}),
        made / "split.nc",
        "test",
        MADE,
    )
    return made


def paths(folder: Path, catalogues: bool = True) -> dict[str, list[Path]]:
    names = {
        "images": "images_*.nc",
        "truth": "truth_*.fits",
        **({"catalogues": "catalogue_*.fits"} if catalogues else {}),
    }
    return {name: sorted(folder.glob(pattern)) for name, pattern in names.items()}


def draw(folder: Path, catalogues: bool = True, **out: Path) -> Figure:
    inputs = {name: folder / f"{name}.nc" for name in ("ensemble", "predictions", "split")}
    settings = {"half_width_arcsec": 192.0, "bootstrap": 50, "seed": 1}
    return laid_out(spread(**inputs, **paths(folder, catalogues), **settings, **out))


def test_ends_of_the_test_set_are_drawn_with_their_numbers(folder: Path) -> None:
    printed = "\n".join(texts(draw(folder)))
    assert "differ most: by 0.300 dex ($\\sigma$ = 0.150)\ncluster 02_7" in printed
    assert "members' $\\log_{10} M$ 14.000 to 14.300" in printed
    assert "differ least: by 0.000 dex ($\\sigma$ = 0.150)\ncluster 01_4" in printed
    # of 40 test clusters the even ones have a neighbour of 3 times their counts; the far one lies outside the box
    assert "none brighter: n = 20, median" in printed
    assert "a brighter one: n = 20, median" in printed
    assert {"detected point source", "simulated halo", "seen by the networks"} <= set(printed.split("\n"))


@pytest.mark.long
def test_same_bytes_twice(folder: Path, tmp_path: Path) -> None:
    for run in "ab":
        draw(folder, **{kind: tmp_path / run / f"spread.{kind}" for kind in KINDS})
    for kind in KINDS:
        assert (tmp_path / f"a/spread.{kind}").read_bytes() == (tmp_path / f"b/spread.{kind}").read_bytes(), kind


def test_marks_stand_where_the_photons_are(folder: Path) -> None:
    files = paths(folder)
    cluster = read_netcdf(files["images"][0]).sel(cluster="01_4")
    pixels, half = pixels_of(cluster)
    detections, haloes = sources(cluster, half, files["truth"][0], files["catalogues"][0])
    assert detections is not None
    place = detections["ID_SRC"].tolist().index(104)
    assert (detections["x"][place], detections["y"][place]) == pytest.approx((100, 40), abs=0.05)
    y, x = np.unravel_index(pixels.sum(axis=0).argmax(), pixels.shape[1:])
    assert (12 * (x - 49.5), 12 * (y - 49.5)) == pytest.approx((100, 40), abs=6)
    assert haloes["HALO_ID"].tolist() == [2**60 + 4]
    assert np.hypot(haloes["x"], haloes["y"]) == pytest.approx([0], abs=0.01)


def test_brightest_neighbour_by_hand(folder: Path) -> None:
    ids = np.array([4, 5])
    assert brightest_neighbour(folder / "catalogue_01.fits", ids, 192.0) == pytest.approx([3, 0])
    assert brightest_neighbour(folder / "catalogue_01.fits", ids, 99.0) == pytest.approx([0, 0])
    assert brightest_neighbour(folder / "catalogue_01.fits", ids, 600.0) == pytest.approx([50, 50])
    with pytest.raises(InputError, match="lacks detection 77"):
        brightest_neighbour(folder / "catalogue_01.fits", np.array([77]), 192.0)


def test_sky_without_catalogues_shows_spread_against_counts_alone(folder: Path) -> None:
    table = spreads(*(folder / f"{name}.nc" for name in ("ensemble", "predictions", "split")))
    assert np.isnan(neighbours(table, {"01": None, "02": None}, 192.0)).all()
    printed = "\n".join(texts(draw(folder, catalogues=False)))
    assert "none brighter" not in printed and "detected" not in printed
    assert "n = 40, median" in printed


def test_error_of_a_median_of_groups_that_are_drawn_whole() -> None:
    """Of n Gaussian values it is sqrt(pi / 2n) (normal theory); each value four times over must not lower it."""
    rng = np.random.default_rng(51)
    values = rng.normal(size=2000)
    alone = median_error(values, np.arange(2000).astype(str), 400, rng)
    fourfold = median_error(np.repeat(values, 4), np.repeat(np.arange(2000), 4).astype(str), 400, rng)
    assert alone == pytest.approx(np.sqrt(np.pi / 4000), rel=0.2)
    assert fourfold == pytest.approx(np.sqrt(np.pi / 4000), rel=0.2)
    assert np.isnan(median_error(values, np.full(2000, "one"), 10, rng))
