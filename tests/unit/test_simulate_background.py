import numpy as np
import pytest

from clustermass.errors import InputError
from clustermass.simulate.background import Background

SHARES = {"local_bubble": 0.2, "galactic_halo": 0.4, "extragalactic": 0.15, "particle": 0.25}


def test_level_holds_in_the_detection_band():
    background = Background.from_config({"rate_per_arcmin2_ks": 5.3, "shares": SHARES}, 3e20)
    sky, particle = (float(part.rate[0] * part.detection_fraction[0]) for part in (background.sky, background.particle))
    assert sky + particle == pytest.approx(5.3e-3)
    assert particle / (sky + particle) == pytest.approx(0.25)


def test_shares_set_the_shape():
    def median(name):
        shares = dict.fromkeys(SHARES, 0.0) | {name: 1.0}
        background = Background.from_config({"rate_per_arcmin2_ks": 1.0, "shares": shares}, 3e20)
        return (background.particle if name == "particle" else background.sky).quantiles[0, 512]

    assert median("local_bubble") < median("galactic_halo") < median("extragalactic") < median("particle")
    assert median("particle") == pytest.approx(1275, abs=3)


def test_only_the_proportion_of_shares_matters():
    doubled = {name: share / 2 for name, share in SHARES.items()}
    first, second = (
        Background.from_config({"rate_per_arcmin2_ks": 1.0, "shares": s}, 3e20).sky for s in (SHARES, doubled)
    )
    assert np.allclose(first.quantiles, second.quantiles)
    assert first.rate == pytest.approx(second.rate)


def test_a_background_without_particles_has_none():
    background = Background.from_config({"rate_per_arcmin2_ks": 2.0, "shares": SHARES | {"particle": 0.0}}, 3e20)
    assert background.particle.rate[0] == 0
    assert background.sky.rate[0] * background.sky.detection_fraction[0] == pytest.approx(2e-3)


def test_all_shares_zero_is_refused():
    with pytest.raises(InputError, match="shares"):
        Background.from_config({"rate_per_arcmin2_ks": 1.0, "shares": dict.fromkeys(SHARES, 0.0)}, 3e20)
