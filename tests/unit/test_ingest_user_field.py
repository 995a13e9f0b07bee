"""A user's own field into the standard files: events and catalogue, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from images_inputs import IMAGES
from ingest_inputs import DEC0, EVENTS, OUTPUTS, RA0, ingest, simulated, sky

from clustermass.config.resolve import input_files
from clustermass.dataset.sample import load_sample
from clustermass.errors import InputError
from clustermass.events.read import read_events
from clustermass.images.cutouts import extract_images
from clustermass.images.exposure import exposure_at, read_exposure
from clustermass.images.preprocessing import preprocess
from clustermass.ingest.user_field import ingest_field
from clustermass.io import fits as io_fits
from clustermass.io.netcdf import read_netcdf
from clustermass.io.products import FieldFiles


def test_observed_field(tmp_path):
    outputs = ingest(tmp_path, sky(tmp_path))
    assert not outputs["truth"].exists()
    assert not outputs["matches"].exists()
    assert not outputs["labels"].exists()
    before, after = read_events(tmp_path / "mine.fits"), read_events(outputs["events"])
    assert after.dialect == "clustermass"
    # the corrupt event and the bad pattern are gone, the others as they were, to 1e-6 deg
    assert len(after) == len(before) - 2
    assert np.allclose(after.ra, before.ra[2:], atol=0.51e-6)
    assert np.array_equal(after.pi_ev, before.pi_ev[2:])
    assert after.src_id is None
    with fits.open(outputs["events"]) as hdus:
        assert hdus["EVENTS"].header["RA_CEN"] == pytest.approx(RA0, abs=0.02)
        assert hdus["EVENTS"].header["DEC_CEN"] == pytest.approx(DEC0, abs=0.02)
        assert {f"GTI{module}" for module in range(1, 8)} <= {hdu.name for hdu in hdus}
    with fits.open(outputs["catalogue"]) as hdus:
        assert hdus["CATALOGUE"].data["ID_SRC"].tolist() == [3, 5]


def test_simulated_photons_stay_so(tmp_path):
    """SIXTE's dialect and a table of truth make a field simulated; eSASS lists are observations."""
    assert not read_events(ingest(tmp_path, sky(tmp_path))["events"]).simulated
    assert read_events(ingest(tmp_path, simulated(tmp_path))["events"]).simulated
    with fits.open(tmp_path / "mine.fits") as hdus:
        hdus[0].header["CREATOR"] = "SIXTE"
        hdus.writeto(tmp_path / "sixte.fits")
    outputs = ingest(tmp_path, sky(tmp_path, events=[str(tmp_path / "sixte.fits")]))
    assert read_events(outputs["events"]).simulated
    assert fits.getheader(outputs["events"], "EVENTS")["SIMULATE"] is True


def test_two_runs_give_the_same_bytes(tmp_path):
    block = simulated(tmp_path)
    one, two = ingest(tmp_path, block, name="one"), ingest(tmp_path, block, name="two")
    for key in OUTPUTS:
        assert one[key].read_bytes() == two[key].read_bytes()


def test_observed_field_keeps_its_truth_to_itself(tmp_path):
    block = simulated(tmp_path, observed=True)
    outputs = ingest(tmp_path, block)
    assert read_events(outputs["events"]).src_id is None
    assert not outputs["truth"].exists()
    assert str(tmp_path / "halos.csv") not in input_files(block, "01")
    assert input_files(simulated(tmp_path), "01")[-1] == str(tmp_path / "halos.csv")


def test_any_file_name_will_do(tmp_path):
    folder = tmp_path / "Häufen der Galaxien"
    folder.mkdir()
    block = simulated(folder)
    (folder / "mine.fits").rename(folder / "Ereignisse für mich.fits")
    block["realizations"]["01"]["events"] = [str(folder / "Ereignisse für mich.fits")]
    assert all(path.exists() for path in ingest(folder, block).values())


def test_simulated_field_needs_a_truth(tmp_path):
    with pytest.raises(InputError, match="realization '01' has no 'truth'"):
        ingest(tmp_path, sky(tmp_path) | {"observed": False})


def test_catalogue_of_another_field(tmp_path):
    block = sky(tmp_path)
    (tmp_path / "mine.csv").write_text("ID_SRC,RA,DEC,Z\n3,120,30,0.2\n5,121,30,0.4\n")
    with pytest.raises(InputError, match="none of its 2 rows lies in the field"):
        ingest(tmp_path, block)


def test_positions_in_hours_get_a_hint(tmp_path):
    block = sky(tmp_path)
    (tmp_path / "mine.csv").write_text(f"ID_SRC,RA,DEC,Z\n3,{RA0 / 15},{DEC0},0.2\n5,{RA0 / 15},{DEC0},0.4\n")
    with pytest.raises(InputError, match=r"lies in the field of .* They do if RA is in hours"):
        ingest(tmp_path, block)


def test_rows_far_from_the_field_are_left_out_with_a_count(tmp_path, caplog):
    """A table of the whole sky: images of rows that the field doesn't hold would fill the memory."""
    rng = np.random.default_rng(1)
    rows = [f"{1000 + n},{rng.uniform(10, 350)},{rng.uniform(-80, 80)},0.2" for n in range(3000)]
    block = sky(tmp_path)
    near = f"7,{RA0 + 0.3 - 360 * (RA0 > 359.7)},{DEC0},0.3"  # 0.1 deg outside: its box reaches in
    (tmp_path / "mine.csv").write_text("\n".join([(tmp_path / "mine.csv").read_text().strip(), near, *rows]) + "\n")
    with caplog.at_level("INFO", "clustermass"):
        outputs = ingest(tmp_path, block)
    assert fits.getdata(outputs["catalogue"])["ID_SRC"].tolist() == [3, 5, 7]
    assert "3 of 3003 rows lie in the exposed field or within 10' of it; the others are left out" in caplog.text
    assert max(len(record.getMessage()) for record in caplog.records) < 600


def test_missing_and_repeated_event_lists(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.fits: no such"):
        ingest(tmp_path, sky(tmp_path, events=[str(tmp_path / "nowhere.fits")]))
    with pytest.raises(InputError, match="holds the same event list"):
        ingest(tmp_path, sky(tmp_path, events=[str(tmp_path / "mine.fits")] * 2))
    with pytest.raises(InputError, match="names no catalogue"):
        ingest(tmp_path, sky(tmp_path, catalogue=""))
    with pytest.raises(InputError, match="no realization '02'"):
        ingest_field(sky(tmp_path), "02", EVENTS, FieldFiles(*[tmp_path / "x.fits"] * 3))


def test_files_that_are_mixed_up_are_called_by_what_they_are(tmp_path):
    block = sky(tmp_path)
    lists, table = str(tmp_path / "mine.fits"), str(tmp_path / "mine.csv")
    exposure = str(ingest(tmp_path, block)["exposure"])
    order = "The event lists come first, the table of clusters last"
    Table({"RA": [RA0], "DEC": [DEC0], "Z": [0.2]}).write(tmp_path / "table.fits")
    for files, message in (
        ({"events": [table], "catalogue": lists}, "mine.fits: is an event list, but is given as the table of clusters"),
        ({"events": [table]}, "mine.csv: not a FITS file .*it begins with 'ID_SRC,RA,DEC,Z'"),
        ({"events": [str(tmp_path / "table.fits")]}, "table.fits: not an event list: .* one of sources, without TIME"),
        ({"catalogue": lists}, "mine.fits: is an event list, but is given as the table of clusters"),
        ({"catalogue": exposure}, "exposure.fits: is an image, but is given as the table of clusters"),
        ({"catalogue": str(tmp_path)}, "is a folder. Name the file in it"),
        ({"events": [str(tmp_path)]}, "is a folder. Name the file in it"),
    ):
        with pytest.raises(InputError, match=f"{message}.*{order}"):
            ingest(tmp_path, sky(tmp_path, **files))
    with pytest.raises(InputError, match=r"exposure\.fits: .*If it is an exposure map, give it under --exposure"):
        bands = {"start_ev": 250, "width_ev": 205, "number": 10}
        files = FieldFiles(*[tmp_path / "x.fits"] * 3)
        ingest_field(sky(tmp_path, events=[exposure]), "01", EVENTS, files, bands)


def test_single_cluster_without_redshift_keeps_its_image(tmp_path):
    block = sky(tmp_path)
    (tmp_path / "mine.csv").write_text(f"Name,RA,DEC,Z\nA 1689,{RA0},{DEC0},-99\n")
    outputs = ingest(tmp_path, block)
    standard = (outputs["events"], outputs["exposure"], outputs["catalogue"])
    extract_images(*standard, tmp_path / "images.nc", IMAGES, "01", EVENTS)
    preprocess(tmp_path / "images.nc", tmp_path / "smoothed.nc", {"half_width_arcsec": 120.0, "pixel_arcsec": 24.0})
    sample = load_sample([tmp_path / "smoothed.nc"])
    assert sample["cluster"].values.tolist() == ["01_1"]
    assert np.isnan(sample["redshift"].item())
    assert Table.read(outputs["catalogue"])["ID_CAT"].tolist() == ["A 1689"]


def test_a_packed_list_is_unpacked_whole_and_compared_with_its_checksums_once(tmp_path, monkeypatch):
    """What kind of file it is, the headers alone tell."""
    block, compared = sky(tmp_path), []
    with fits.open(tmp_path / "mine.fits") as hdus:
        hdus.writeto(tmp_path / "mine.fits.gz", checksum=True)
    block["realizations"]["01"]["events"] = [str(tmp_path / "mine.fits.gz")]
    compare = io_fits._compare_sums
    monkeypatch.setattr(io_fits, "_compare_sums", lambda *read: compared.append(read) or compare(*read))
    outputs = FieldFiles(*(tmp_path / f"{name}.fits" for name in ("events", "exposure", "catalogue")))
    ingest_field(block, "01", EVENTS, outputs, [250, 2300])
    assert len(compared) == 1
    assert outputs.events.exists()


def test_flag_mask_of_the_configuration_counts(tmp_path):
    """With no mask at all, the corrupt event of row 0 stays."""
    assert len(read_events(ingest(tmp_path, sky(tmp_path), {"flag_mask": 0, "pattern": 15})["events"])) == 3999


def test_a_list_without_two_modules_is_noticed_and_taken_where_they_are_left_out_on_purpose(tmp_path, caplog):
    """Lists without TM5 and TM7, of the light leak, are common; the exposure of others is scaled to the rest."""
    block, chosen = sky(tmp_path, exposure_s=700.0), {**EVENTS, "modules": [1, 2, 3, 4, 6]}
    whole = ingest(tmp_path, block, name="whole")
    assert "no photon of" not in caplog.text
    part = ingest(tmp_path, block, chosen, name="part")
    assert "no photon of" not in caplog.text
    assert sorted(set(read_events(part["events"]).tm_nr.tolist())) == [1, 2, 3, 4, 6]
    assert fits.getdata(whole["exposure"]).max() == pytest.approx(700)
    assert fits.getdata(part["exposure"]).max() == pytest.approx(500)
    block["realizations"]["01"] |= {"events": [str(part["events"])], "exposure": str(part["exposure"])}
    again = ingest(tmp_path, block, chosen, name="again")
    assert "no photon of" not in caplog.text
    assert fits.getdata(again["exposure"]).max() == pytest.approx(500)
    ingest(tmp_path, block, name="unnoticed")
    assert "no photon of TM5, TM7, though those of TM1, TM2, TM3, TM4, TM5, TM6, TM7 should count" in caplog.text
    assert "events.modules: [1, 2, 3, 4, 6]" in caplog.text


def test_joined_catalogues_and_cuts_reach_the_standard_catalogue(tmp_path):
    block = sky(tmp_path, joined_catalogues=[str(tmp_path / "optical.csv")])
    rows = [f"5,{(RA0 + 0.1) % 360},2.1,A J2,0.29,true", f"3,{RA0},{DEC0},A J1,0.31,true"]
    (tmp_path / "optical.csv").write_text("\n".join(["ID_SRC,RA,DEC,Name,F_CONT,inArea90", *rows]) + "\n")
    assert input_files(block, "01")[-1] == str(tmp_path / "optical.csv")
    whole = Table.read(ingest(tmp_path, block)["catalogue"])
    assert whole["NAME_CAT"].astype(str).tolist() == ["A J1", "A J2"]
    assert whole["Z"].tolist() == pytest.approx([0.2, 0.4])
    cut = Table.read(
        ingest(tmp_path, block | {"catalogue_selection": {"f_cont_max": 0.3, "in_area90": True}})["catalogue"]
    )
    assert cut["ID_SRC"].tolist() == [5]
    assert cut["F_CONT"].tolist() == pytest.approx([0.29])
    with pytest.raises(InputError, match="has no column for F_CONT"):
        ingest(tmp_path, sky(tmp_path) | {"catalogue_selection": {"f_cont_max": 0.3}})


SIXTE = Path(__file__).parents[3] / "shared" / "data" / "sixte"


@pytest.mark.skipif(not SIXTE.is_dir(), reason="the SIXTE files aren't beside the checkout")
def test_real_sixte_files(tmp_path):
    """The calibrated SIXTE list and its catalogue go through as they are; the cluster lies in the exposed field."""
    files = {"events": [str(SIXTE / "fixture_sixte_cal_tm0.fits.gz")], "catalogue": str(SIXTE / "clusters.csv")}
    outputs = ingest(tmp_path, {"observed": True, "realizations": {"01": files}})
    photons = read_events(outputs["events"])
    raw = fits.getdata(SIXTE / "fixture_sixte_cal_tm0.fits.gz", "EVENTS")
    assert len(photons) == (raw["PI"] > 0).sum()
    image, wcs = read_exposure(outputs["exposure"])
    # 1600 s for all modules, over the 21.7' x 21.7' that the fixture is cut to
    assert image.max() == pytest.approx(1600, rel=0.01)
    assert (image > 0).sum() / 3600 == pytest.approx((21.7 / 60) ** 2, rel=0.15)
    assert exposure_at(image, wcs, np.array([133.70003461]), np.array([1.36666465]))[0] > 0
    history = "".join(fits.getheader(outputs["events"])["HISTORY"])
    assert "fixture_sixte_cal_tm0.fits.gz" in history
    assert json.dumps("01") in history


@pytest.mark.skipif(not SIXTE.is_dir(), reason="the SIXTE files aren't beside the checkout")
@pytest.mark.parametrize(
    ("name", "sums"),
    [
        ("fixture_sixte_cal_tm0.fits.gz", [389, 479, 498, 378, 357, 286, 249, 200, 162, 106]),
        ("sixte_evt_tm1.fits.gz", [59, 63, 77, 57, 46, 42, 46, 34, 23, 18]),
    ],
)
def test_images_of_real_sixte_files_by_way_of_the_standard_files(tmp_path, name, sums):
    """The photons that ingest hands on are those that other software counts in ten bands in the cluster's box."""
    files = {"events": [str(SIXTE / name)], "catalogue": str(SIXTE / "clusters.csv")}
    outputs = ingest(tmp_path, {"observed": True, "realizations": {"01": files}})
    standard = (outputs["events"], outputs["exposure"], outputs["catalogue"])
    extract_images(*standard, tmp_path / "images.nc", IMAGES, "01", EVENTS)
    sample = load_sample([tmp_path / "images.nc"])
    assert sample["counts"].sum(("cluster", "y", "x")).values.tolist() == sums
    assert sample["covered_fraction"].item() > 0.99
    assert read_netcdf(tmp_path / "images.nc").attrs["simulated"] == "true"


@pytest.mark.skipif(not SIXTE.is_dir(), reason="the SIXTE files aren't beside the checkout")
def test_labels_of_a_real_sixte_list(tmp_path):
    """SRC_ID 1 is the cluster; 100, with far more photons, the diffuse sky."""
    (tmp_path / "halos.csv").write_text("SRC_ID,RA,DEC,Z,LOG10_M500C\n1,133.70003461,1.36666465,0.3,14.5\n")
    files = {"events": [str(SIXTE / "sixte_evt_tm1.fits.gz")], "catalogue": str(SIXTE / "clusters.csv")}
    files["truth"] = str(tmp_path / "halos.csv")
    outputs = ingest(tmp_path, {"observed": False, "realizations": {"01": files}})
    (match,) = fits.getdata(outputs["matches"], "MATCHES")
    assert (match["ID_SRC"], match["SRC_ID"]) == (1, 1)
    # within 60 arcsec, 0.2-2.3 keV: 18 of the cluster and 5 of the sky
    assert match["PURITY"] == pytest.approx(18 / 23)
