"""Which exposure counts for each cluster of a user's field, and warnings about unlikely ones."""

import re
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from event_lists import sin_projection
from images_inputs import IMAGES
from ingest_inputs import DEC0, EVENTS, RA0, event_list, ingest, simulated, sky

from clustermass.errors import InputError
from clustermass.images.cutouts import extract_images
from clustermass.images.exposure import ExposureMap, read_exposure
from clustermass.io.netcdf import read_netcdf

#: seconds in pixels of 0.01 deg (y, x): 500 s in the South to 1500 s in the North, over 0.8 deg
SLOPE = (500 + 12.5 * np.arange(80.0))[:, None].repeat(80, axis=1)


def table(folder, *exposures):
    """Write the table of the two clusters of `sky` with these ML_EXP."""
    rows = [f"3,{RA0},{DEC0},0.2,{exposures[0]}", f"5,{(RA0 + 0.1) % 360},2.1,0.4,{exposures[1]}"]
    (folder / "exp.csv").write_text("\n".join(["ID_SRC,RA,DEC,Z,ML_EXP", *rows]) + "\n")
    return str(folder / "exp.csv")


def map_file(path, values=SLOPE, **cards):
    header = sin_projection([RA0, DEC0], 0.01, [len(values) / 2 + 0.5] * 2).to_header()
    header.update(cards)
    fits.PrimaryHDU(np.asarray(values), header).writeto(path, overwrite=True)
    return str(path)


def taken(outputs):
    """Return what counts for each cluster: its exposure (None: the map's) and where it is from."""
    catalogue = Table.read(outputs["catalogue"])
    seconds = np.ma.filled(catalogue["EXPOSURE"], np.nan).tolist() if "EXPOSURE" in catalogue.colnames else None
    return seconds, [str(word).strip() for word in catalogue["EXP_FROM"]]


def test_map_then_exposure_s_then_each_clusters_own_then_good_time(tmp_path):
    own, seconds = table(tmp_path, 900, 600), map_file(tmp_path / "map.fits")
    both = {"catalogue": own, "exposure_s": 700.0}
    assert taken(ingest(tmp_path, sky(tmp_path, exposure=seconds, **both))) == (None, ["map", "map"])
    assert taken(ingest(tmp_path, sky(tmp_path, **both))) == ([700, 700], ["given", "given"])
    assert taken(ingest(tmp_path, sky(tmp_path, catalogue=own))) == ([900, 600], ["ML_EXP", "ML_EXP"])
    assert taken(ingest(tmp_path, sky(tmp_path))) == ([1000, 1000], ["good time", "good time"])
    some = sky(tmp_path, catalogue=table(tmp_path, 900, -9999))
    assert taken(ingest(tmp_path, some)) == ([900, 1000], ["ML_EXP", "good time"])


def test_a_scan_has_no_exposure_but_that_of_map_or_table(tmp_path):
    """Good time of a scan over many square degrees says nothing about the exposure of one place."""
    event_list(tmp_path / "mine.fits", number=40000, width=2.0)
    with pytest.raises(InputError, match=r"exposure is unknown \(its 4\.\d deg2 are more than one pointing\)"):
        ingest(tmp_path, sky(tmp_path))
    assert ingest(tmp_path, sky(tmp_path, exposure_s=1200.0))["exposure"].exists()
    seconds, origin = taken(ingest(tmp_path, sky(tmp_path, catalogue=table(tmp_path, 900, ""))))
    assert seconds[0] == 900
    assert np.isnan(seconds[1])
    assert origin == ["ML_EXP", "none"]


def test_a_part_of_a_scan_is_no_pointing(tmp_path):
    """A cut-out of 0.16 deg2 of a scan has the good time of the whole scan."""
    event_list(tmp_path / "mine.fits")
    fits.setval(tmp_path / "mine.fits", "OBS_MODE", value="SURVEY", ext=0)
    with pytest.raises(InputError, match=r"exposure is unknown \(it is part of a scan \(OBS_MODE\)\)"):
        ingest(tmp_path, sky(tmp_path))
    fits.setval(tmp_path / "mine.fits", "CREATOR", value="SIXTE", ext=0)  # says SURVEY of pointings, too
    assert taken(ingest(tmp_path, sky(tmp_path)))[1] == ["good time", "good time"]


def test_no_good_time_and_no_exposure(tmp_path):
    event_list(tmp_path / "mine.fits", gti=None)
    with pytest.raises(InputError, match="it has no good time intervals"):
        ingest(tmp_path, sky(tmp_path))


def test_training_clusters_without_exposure_are_refused(tmp_path):
    block = simulated(tmp_path)
    event_list(tmp_path / "wide.fits", number=40000, width=2.0)
    files = {
        "events": [str(tmp_path / "wide.fits")],
        "catalogue": table(tmp_path, 900, ""),
        "truth": str(tmp_path / "halos.csv"),
    }
    with pytest.raises(InputError, match="1 rows lack ML_EXP, but training clusters need an exposure"):
        ingest(tmp_path, block | {"realizations": {"01": files}})


def test_seconds_in_ks_are_noticed(tmp_path, caplog):
    with pytest.raises(InputError, match=r"exposure_s is 1\.18 s, too short for any cluster\. Was it in ks"):
        ingest(tmp_path, sky(tmp_path, exposure_s=1.18))
    with caplog.at_level("WARNING", "clustermass"):
        outputs = ingest(tmp_path, sky(tmp_path, catalogue=table(tmp_path, 0.9, 0.6)))
    assert taken(outputs) == ([1000, 1000], ["good time", "good time"])
    assert "2 of 2 rows (1, 2) with ML_EXP below 10 s" in caplog.text


def test_exposures_longer_than_the_mission_are_unknown(tmp_path, caplog):
    with pytest.raises(InputError, match=r"exposure_s is 1e\+09 s, too long for any cluster\. Was it in ms"):
        ingest(tmp_path, sky(tmp_path, exposure_s=1e9))
    event_list(tmp_path / "mine.fits", gti=1e300)
    with pytest.raises(InputError, match="it has no good time intervals that can be right"):
        ingest(tmp_path, sky(tmp_path))
    with caplog.at_level("WARNING", "clustermass"):
        assert taken(ingest(tmp_path, sky(tmp_path, catalogue=table(tmp_path, 900, 1e30))))[1] == ["ML_EXP", "none"]
    assert "its good time of 1e+300 s is longer than the mission; it counts as unknown" in caplog.text
    assert "1 of 2 rows (2) with ML_EXP below 10 s or above 1e+08 s" in caplog.text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"exposure": 8}, r"the exposure map is 8\d\d\d s, longer than the good time of the event list, 1000 s"),
        ({"exposure": 0.03}, r"the exposure map is at most 3\d s, but the good time of the event list is 1000 s"),
        ({"exposure_s": 4000.0}, r"the exposure \(given\) is 4000 s, longer than the good time"),
        ({"exposure_s": 40.0}, r"the exposure \(given\) is at most 40 s, but the good time"),
        ({"exposure": 1}, None),
        ({"exposure_s": 1400.0}, None),
    ],
)
def test_exposures_far_from_the_good_time_are_a_warning(tmp_path, caplog, changes, message):
    if "exposure" in changes:
        changes = {"exposure": map_file(tmp_path / "map.fits", SLOPE * changes["exposure"])}
    with caplog.at_level("WARNING", "clustermass"):
        ingest(tmp_path, sky(tmp_path, **changes))
    said = " ".join(record.getMessage() for record in caplog.records if "good time of" in record.getMessage())
    assert re.search(message, said) if message else not said


def two_tiles(folder, shared):
    """Write two lists, of the Western and Eastern half, and their maps, which overlap by 0.1 deg."""
    whole = Table.read(event_list(folder / "whole.fits", number=8000), hdu="EVENTS")
    offset = (np.asarray(whole["RA"]) - RA0 + 180) % 360 - 180
    parts = (offset < 0.05, offset > -0.05) if shared else (offset < 0, offset >= 0)
    events, maps = [], []
    for number, rows in enumerate(parts):
        with fits.open(folder / "whole.fits") as hdus:
            hdus["EVENTS"].data = hdus["EVENTS"].data[rows]
            hdus.writeto(folder / f"tile{number}.fits", overwrite=True)
        events.append(str(folder / f"tile{number}.fits"))
        values = np.zeros((40, 40))
        values[:, slice(15, 40) if number == 0 else slice(0, 25)] = 1000  # RA grows to the left
        maps.append(map_file(folder / f"map{number}.fits", values))
    return {"events": events, "exposure": maps}


@pytest.mark.parametrize("shared", [True, False])
def test_tiles_have_a_map_each(tmp_path, shared):
    """Tiles of one survey show the same photons where they overlap; separate observations add up there."""
    exposure = ExposureMap.read(ingest(tmp_path, sky(tmp_path, **two_tiles(tmp_path, shared)))["exposure"])
    seconds = exposure.at((RA0 + np.array([-0.15, 0.0, 0.15, 0.3])) % 360, np.full(4, DEC0))
    assert seconds.tolist() == [1000, 1000 if shared else 2000, 1000, 0]
    assert len(exposure.planes) == 2


def images(folder, outputs):
    standard = (outputs["events"], outputs["exposure"], outputs["catalogue"])
    extract_images(*standard, folder / "images.nc", IMAGES, "01", EVENTS)
    return read_netcdf(folder / "images.nc")


def test_images_have_each_clusters_own_exposure_and_its_origin(tmp_path):
    found = images(tmp_path, ingest(tmp_path, sky(tmp_path, catalogue=table(tmp_path, 900, 600))))
    assert found["exposure_s"].values.tolist() == [900, 600]
    assert found["exp_from"].values.tolist() == ["ML_EXP", "ML_EXP"]
    found = images(tmp_path, ingest(tmp_path, sky(tmp_path, exposure=map_file(tmp_path / "map.fits"))))
    assert found["exposure_s"].values.tolist() == pytest.approx([994, 1119], rel=0.01)
    assert found["exp_from"].values.tolist() == ["map", "map"]


def test_at_the_edge_a_table_of_exposures_is_as_good_as_the_map(tmp_path):
    """Boxes of 20' about the corners of a field of 24'; ML_EXP at the corners is up to 9 % off their mean."""
    ra, dec = ((RA0 + np.array([-0.15, 0.15, -0.15, 0.15, 0])) % 360, DEC0 + np.array([-0.15, -0.15, 0.15, 0.15, 0]))
    own = ExposureMap((read_exposure(Path(map_file(tmp_path / "map.fits"))),)).at(ra, dec)
    rows = [f"{number},{a},{d},0.3,{s}" for number, (a, d, s) in enumerate(zip(ra, dec, own, strict=True))]
    (tmp_path / "exp.csv").write_text("\n".join(["ID_SRC,RA,DEC,Z,ML_EXP", *rows]) + "\n")
    found, _ = taken(ingest(tmp_path, sky(tmp_path, catalogue=str(tmp_path / "exp.csv"))))
    # the middle of the exposed part is 3.5' closer to the field's middle in each direction; 12.5 s in 0.01 deg
    inward = 0.058 * 1250 * np.array([1, 1, -1, -1, 0])
    np.testing.assert_allclose(found, own + inward, rtol=0.015)
    assert np.abs(inward / own).max() > 0.08


def test_a_table_of_exposures_is_as_good_as_the_map(tmp_path):
    """ML_EXP at the clusters, as detection measures it: exposures within 2 % (0.01 dex of mass), from 0.6 to 1.4."""
    path = map_file(tmp_path / "map.fits")
    by_map = images(tmp_path, ingest(tmp_path, sky(tmp_path, exposure=path)))
    at_clusters = ExposureMap((read_exposure(tmp_path / "map.fits"),)).at(by_map["ra"].values, by_map["dec"].values)
    by_table = images(tmp_path, ingest(tmp_path, sky(tmp_path, catalogue=table(tmp_path, *at_clusters.tolist()))))
    np.testing.assert_allclose(by_table["exposure_s"].values, by_map["exposure_s"].values, rtol=0.02)
