"""Shares of photons against the true sources of the photons."""

import numpy as np
from detect_inputs import Scene, exposure, psf
from test_detect_blind import BLIND

from clustermass.detect.blind import detect
from clustermass.detect.shares import share_photons


def test_the_shares_of_a_source_sum_to_its_photons():
    scene = Scene(5).add(-1, 0.0, 0.0, 300).add(-2, 40.0, 0.0, 150).add(3, -300.0, 0.0, 400, 20.0)
    photons = scene.events()
    catalogue = detect(photons, exposure, psf, BLIND)
    columns, shares = share_photons(photons, catalogue, psf, BLIND)
    event, x, y = shares["EVENT"], np.concatenate(scene.east), np.concatenate(scene.north)
    assert np.bincount(event, shares["SHARE"]).max() < 1.1  # pixels of two stamps have other centres
    for src_id, east, north, _ in scene.sources:
        ra, dec = scene.sky(east, north)
        row = np.argmin(np.hypot(catalogue["RA"] - ra, catalogue["DEC"] - dec))
        of_source = shares["ID_SRC"] == catalogue["ID_SRC"][row]
        own = photons["src_id"] == src_id
        inside = np.count_nonzero(own & (np.hypot(x - east, y - north) < 60.0))
        total = np.sum(shares["SHARE"][of_source])
        assert abs(total - inside) < 3.0 * np.sqrt(inside)
        assert np.isclose(total, columns["FITTED"][row], rtol=1e-5)
        labels = photons["src_id"][event[of_source]]
        of_labels = {label: np.sum(shares["SHARE"][of_source][labels == label]) for label in np.unique(labels)}
        assert max(of_labels, key=of_labels.get) == src_id


def test_a_catalogue_without_rows_has_no_photons():
    photons = Scene(6).events()
    catalogue = {name: values[:0] for name, values in detect(photons, exposure, psf, BLIND).items()}
    columns, shares = share_photons(photons, catalogue, psf, BLIND)
    assert all(len(values) == 0 for values in (*columns.values(), *shares.values()))
