import re

import numpy as np
import pytest
from astropy.io import fits
from scipy.integrate import quad
from simput_inputs import (  # noqa: F401, the fixtures `sources`, `hdus`, `catalogue`, `spectra`
    CONFIG,
    INDEX,
    NH,
    SKY,
    SMALL,
    arrival,
    band_flux,
    count_rate,
    simput_catalogue,
    simput_hdus,
    simput_sources,
    simput_spectra,
    spectrum_name,
    write,
)

from clustermass.errors import InputError
from clustermass.simulate.field import Field
from clustermass.simulate.realization import simulate_realization
from clustermass.simulate.simput import (
    IMAGES_MAX,
    cluster_image,
    cluster_spectra,
    share_images,
    write_realization_simput,
    write_simput,
)
from clustermass.simulate.sources import agn_spectrum
from clustermass.simulate.spectra import plasma_power, transmission
from clustermass.simulate.telescope import Response


def test_the_catalogue_has_the_columns_formats_and_units_of_simput(hdus):
    columns = hdus["SRC_CAT"].columns
    numbers = dict.fromkeys(["IMGROTA", "IMGSCAL", "E_MIN", "E_MAX", "FLUX"], "E")
    formats = {"SRC_ID": "J", "RA": "D", "DEC": "D"} | numbers
    formats |= dict.fromkeys(["SRC_NAME", "SPECTRUM", "IMAGE", "TIMING"], r"\d+A")
    units = {"RA": "deg", "DEC": "deg", "IMGROTA": "deg", "E_MIN": "keV", "E_MAX": "keV", "FLUX": "erg/s/cm**2"}
    assert set(columns.names) == set(formats)
    for column in columns:
        assert re.fullmatch(formats[column.name], column.format), column.name
        assert column.unit == units.get(column.name), column.name


def test_every_extension_states_its_class(hdus):
    assert hdus[0].data is None
    for hdu, expected in zip(hdus[1:], ["SRC_CAT", "SPECTRUM", *["IMAGE"] * (len(hdus) - 3)], strict=True):
        header = hdu.header
        assert (header["HDUCLASS"], header["HDUCLAS1"]) == ("HEASARC/SIMPUT", expected)
        assert header["HDUVERS"] == "1.1.0"
    assert hdus["SRC_CAT"].header["RADESYS"] == "FK5"
    assert hdus["SRC_CAT"].header["EQUINOX"] == 2000.0
    assert "DATE" not in hdus["SRC_CAT"].header


def test_references_lead_to_one_spectrum_and_one_image(hdus, catalogue):
    names = list(hdus["SPECTRUM"].data["NAME"])
    assert len(set(names)) == len(names)
    assert re.fullmatch(r"\d+A", hdus["SPECTRUM"].columns["NAME"].format)
    assert {spectrum_name(reference) for reference in catalogue["SPECTRUM"]} == set(names)
    images = {f"[{hdu.header['EXTNAME']},{hdu.header['EXTVER']}]" for hdu in hdus[3:]}
    assert len(images) == len(hdus) - 3 <= IMAGES_MAX + 1 < 1000
    number = hdus["SRC_CAT"].header["NHALOES"]
    assert {*catalogue["IMAGE"][:number], catalogue["IMAGE"][-1]} == images
    assert set(catalogue["IMAGE"][number:-1]) == {"NULL"}
    assert set(catalogue["TIMING"]) == {"NULL"}
    assert max(len(reference) for reference in catalogue["SPECTRUM"]) < 48


def test_sources_are_unique_and_positive(hdus, catalogue, sources):
    number = hdus["SRC_CAT"].header["NHALOES"]
    assert np.array_equal(catalogue["SRC_ID"], np.arange(1, len(catalogue) + 1))
    assert number == len(sources["clusters"].flux)
    assert len(catalogue) == number + len(sources["agn"].source_ids) + 1
    assert catalogue["SRC_NAME"][-1] == "background"
    assert catalogue["SRC_NAME"][number - 1] == f"halo{number}"
    assert catalogue["SRC_NAME"][number] == "agn1"
    assert np.all(catalogue["FLUX"] > 0)
    assert np.all(catalogue["IMGSCAL"] > 0)
    assert np.all((catalogue["E_MIN"] == 0.5) & (catalogue["E_MAX"] == 2.0))


def test_haloes_are_those_of_the_truth_table_on_every_writing(tmp_path):
    files = {name: tmp_path / name for name in ("events", "exposure", "labels", "sources", "truth")}
    simulate_realization(SMALL, CONFIG["cosmology"], "tiny", "01", **files)
    path = write(tmp_path, SMALL)
    with fits.open(path) as simput, fits.open(files["truth"]) as truth:
        haloes = simput["SRC_CAT"].data[: simput["SRC_CAT"].header["NHALOES"]]
        for column in ("SRC_ID", "RA", "DEC"):
            assert np.array_equal(haloes[column], truth[1].data[column][: len(haloes)]), column
        assert np.all(haloes["FLUX"] > 0.85 * truth[1].data["FLUX"][: len(haloes)])
        assert not truth[1].data["COUNTS"][len(haloes) :].any()  # haloes that are listed only for their richness
    first = path.read_bytes()
    assert write(tmp_path, SMALL).read_bytes() == first


def test_spectra_cover_the_response_and_have_unit_flux(hdus, spectra):
    assert [hdus["SPECTRUM"].columns[name].unit for name in ("ENERGY", "FLUXDENSITY")] == ["keV", "photon/s/cm**2/keV"]
    for energy, density in spectra.values():
        assert np.all(np.diff(energy) > 0)
        assert energy[0] <= np.float32(0.1)
        assert energy[-1] > 12.01  # beyond the last bin of eROSITA's responses
        assert np.all(np.isfinite(density) & (density >= 0))
        assert band_flux(energy, density, 0.5, 2.0) == pytest.approx(1.0, rel=1e-4)


def test_fluxes_are_absorbed_and_of_the_whole_profile(catalogue, sources):
    clusters, agn = sources["clusters"], sources["agn"]
    energy = np.linspace(0.5, 2.0, 6001)
    passing = transmission(energy, NH)
    for row in (0, int(np.argmin(clusters.gas.kt_kev)), int(np.argmax(clusters.haloes.redshift))):
        emitted = plasma_power(energy * (1 + clusters.haloes.redshift[row]), float(clusters.gas.kt_kev[row]))
        fraction = (emitted * passing).sum() / emitted.sum()
        expected = clusters.flux[row] * clusters.gas.total_over_inside[row] * fraction
        assert catalogue["FLUX"][row] == pytest.approx(expected, rel=0.005)
    emitted, _ = quad(lambda e: e ** (1 - INDEX), 0.5, 2)
    fraction = np.trapezoid(energy ** (1 - INDEX) * passing, energy) / emitted
    assert 0.85 < fraction < 0.95
    got = catalogue["FLUX"][len(clusters.flux) : -1] / agn.flux
    assert got == pytest.approx(np.full(len(got), fraction), rel=1e-3)


def test_count_rates_are_those_of_the_embedded_sky(catalogue, spectra, sources):
    clusters, agn = sources["clusters"], sources["agn"]
    unit = {name: count_rate(*spectrum, flux=1.0) for name, spectrum in spectra.items()}
    rate = catalogue["FLUX"] * np.array([unit[spectrum_name(reference)] for reference in catalogue["SPECTRUM"]])
    number = len(clusters.flux)
    deviation = rate[:number] / clusters.rate - 1
    assert abs(rate[:number].sum() / clusters.rate.sum() - 1) < 0.005
    assert np.percentile(np.abs(deviation), 68) < 0.005
    assert np.abs(deviation).max() < 0.03
    assert rate[number:-1] == pytest.approx(agn.flux * agn_spectrum(INDEX, NH, Response()).rate[0], rel=0.003)


def test_the_grid_of_spectra_takes_the_nearest_point():
    names, _, rows = cluster_spectra(np.array([1.0, 1.04, 1.06, 1.0]), np.array([0.3, 0.309, 0.3, 0.311]))
    assert [names[row] for row in rows] == ["kT1.00z0.30", "kT1.00z0.30", "kT1.11z0.30", "kT1.00z0.32"]


def test_images_are_centred_squares_in_degrees(hdus):
    for hdu in hdus[3:-1]:
        header = hdu.header
        assert (header["CTYPE1"], header["CTYPE2"]) == ("RA---TAN", "DEC--TAN")
        assert header["CUNIT1"] == header["CUNIT2"] == "deg"
        assert header["CDELT2"] > 0
        assert header["CDELT1"] == pytest.approx(-header["CDELT2"], rel=1e-12)
        assert np.array_equal(hdu.data, hdu.data[::-1, ::-1])
        assert header["CRPIX1"] == header["CRPIX2"] == (hdu.data.shape[0] + 1) / 2
        assert hdu.data.sum(dtype=float) == pytest.approx(1.0, rel=1e-5)
        assert hdu.data.min() >= 0


def test_an_image_encloses_what_the_profile_does(sources):
    gas = sources["clusters"].gas
    for row in range(0, len(gas.kt_kev), 50):
        image, pixel_deg = cluster_image(gas, row)
        offset = (np.arange(len(image)) + 0.5 - len(image) / 2) * pixel_deg * 60 / gas.scale_arcmin[row]
        ratio = gas.axis_ratio[row]
        radius = np.hypot(offset * np.sqrt(ratio), (offset / np.sqrt(ratio))[:, None])
        profile = gas.profiles[np.array([row])]
        for limit in (0.15, 0.3, 0.5, 0.75, 1.0, 1.35, 1.8):
            expected = profile.enclosed(np.array([limit]))[0] / profile.total[0]
            assert image[radius <= limit].sum() == pytest.approx(expected, abs=0.012), (row, limit)


def test_size_and_rotation_put_the_photons_where_the_embedded_sky_does(hdus, catalogue, sources):
    """Second moments to the East and North; the far outskirts of borrowed images may differ, which weigh most here."""
    clusters = sources["clusters"]
    gas, rng = clusters.gas, np.random.default_rng(5)
    errors, own = [], []
    for row in np.argsort(-clusters.rate)[::12]:
        hdu = hdus[catalogue["IMAGE"][row][1:7]]
        ra, dec = arrival(catalogue[row], hdu)
        longitude, latitude = Field(catalogue["RA"][row], catalogue["DEC"][row], 9, 9).to_native(ra, dec)
        offsets = np.stack([longitude.ravel(), latitude.ravel()]) * 60
        got = (offsets * hdu.data.ravel()) @ offsets.T
        radius = gas.profiles.draw_radius(rng, np.full(20_000, row)) * gas.scale_arcmin[row]
        angle, ratio = gas.position_angle[row], gas.axis_ratio[row]
        axes = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        expected = np.mean(radius**2) / 2 * axes @ np.diag([1 / ratio, ratio]) @ axes.T
        errors.append(np.abs(got - expected).max() / np.trace(expected))
        own.append(catalogue["IMGSCAL"][row] == 1)
    # a wrong sense of IMGROTA moves the moments by 0.15 on average, IMGSCAL upside down by more than 1
    errors, own = np.array(errors), np.array(own)
    assert own.sum() > 10
    assert (~own).sum() > 30
    assert errors[own].max() < 0.02
    assert np.median(errors[~own]) < 0.06


def test_clusters_borrow_the_image_most_like_them(sources):
    gas, counts = sources["clusters"].gas, sources["clusters"].rate
    few, many = (share_images(gas, counts, number) for number in (10, 60))
    assert len(set(many.hosts)) == 60
    assert few.hosts[0] == np.argmax(counts)
    assert np.array_equal(few.hosts, many.hosts[:10])
    assert np.array_equal(many.image[many.hosts], np.arange(60))
    assert many.scale[many.hosts] == pytest.approx(np.ones(60))
    # the half-flux radius of the borrowed image, scaled, against the cluster's own
    half = _half_flux_arcmin(gas)
    for shared, limit in ((few, 0.12), (many, 0.07)):
        borrowed = half[shared.hosts][shared.image] / shared.scale
        assert np.percentile(np.abs(np.log(borrowed / half)), 90) < limit
    everyone = share_images(gas[np.arange(5)], counts[:5])
    assert sorted(everyone.hosts) == [0, 1, 2, 3, 4]


def _half_flux_arcmin(gas):
    radius = np.geomspace(0.01, 1.8, 400)
    grown = np.stack([gas.profiles.enclosed(np.full(len(gas.kt_kev), r)) for r in radius], axis=1)
    share = grown / gas.profiles.total[:, None]
    return np.array([np.interp(0.5, row, radius) for row in share]) * gas.scale_arcmin


def test_a_field_of_agn_or_haloes_alone(sources, tmp_path):
    clusters, agn = sources["clusters"], sources["agn"]
    empty = clusters[:0]
    path = tmp_path / "agn.simput"
    write_simput(path, sources["field"], empty, agn, NH, INDEX)
    with fits.open(path) as opened:
        assert len(opened) == 3  # no image
        assert list(opened["SPECTRUM"].data["NAME"]) == ["AGN"]
        assert opened["SRC_CAT"].data["SRC_ID"][0] == 1
    write_simput(path, sources["field"], clusters[:3], agn[:0], NH, INDEX)
    with fits.open(path) as opened:
        assert opened["SRC_CAT"].data["SRC_NAME"].tolist() == ["halo1", "halo2", "halo3"]
    with pytest.raises(InputError, match="neither haloes nor AGN"):
        write_simput(path, sources["field"], empty, agn[:0], NH, INDEX)


def test_a_realization_must_be_a_number(tmp_path):
    with pytest.raises(InputError, match="realization"):
        write_realization_simput(SKY, CONFIG["cosmology"], "tiny", "first", tmp_path / "field.simput")
