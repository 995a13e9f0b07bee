"""`clustermass inject`: the given events stay, and the photons of clusters are as many and where they should be."""

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from event_lists import SHARED, read_many, select, write_esass
from inject_inputs import CENTRE, PIXEL_DEG, PIXELS, write_field

from clustermass import cli
from clustermass.config.resolve import default_config
from clustermass.errors import InputError
from clustermass.events.read import read_events
from clustermass.ingest import inject as module
from clustermass.ingest.inject import APART_ARCMIN, FROM_EXTENDED_ARCMIN, FROM_POINT_ARCMIN, Wanted, inject

COLUMNS = ("TIME", "RA", "DEC", "PI", "TM_NR", "PAT_TYP")
BRIGHT = Wanted(number=40, log10_m500c=(14.5, 15.0), redshift=(0.1, 0.6))


def raw(path):
    """Columns of an event list as the file stores them."""
    with fits.open(path, do_not_scale_image_data=True) as hdus:
        table = hdus["EVENTS"]
        for number in range(1, len(table.columns) + 1):
            table.header.pop(f"TSCAL{number}", None)
        return {name: np.array(table.data.field(name)) for name in COLUMNS}


def coordinates(table):
    return SkyCoord(table["RA"], table["DEC"], unit="deg")


def distances_arcmin(one, other):
    return coordinates(one)[:, None].separation(coordinates(other)[None, :]).arcmin


@pytest.fixture(scope="module")
def injected(tmp_path_factory):
    """Inject 40 clusters into a field, twice; return the folder of the field, and the clusters with their gas."""
    folder = tmp_path_factory.mktemp("inject")
    events, exposure = write_field(folder)
    drawn = []
    original = module.draw_cluster_photons
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "draw_cluster_photons", lambda *given: drawn.append(given[2]) or original(*given))
        for name in ("one", "again"):
            inject([events], [exposure], folder / name, BRIGHT)
    return folder, drawn[0]


def test_the_given_events_stay_as_they_are_and_come_first(injected):
    folder, _ = injected
    given, new = raw(folder / "mine.fits"), raw(folder / "one" / "events.fits")
    number = len(given["TIME"]) - 2  # two are flagged as corrupt
    assert len(new["TIME"]) > number + 1000
    for name in ("TIME", "PI", "TM_NR", "PAT_TYP"):
        assert new[name][:number].tobytes() == given[name][2:].tobytes()
    before, after = read_events(folder / "mine.fits"), read_events(folder / "one" / "events.fits")
    for angle in ("ra", "dec"):  # eSASS stores whole multiples of 1e-6 deg
        stored = np.rint(1e6 * getattr(before, angle)[2:])
        assert np.array_equal(np.rint(1e6 * getattr(after, angle)[:number]), stored)
    labels = fits.getdata(folder / "one" / "labels.fits")["SRC_ID"]
    assert len(labels) == len(after)
    assert not labels[:number].any()
    assert labels[number:].all()


def test_a_list_with_added_photons_is_marked_as_simulated(injected):
    folder, _ = injected
    assert not read_events(folder / "mine.fits").simulated
    assert read_events(folder / "one" / "events.fits").simulated
    assert fits.getheader(folder / "one" / "events.fits", "EVENTS")["INJECTED"] == 40


def test_photons_are_as_many_as_fluxes_and_exposures_imply(injected):
    folder, clusters = injected
    truth = Table.read(folder / "one" / "truth.fits")
    east = (truth["RA"] - CENTRE[0] + 180) % 360 - 180
    distance = coordinates(truth).separation(SkyCoord(*CENTRE, unit="deg")).deg
    # all photons of these clusters land in one half of the field
    inner = (distance < 1.2) & (np.abs(east) > 0.7)
    assert inner.sum() >= 5
    seconds = np.where(east > 0, 3000.0, 1000.0)
    expected, counts = (clusters.rate * seconds)[inner], np.asarray(truth["COUNTS"])[inner]
    assert expected.sum() > 1000
    # false alarm rates: 6e-7 for the sum, and 1e-6 for each cluster by Poisson statistics
    assert abs(counts.sum() - expected.sum()) < 5 * np.sqrt(expected.sum())
    assert np.all(np.abs(counts - expected) < 5 * np.sqrt(expected) + 5)
    labels = fits.getdata(folder / "one" / "labels.fits")["SRC_ID"]
    assert np.array_equal(truth["COUNTS"], [(labels == number).sum() for number in truth["SRC_ID"]])


def test_photons_surround_their_cluster(injected):
    folder, _ = injected
    truth = Table.read(folder / "one" / "truth.fits")
    events = read_events(folder / "one" / "events.fits")
    labels = fits.getdata(folder / "one" / "labels.fits")["SRC_ID"]
    for row in truth[np.argsort(truth["COUNTS"])[-5:]]:
        own = labels == row["SRC_ID"]
        away = SkyCoord(events.ra[own], events.dec[own], unit="deg").separation(
            SkyCoord(row["RA"], row["DEC"], unit="deg")
        )
        assert 0.1 < np.median(away.arcmin) / row["R500_ARCMIN"] < 1.0
        # the mean position is that of the cluster, and not one that is mirrored or shifted
        middle = np.median(events.dec[own]) - row["DEC"]
        assert abs(middle) * 60 < 0.2 * row["R500_ARCMIN"] + 0.2


def test_added_photons_pass_the_cuts_that_the_given_events_pass(injected):
    folder, _ = injected
    events = read_events(folder / "one" / "events.fits")
    assert len(select(events)) == len(events)
    number = len(read_events(folder / "mine.fits")) - 2
    added = events.take(slice(number, None))
    assert {*added.tm_nr.tolist()} == {1, 2, 3, 4, 5, 6, 7}
    assert added.pi_ev.min() >= 200.0


def test_clusters_are_in_the_ranges_and_apart(injected):
    folder, _ = injected
    truth = Table.read(folder / "one" / "truth.fits")
    assert len(truth) == 40
    assert truth["LOG10_M500C"].min() >= 14.5
    assert truth["LOG10_M500C"].max() <= 15.0
    assert truth["Z"].min() >= 0.1
    assert truth["Z"].max() <= 0.6
    assert truth["FLUX"].min() >= default_config()["skies"]["embedded"]["clusters"]["flux_min_cgs"]
    apart = distances_arcmin(truth, truth)[~np.eye(40, dtype=bool)]
    assert apart.min() >= APART_ARCMIN


def test_the_seed_determines_everything(injected, tmp_path):
    folder, _ = injected
    for name in ("events.fits", "labels.fits", "truth.fits"):
        assert (folder / "one" / name).read_bytes() == (folder / "again" / name).read_bytes()
    other = Wanted(number=40, seed=2, log10_m500c=(14.5, 15.0), redshift=(0.1, 0.6))
    inject([folder / "mine.fits"], [folder / "expmap.fits"], tmp_path, other)
    one, two = (Table.read(path / "truth.fits") for path in (folder / "one", tmp_path))
    assert not np.isin(one["LOG10_M500C"], two["LOG10_M500C"]).any()
    assert not np.isin(one["HALO_ID"], two["HALO_ID"]).any()


def test_clusters_are_put_only_where_the_map_is_exposed(tmp_path):
    image = np.zeros((PIXELS, PIXELS))
    image[20:180, 40:90] = 1000.0
    image[20:180, 120:150] = 20.0  # below 5 % of the median
    events, exposure = write_field(tmp_path, image)
    inject([events], [exposure], tmp_path / "new", BRIGHT)
    truth = Table.read(tmp_path / "new" / "truth.fits")
    centre = SkyCoord(*CENTRE, unit="deg")
    west, north = (angle.deg / PIXEL_DEG for angle in centre.spherical_offsets_to(coordinates(truth)))
    column, row = PIXELS / 2 - west, PIXELS / 2 + north
    assert np.all((column > 39) & (column < 91) & (row > 19) & (row < 181))
    assert np.ptp(column) > 40
    assert np.ptp(row) > 120


def test_blank_keeps_away_from_sources(tmp_path):
    events, exposure = write_field(tmp_path)
    rng = np.random.default_rng(1)
    centre = SkyCoord(*CENTRE, unit="deg")
    places = centre.directional_offset_by(rng.uniform(0, 360, 900) * u.deg, 2.5 * np.sqrt(rng.random(900)) * u.deg)
    sources = Table({"RA": places.ra.deg, "DEC": places.dec.deg, "EXT": np.where(np.arange(900) < 100, 20.0, 0.0)})
    sources.write(tmp_path / "sources.fits")
    options = ["--number", "30", "--mass", "14.5,15", "--blank", str(tmp_path / "sources.fits")]
    arguments = ["inject", str(events), "--exposure", str(exposure), *options]
    assert cli.main([*arguments, "--output", str(tmp_path / "blank")]) == 0
    assert cli.main([*arguments[:-2], "--output", str(tmp_path / "anywhere")]) == 0
    blank, anywhere = (Table.read(tmp_path / name / "truth.fits") for name in ("blank", "anywhere"))
    assert distances_arcmin(blank, sources).min() >= FROM_POINT_ARCMIN
    assert distances_arcmin(blank, sources[:100]).min() >= FROM_EXTENDED_ARCMIN
    assert distances_arcmin(anywhere, sources[:100]).min() < FROM_EXTENDED_ARCMIN


def test_several_lists_are_joined_and_modules_stay_those_of_the_lists(tmp_path):
    events, exposure = write_field(tmp_path)
    table = Table.read(events, hdu="EVENTS")
    paths = []
    for module_number in (1, 6):
        rows = table[table["TM_NR"] == module_number]
        columns = {name: np.asarray(rows[name]) for name in ("RA", "DEC", "PI", "TM_NR", "PAT_TYP", "FLAG", "TIME")}
        columns |= {name: np.asarray(rows[name]) for name in ("RAWX", "RAWY")}
        paths.append(write_esass(tmp_path / f"tm{module_number}.fits", columns, reference=CENTRE))
    inject(paths, [exposure], tmp_path / "new", BRIGHT)
    given, new = select(read_many(paths)), read_events(tmp_path / "new" / "events.fits")
    assert np.array_equal(new.time[: len(given)], given.time)
    assert {*new.tm_nr[len(given) :].tolist()} == {1, 6}


@pytest.mark.skipif(not SHARED.exists(), reason="the event list of SIXTE isn't part of the repository")
def test_a_list_of_sixte_gets_clusters(tmp_path):
    path = SHARED / "fixture_sixte_cal_tm0.fits.gz"
    given = select(read_events(path))
    _, exposure = write_field(tmp_path)
    with fits.open(exposure) as hdus:
        hdus[0].header.update(CRVAL1=float(np.median(given.ra)), CRVAL2=float(np.median(given.dec)))
        hdus.writeto(tmp_path / "there.fits")
    inject([path], [tmp_path / "there.fits"], tmp_path / "new", BRIGHT)
    new = read_events(tmp_path / "new" / "events.fits")
    labels = fits.getdata(tmp_path / "new" / "labels.fits")["SRC_ID"]
    assert (labels > 0).sum() == Table.read(tmp_path / "new" / "truth.fits")["COUNTS"].sum() > 1000
    assert (labels != 0).sum() == len(new) - len(given)  # the others are of AGN in the clusters' centres
    assert np.array_equal(new.pi_ev[: len(given)], given.pi_ev)
    assert len(select(new)) == len(new)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--mass", "12,14"], "log10_m500c from 12 to 14: must ascend, within 13 to 15.3"),
        (["--redshift", "0.5,0.2"], "redshift from 0.5 to 0.2: must ascend"),
        (["--mass", "15.25,15.3", "--redshift", "1.4,1.5"], "clusters of the wanted masses"),
        (["--number", "5000", "--mass", "14,15"], "there is room for only about"),
        (["--blank", "EVENTS"], "mine.fits: is an event list, but a table of sources is wanted"),
        (["--blank", "absent.fits"], "no such file: absent.fits"),
        (["--exposure", "EVENTS"], "mine.fits"),
    ],
)
def test_bad_input_gets_one_sentence(tmp_path, monkeypatch, capsys, options, message):
    events, exposure = write_field(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("clustermass.ingest.places._TRIES", 3)
    options = [str(events) if option == "EVENTS" else option for option in options]
    exposures = [] if "--exposure" in options else ["--exposure", str(exposure)]
    assert cli.main(["inject", str(events), *exposures, *options, "--output", "new"]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("option", "value"), [("--number", "0"), ("--seed", "-1"), ("--mass", "14"), ("--flux-min", "1"), ("--number", "x")]
)
def test_impossible_values_are_wrong_arguments(option, value, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["inject", "e.fits", "--exposure", "m.fits", option, value])
    assert stopped.value.code == 2
    assert option in capsys.readouterr().err


def test_a_folder_that_holds_events_is_left_alone(injected):
    folder, _ = injected
    with pytest.raises(InputError, match=r"holds an events\.fits already"):
        inject([folder / "mine.fits"], [folder / "expmap.fits"], folder / "one", BRIGHT)


def test_a_table_without_positions_is_no_table_of_sources(tmp_path):
    events, exposure = write_field(tmp_path)
    Table({"A": [1.0], "B": [2.0]}).write(tmp_path / "other.fits")
    with pytest.raises(InputError, match="has no column RA and DEC"):
        inject([events], [exposure], tmp_path / "new", BRIGHT, tmp_path / "other.fits")
