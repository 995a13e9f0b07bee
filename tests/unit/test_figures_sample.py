"""The figures of the sample and of one cluster in each energy band: haloes, pixels, directions and titles."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from figures_inputs import draw, make_inputs, texts

from clustermass.figures._sample import brightest_cluster, pixels_of, read_haloes
from clustermass.io.netcdf import write_netcdf
from clustermass.io.provenance import provenance


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_inputs(tmp_path_factory.mktemp("inputs"))


def test_brightest_test_cluster_is_exposed_labelled_and_in_the_test_set(inputs: Path) -> None:
    chosen = brightest_cluster(sorted(inputs.glob("images_*.nc"), reverse=True), inputs / "split.nc")
    with xr.open_dataset(inputs / "split.nc") as table:
        split = dict(zip(table["cluster"].values.tolist(), table["split"].values.tolist(), strict=True))
    usable = {}
    for path in inputs.glob("images_*.nc"):
        with xr.open_dataset(path) as data:
            for i, name in enumerate(data["cluster"].values.tolist()):
                if split[name] == "test" and data["covered_fraction"].values[i] > 0.99:
                    usable[name] = data["ml_cts"].values[i]
    assert chosen["cluster"].item() == max(usable, key=lambda name: usable[name])


def test_coarse_counts_keep_every_photon_in_its_place() -> None:
    counts = np.zeros((1, 100, 100), dtype=np.uint16)
    counts[0, 7, 98] = 3  # 4th coarse row from the South, last coarse column to the West
    counts[0, 6, 99] = 2
    x = 12.0 * (np.arange(100) - 49.5)
    cluster = xr.Dataset({"counts": (("band", "y", "x"), counts)}, {"x": x, "y": x})
    coarse, half_width = pixels_of(cluster, 2)
    assert half_width == 600.0
    assert coarse.shape == (1, 50, 50)
    assert coarse[0, 3, 49] == 5
    assert coarse.sum() == 5


def test_west_is_drawn_to_the_right(tmp_path: Path) -> None:
    make_inputs(tmp_path, n_detection=6)
    for path in tmp_path.glob("images_*.nc"):
        data = xr.load_dataset(path)
        data["counts"].values[:] = 0
        data["counts"].values[:, :, 90:, 80:90] = 7  # North-West: large y, large x
        write_netcdf(data, path, "test", provenance("test", {}))
    figure = draw("energy_bands", tmp_path)
    images = [image for axes in figure.axes for image in axes.get_images()]
    assert len(images) == 10
    assert images[0].get_extent() == [-600, 600, -600, 600]
    assert images[0].origin == "lower"
    assert np.asarray(images[0].get_array())[45:, 40:45].min() == 28.0


def test_energy_bands_titles_are_the_band_edges(inputs: Path) -> None:
    printed = texts(draw("energy_bands", inputs))
    titles = [text for text in printed if text.endswith("keV")]
    assert titles == [f"{0.25 + 0.205 * k:.3f}–{0.25 + 0.205 * (k + 1):.3f} keV" for k in range(10)]


def test_haloes_of_all_realizations_are_counted(inputs: Path) -> None:
    z, mass = read_haloes(sorted(inputs.glob("truth_*.fits")))
    assert z.shape == mass.shape == (12_000,)


def test_energy_bands_show_the_box_that_the_networks_see(inputs: Path) -> None:
    figure = draw("energy_bands", inputs)
    boxes = [patch for axes in figure.axes for patch in axes.patches]
    assert [box.get_bbox().extents.tolist() for box in boxes] == 10 * [[-192, -192, 192, 192]]
    assert "dashed: the 6.4' box that the networks see" in figure.get_suptitle()
