"""The page of figures of the validation, drawn from realizations that the test makes."""

import re
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from sky_validation_inputs import files_in, plant, plant_sample

from clustermass.errors import InputError
from clustermass.figures._sky_validation import PANELS, sky_validation
from clustermass.sky_validation import statistics
from clustermass.sky_validation.table import validate


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("validated")
    fields = [plant_sample(folder / f"{seed:02d}", seed) for seed in (1, 2)]
    validate([files_in(field) for field in fields], folder / "sky.json", folder / "sky.md", folder / "measured.nc")
    return folder


def draw(folder: Path, **out: Path | int) -> Figure:
    return sky_validation(folder / "measured.nc", folder / "sky.json", **out)


@pytest.mark.long
def test_same_bytes_twice_whatever_the_user_sets_and_not_blank(measured, tmp_path):
    first, again = ({kind: tmp_path / run / f"sky.{kind}" for kind in ("png", "pdf")} for run in "ab")
    draw(measured, **first, dpi=40)
    with matplotlib.rc_context({"lines.linewidth": 9, "axes.facecolor": "red"}):
        draw(measured, **again, dpi=40)
    assert all(first[kind].read_bytes() == again[kind].read_bytes() for kind in first)
    assert b"CreationDate" not in first["pdf"].read_bytes()
    assert imread(first["png"])[..., :3].std() > 0.05


def test_page_shows_the_numbers_of_the_realizations(measured):
    figure = draw(measured)
    panels = {axes.get_title(loc="left"): axes for axes in figure.axes}
    assert list(panels) == list(PANELS)
    assert re.search(
        r"2 fields of 4 deg².* \d of 10 required and \d of 8 desired agreements hold", figure.get_suptitle()
    )
    # 340 candidates a field, 40 of them spurious, rates uniform in log10 between -1.5 and 0
    printed = [text.get_text() for text in panels["Fitted counts"].texts]
    assert any("grey, all: 340 (eFEDS 542)\nspurious: 12 %" in text for text in printed)
    # the published densities stand where they should
    counts = panels["Clusters on the sky"]
    points = np.concatenate([line.get_xydata() for line in counts.lines if line.get_marker() == "o"])
    for flux in (3e-15, 1e-14, 1e-13):
        value = statistics.published_number(f"density {flux:.0e}").value
        assert any(np.allclose(point, (flux, value)) for point in points)
    # true masses follow the relation: the diamonds lie on its line within 0.15 / sqrt(75) dex, four times that
    relation = panels["Count rate and mass"]
    diamonds = np.concatenate([line.get_xydata() for line in relation.lines if line.get_marker() == "D"])
    on_line = 14.119 + 0.585 * np.log10(diamonds[:, 0] / 0.1)
    assert len(diamonds) == 8 and np.abs(diamonds[:, 1] - on_line).max() < 4 * 0.15 / np.sqrt(75)


def test_few_clusters_are_drawn_and_none_are_refused(tmp_path):
    for name, changes in (("few", {}), ("none", {"matches": []})):
        folder = tmp_path / name
        validate(
            [files_in(plant(folder / "01", **changes))], folder / "sky.json", folder / "sky.md", folder / "measured.nc"
        )
    assert len(draw(tmp_path / "few").axes) == 9
    with pytest.raises(InputError, match=r"measured.nc: no selected cluster"):
        draw(tmp_path / "none", png=tmp_path / "out" / "sky.png")
    (tmp_path / "few" / "sky.json").write_text("{}")
    with pytest.raises(InputError, match=r"sky.json: no readable table"):
        draw(tmp_path / "few", png=tmp_path / "out" / "sky.png")
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
