"""A small data set with the structure of the published one: a pickle of smoothed images and a catalogue."""

import pickle

import numpy as np
from astropy.cosmology import FlatLambdaCDM
from astropy.table import Table
from scipy.signal import convolve

COSMOLOGY = {"h0_km_s_mpc": 67.74, "omega_m": 0.3089}
ASTROPY = FlatLambdaCDM(H0=67.74, Om0=0.3089)


def make_catalogue(realizations=3, each=25, seed=1):
    """Masses as truth, R500 from them by astropy alone, and count rates that follow them with scatter."""
    rng = np.random.default_rng(seed)
    n = realizations * each
    log10_mass, z = rng.uniform(13.3, 14.9, n), rng.uniform(0.1, 0.8, n)
    density = ASTROPY.critical_density(z).to_value("Msun/kpc3")
    radius_kpc = (10**log10_mass * 3 / (4 * np.pi * 500 * density)) ** (1 / 3)
    rate = 10 ** ((log10_mass - 14.1) / 0.6 - 1 + rng.normal(0, 0.1, n))
    table = Table()
    table["SRC_ID_IN"] = 10_000_000 + rng.permutation(n)
    table["RA"], table["DEC"] = rng.uniform(126, 146, n), rng.uniform(-2, 5, n)
    table["z"] = z
    table["kT"] = 10 ** (0.5 + 0.6 * (log10_mass - 14.1))
    table["dL"] = ASTROPY.luminosity_distance(z).to_value("cm")
    table["Lx_soft"] = 43.5 + 1.6 * (log10_mass - 14.1) + rng.normal(0, 0.1, n)
    for name in ("Lx_soft_2R500", "Fx_soft", "Fx_soft_2R500"):
        table[name] = rng.uniform(1, 2, n)
    table["M500c"] = 10**log10_mass
    table["R500c_arcmin"] = radius_kpc * ASTROPY.arcsec_per_kpc_proper(z).to_value("arcsec/kpc") / 60
    table["R500c_kpc"] = radius_kpc
    table["pid"] = -1
    for name in ("Mvir", "Rvir", "Xoff", "b_to_a_500c"):
        table[name] = rng.uniform(1, 2, n)
    table["ID_SRC_OUT"] = np.tile(np.arange(each) * 7 + 3, realizations)
    table["RA_eSASS"], table["DEC_eSASS"] = table["RA"] + 0.001, table["DEC"]
    table["RADEC_ERR"], table["EXT"], table["EXT_ERR"] = (rng.uniform(5, 40, n) for _ in range(3))
    table["EXT_LIKE"], table["ML_RATE"] = rng.uniform(6.1, 90, n), rate
    table["ML_RATE_ERR"], table["DET_LIKE"] = rate / 10, rng.uniform(5.1, 300, n)
    table["ML_BKG"], table["ML_EXP"] = rng.uniform(4, 9, n), rng.uniform(900, 1400, n)
    table["input_SRC_ID"] = table["SRC_ID_IN"]
    table["Nreal"] = np.repeat(np.arange(1, realizations + 1), each)
    table["CLU_X"], table["CLU_Y"] = rng.uniform(0, 9000, (2, n))
    return table


def make_images(catalogue, seed=2):
    """Draw a blob of ML_RATE x ML_EXP counts on a background, smoothed as App. A says; float64 (50, 50, 10) each."""
    rng = np.random.default_rng(seed)
    pixel = np.arange(50) - 24.5
    blob = np.exp(-(pixel[:, None] ** 2 + pixel**2) / (2 * 2.0**2))
    blob /= blob.sum() * 10
    i, j, k = np.meshgrid([-1, 0, 1], [-1, 0, 1], np.arange(-5, 6) / 5, indexing="ij")
    kernel = np.exp(-(i**2 + j**2 + k**2) / (2 * 0.75**2))
    kernel /= kernel.sum()
    counts = np.asarray(catalogue["ML_RATE"] * catalogue["ML_EXP"])
    images = []
    for number in counts:
        image = rng.poisson(np.repeat((blob * number + 0.1)[..., None], 10, axis=2)).astype(float)
        images.append(convolve(image, kernel, mode="same", method="fft"))
    return images


def write_set(folder, catalogue, images, ids=None, protocol=4):
    """Write both files and return the block of the sky, as the configuration has it."""
    folder.mkdir(exist_ok=True)
    ids = catalogue["SRC_ID_IN"].tolist() if ids is None else ids
    path = folder / "images.pickle"
    path.write_bytes(pickle.dumps({"cluster": list(ids), "gsm_3dImgs": list(images)}, protocol=protocol))
    catalogue.write(folder / "catalogue.fits", overwrite=True)
    sky = {"source": "published", "images": str(path), "catalogue": str(folder / "catalogue.fits")}
    return sky | {"realizations": int(catalogue["Nreal"].max()), "mass_unit": "Msun", "pairing": "ids"}
