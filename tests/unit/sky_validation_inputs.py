"""A realization of a sky in which all numbers are chosen."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from astropy.io import fits

from clustermass.io.fits import write_fits
from clustermass.sky_validation.measure import RealizationFiles
from clustermass.sky_validation.statistics import mass_relation

DEFAULTS = {
    "CATALOGUE": {
        "ID_SRC": 0.0, "DET_LIKE": 30.0, "EXT_LIKE": 0.0, "EXT": 0.0, "ML_RATE": 0.01, "ML_CTS": 10.0,
        "ML_EXP": 1000.0, "ML_BKG": 6.0, "RA": 150.0, "DEC": 2.0, "F_CONT": np.nan,
    },
    "TRUTH": {
        "SRC_ID": 0.0, "RA": 150.0, "DEC": 2.0, "Z": 0.35, "LOG10_M500C": 14.0, "L500": 1e44, "FLUX": 5e-14,
        "FLUX500KPC": 4e-14,
    },
    "MATCHES": {"ID_SRC": 0.0, "SRC_ID": 0.0},
}  # fmt: skip


def files_in(folder: Path) -> RealizationFiles:
    return RealizationFiles(*(folder / f"{name}.fits" for name in RealizationFiles._fields))


def table(name: str, rows: int, columns: Mapping[str, object], config_hash: str = "abc") -> fits.HDUList:
    values = {column: np.broadcast_to(columns.get(column, usual), rows) for column, usual in DEFAULTS[name].items()}
    hdu = fits.BinTableHDU.from_columns(
        [fits.Column(column, "D", array=np.array(cells, dtype=float)) for column, cells in values.items()], name=name
    )
    hdu.header["CFGHASH"] = config_hash
    return fits.HDUList([fits.PrimaryHDU(), hdu])


def exposure_map(image: np.ndarray, ra: float = 150.0, dec: float = 2.0, pixel_deg: float = 1 / 60) -> fits.HDUList:
    hdu = fits.PrimaryHDU(image.astype(np.float32))
    rows, columns = image.shape
    for axis, kind, centre, value, step in (
        (1, "RA---SIN", columns / 2 + 0.5, ra, -pixel_deg),
        (2, "DEC--SIN", rows / 2 + 0.5, dec, pixel_deg),
    ):
        for key, card in (("CTYPE", kind), ("CRPIX", centre), ("CRVAL", value), ("CDELT", step), ("CUNIT", "deg")):
            hdu.header[f"{key}{axis}"] = card
    return fits.HDUList([hdu])


def event_list(energies: np.ndarray) -> fits.HDUList:
    columns = [fits.Column("PI", "E", array=np.asarray(energies, dtype=np.float32))]
    return fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns, name="EVENTS")])


def plant(folder: Path, **changes: object) -> Path:
    """Write a realization of 2 x 2 deg, the western half of it exposed for 1000 s and the eastern for 2000 s.

    By default it has ten haloes of 5e-14 erg/s/cm2 in it, of which the detections 1 to 5 are the first five, all
    selected; detection 6 is a spurious candidate, 7 and 8 are point sources; 7 events, 5 of them within 0.2-2.3 keV.
    `changes` replaces columns (`catalogue_ML_RATE=...`), `matches` (pairs), `energies`, `image`, `config_hash`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    own = {
        "catalogue_ID_SRC": np.arange(1, 9), "truth_SRC_ID": np.arange(1, 11),
        "catalogue_EXT_LIKE": np.array([20.0, 20, 20, 20, 20, 8, 0, 0]),
        "catalogue_DET_LIKE": np.array([30.0, 30, 30, 30, 30, 30, 7, 5.5]),
        "matches": [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5)],
        "energies": np.array([150.0, 200.0, 500.0, 1000.0, 2000.0, 2300.0, 5000.0]),
        "image": np.repeat([[2000.0] * 60 + [1000.0] * 60], 120, axis=0),
        "config_hash": "abc", **changes,
    }  # fmt: skip
    own = {"catalogue_RA": 150 + 0.2 * np.arange(len(own["catalogue_ID_SRC"]))} | own  # far from each other
    pairs = np.array(own["matches"], dtype=float).reshape(-1, 2)
    own |= {"matches_ID_SRC": pairs[:, 0], "matches_SRC_ID": pairs[:, 1]}
    sizes = {"catalogue": len(own["catalogue_ID_SRC"]), "truth": len(own["truth_SRC_ID"]), "matches": len(pairs)}
    for name, rows in sizes.items():
        columns = {key.removeprefix(f"{name}_"): cells for key, cells in own.items() if key.startswith(f"{name}_")}
        write_fits(table(name.upper(), rows, columns, own["config_hash"]), folder / f"{name}.fits")
    write_fits(exposure_map(own["image"]), folder / "exposure.fits")
    write_fits(event_list(own["energies"]), folder / "events.fits")
    return folder


def plant_sample(folder: Path, seed: int, number: int = 300, spurious: int = 40, scatter: float = 0.15) -> Path:
    """Write a realization whose clusters follow the relation of the eFEDS masses with some scatter."""
    rng = np.random.default_rng(seed)
    total = number + spurious + 200
    ids = np.arange(1, total + 1)
    extended = ids <= number + spurious
    rate = 10 ** rng.uniform(-1.5, 0.0, total)
    z = rng.uniform(0.1, 0.9, number)
    q = np.log10((1 + z) / (1 + mass_relation()["pivot_z"]))
    mass = mass_relation()["log10_mass"] + mass_relation()["slope_rate"] * np.log10(rate[:number] / 0.1)
    mass += mass_relation()["linear_z"] * q + mass_relation()["quadratic_z"] * q**2 + scatter * rng.normal(size=number)
    return plant(
        folder,
        catalogue_ID_SRC=ids,
        catalogue_EXT_LIKE=np.where(extended, 6 + rng.exponential(30, total), 0.0),
        catalogue_DET_LIKE=np.where(extended, 20 + rng.exponential(50, total), 8.0),
        catalogue_ML_RATE=rate,
        catalogue_ML_CTS=1000 * rate,
        catalogue_ML_EXP=rng.uniform(900, 1300, total),
        catalogue_EXT=np.where(extended, 10 + 50 * np.arange(total) % 51, 0.0),
        truth_SRC_ID=ids[:number],
        truth_Z=z,
        truth_LOG10_M500C=mass,
        truth_L500=10 ** (44 + 1.5 * (mass - 14)),
        truth_FLUX=(flux := 10 ** rng.uniform(-14.5, -12.5, number)),
        truth_FLUX500KPC=flux * 10 ** rng.normal(0, 0.1, number),
        matches=np.stack([ids[:number], ids[:number]], axis=1),
        energies=rng.uniform(200, 2300, 5000),
    )
