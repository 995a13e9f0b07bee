"""The background of the SIMPUT file: one more source, of the sky alone, and uniform."""

import numpy as np
import pytest
from astropy.io import fits
from simput_inputs import (  # noqa: F401, the fixtures `sources`, `hdus`, `catalogue`, `spectra`
    INDEX,
    NH,
    SKY,
    arrival,
    count_rate,
    simput_catalogue,
    simput_hdus,
    simput_sources,
    simput_spectra,
)

from clustermass.simulate.field import Field
from clustermass.simulate.photons import Background
from clustermass.simulate.simput import background_image, write_simput
from clustermass.simulate.telescope import Response


def test_the_background_is_the_sky_part_of_the_embedded_one_and_uniform(hdus, catalogue, spectra, sources):
    """Photons per solid angle through the same responses, and where they arrive."""
    row, hdu, field = catalogue[-1], hdus["BACKGROUND"], sources["field"]
    assert (row["RA"], row["DEC"], row["IMGSCAL"], row["IMGROTA"]) == (field.ra_deg, field.dec_deg, 1, 0)
    assert hdu.data.sum(dtype=float) == pytest.approx(1.0, rel=1e-5)
    longitude, latitude = field.to_native(*arrival(row, hdu))
    seen = hdu.data > 0
    half = field.width_deg / 2 + 1.2, field.height_deg / 2 + 1.2
    assert (np.abs(longitude[seen]).max(), np.abs(latitude[seen]).max()) == pytest.approx(half, abs=0.13)
    band = seen & (np.abs(latitude) < 1)
    far, near = band & (np.abs(longitude) > half[0] - 0.6), band & (np.abs(longitude) < 0.6)
    assert hdu.data[near].mean() == pytest.approx(hdu.data[far].mean(), rel=0.01)
    rate = count_rate(*spectra["BACKGROUND"], flux=float(row["FLUX"]))
    arcmin2 = 4 * 3600 * half[0] * np.degrees(np.sin(np.radians(half[1])))
    expected = Background.from_config(SKY["background"], NH, Response()).sky.rate[0]
    assert rate / arcmin2 == pytest.approx(expected, rel=0.03)  # the image's pixels follow the edge to 1 % on each side
    assert rate / background_image(field)[1] == pytest.approx(expected, rel=0.005)


@pytest.mark.parametrize("shape", [(120.0, 60.0), (1.0, 1.0)])
def test_the_image_of_the_background_has_the_solid_angle_of_the_sky(shape):
    field = Field(10.0, -60.0, *shape)
    image, arcmin2 = background_image(field)
    wide, high = (np.radians(side / 2 + 1.2) for side in shape)
    assert arcmin2 == pytest.approx(
        2 * wide * 2 * np.sin(high) * np.degrees(60) ** 2, rel=0.08 if shape[0] == 1 else 0.005
    )
    middle = np.array(image.shape) // 2
    assert image[middle[0], 2] < image[tuple(middle)]
    assert image.size < 4_000_000


def test_a_background_of_particles_alone_adds_no_source(sources, tmp_path):
    shares = dict.fromkeys(SKY["background"]["shares"], 0.0) | {"particle": 1.0}
    path = tmp_path / "field.simput"
    write_simput(
        path,
        sources["field"],
        sources["clusters"][:2],
        sources["agn"][:1],
        NH,
        INDEX,
        None,
        SKY["background"] | {"shares": shares},
    )
    with fits.open(path) as opened:
        assert opened["SRC_CAT"].data["SRC_NAME"].tolist() == ["halo1", "halo2", "agn1"]
