"""Small tables with the columns of the published eFEDS tables, and each of their known problems in a known row."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from astropy.io import fits
from astropy.table import Table

EFEDS = Path(__file__).parents[3] / "shared" / "data" / "efeds"
NUMBER = 60
_RADII = [f"{radius}kpc{end}" for radius in (300, 500) for end in ("", "_L", "_U")]
LIU = ["ID", "ID_SRC", "RA", "DEC", "EXT_LIKE", "DET_LIKE", "z", "z_type"]
LIU += [f"{name}_{at}" for radius in (0, 3) for name in ("T", "L", "Lbol", "F") for at in _RADII[radius : radius + 3]]
LIU += ["SNR_MAX", "R_SNR_MAX"]
_BEST = ["F_CONT", "Z", "SIGMA_Z", "LAMBDA", "ELAMBDA", "SURV", "RA_OPTCEN", "DEC_OPTCEN", "SPEC_Z"]
KLEIN = ["Name", "ID_SRC", "RA_CORR", "DEC_CORR", "RADEC_ERR_CORR", "EXT", "EXT_ERR", "EXT_LIKE", "ML_CTS"]
KLEIN += ["ML_CTS_ERR", "ML_RATE", "ML_RATE_ERR", "ML_FLUX", "ML_FLUX_ERR", "DET_LIKE", "ML_BKG", "ML_EXP", "inArea90"]
KLEIN += [f"{name}_BEST_COMB" for name in _BEST] + ["N_SPEC", "MASSPROX_BEST_COMB"]
KLEIN += [f"{name}_2BEST_COMB" for name in ("F_CONT", "Z", "LAMBDA", "ELAMBDA", "SIGMA_Z", "SURV", "MASSPROX")]
KLEIN += ["FLAG_OPTICAL_X_POS", "MASKFRAC_3_FOOT", "MASKFRAC_3_FLAGGED"]
KLEIN += [f"MASKFRAC_R500_{what}_{n}BEST_COMB" for n in ("", "2") for what in ("FOOT", "FLAGGED")]
KLEIN += ["RA_GDMAP_2BEST_COMB", "DEC_GDMAP_2BEST_COMB", "Alpha", "Delta", "Beta", "Ellip", "Centershift"]
KLEIN += ["DIST_NEXT_OPT_R500", "DISTNEXT_XCLUST_MPC", "DISTNEXT_XCLUST_R500", "MCMF_NWAY_SECTOR"]
CHIU23 = ["Name", "Z_BEST_COMB"]
CHIU23 += [f"{name}_{model}" for model in ("lcdm", "wcdm") for name in ("r500c", "ensemble_500c", "median_500c")]
CHIU23 += [f"m500c_{model}_{error}" for model in ("lcdm", "wcdm") for error in ("hierr", "loerr")]
#: clusters (from 0, in Klein's order) with a planted trap
UPPER_LIMITS, OTHER_REDSHIFT, FAILED_FITS, CONFIRMED, NO_REDSHIFT = (3, 4), (5, 6, 7), (8,), (9, 10), (11,)
DOUBTFUL, UNSURE, OUTSIDE = range(20, 26), range(26, 29), range(30, 32)


class Tables(NamedTuple):
    """Files of the three tables, and what the masses and redshifts in them are."""

    liu: Path
    klein: Path
    chiu2023: Path
    chiu2022: Path
    #: log10(M500c / Msun), no h, and Klein's ID_SRC, name and photometric redshift, (cluster,)
    mass: np.ndarray
    id_src: np.ndarray
    name: np.ndarray
    redshift: np.ndarray


def write_tables(folder: Path, number: int = NUMBER, seed: int = 1) -> Tables:
    """Write all tables, each in a different order; no id of Liu et al. equals a name of Klein et al. or Chiu et al."""
    rng = np.random.default_rng(seed)
    id_src = rng.permutation(30000)[:number] + 1
    ra, dec, z = rng.uniform(126, 146, number), rng.uniform(-2, 5, number), rng.uniform(0.1, 0.9, number)
    tenths = [f"{i:06d}.{i % 9}" for i in range(number)]
    names = np.array([f"eFEDS J{t}+0{i:05d}" for i, t in enumerate(tenths)])
    mass = rng.uniform(13.5, 14.8, number)
    klein = Table({column: rng.uniform(0.1, 1.0, number) for column in KLEIN})
    klein["Name"], klein["ID_SRC"], klein["RA_CORR"], klein["DEC_CORR"] = names, id_src, ra, dec
    klein["ML_RATE"] = 0.1 * 10 ** ((mass - 14.12) / 0.585)
    klein["Z_BEST_COMB"], klein["SIGMA_Z_BEST_COMB"], klein["SPEC_Z_BEST_COMB"] = z, 0.01, -1.0
    klein["inArea90"], klein["F_CONT_BEST_COMB"] = ["false" if i in OUTSIDE else "true" for i in range(number)], 0.05
    klein["F_CONT_BEST_COMB"][list(DOUBTFUL)], klein["F_CONT_BEST_COMB"][list(UNSURE)] = 0.3, 0.25
    klein["F_CONT_BEST_COMB"][list(CONFIRMED)] = [-1.0, -2.0]
    klein["ML_RATE_ERR"][list(FAILED_FITS)], klein["ML_CTS_ERR"][list(FAILED_FITS)] = -9999.9, -2e7
    klein["RA_GDMAP_2BEST_COMB"], klein["DEC_GDMAP_2BEST_COMB"] = -99.9, -99.9
    klein["SIGMA_Z_BEST_COMB"][list(NO_REDSHIFT)] = np.inf
    klein["EXT_LIKE"], klein["DET_LIKE"] = rng.uniform(6, 90, number), rng.uniform(5, 900, number)
    liu = Table({column: rng.uniform(1e42, 1e44, number) for column in LIU})
    # the same position, rounded to the other side
    liu["ID"] = [f"{name[:-1]}{(int(name[-1]) + 1) % 10}" for name in names]
    for ours, theirs in (("ID_SRC", "ID_SRC"), ("RA", "RA_CORR"), ("DEC", "DEC_CORR"), ("DET_LIKE", "DET_LIKE")):
        liu[ours] = klein[theirs]
    liu["EXT_LIKE"], liu["z"], liu["z_type"] = klein["EXT_LIKE"], z, np.arange(number) % 2
    liu["z"][list(OTHER_REDSHIFT)] += [0.021, -0.05, 0.19]
    for column in ("L_500kpc", "L_500kpc_L", "F_500kpc"):
        liu[column][list(UPPER_LIMITS)] = -1.0
    paths = folder / "liu.csv", folder / "klein.csv", folder / "chiu2023.fits", folder / "tablec1.dat"
    liu[rng.permutation(number)].write(paths[0])
    klein.write(paths[1])
    _write_chiu2023(paths[2], names, z, mass, rng)
    _write_tablec1(paths[3], names, mass)
    return Tables(*paths, mass, id_src, names, z)


def _write_chiu2023(path: Path, names: np.ndarray, z: np.ndarray, mass: np.ndarray, rng: np.random.Generator) -> None:
    """Logarithms of Msun/h with linear errors of 25 and 20 per cent, and the unit that FITS doesn't know."""
    per_h = mass + np.log10(0.7)
    values = {column: rng.uniform(1, 3, names.size) for column in CHIU23} | {"Z_BEST_COMB": z}
    values |= {f"{which}_500c_{model}": per_h for which in ("median", "ensemble") for model in ("lcdm", "wcdm")}
    values |= {"m500c_lcdm_hierr": 0.25 * 10**per_h, "m500c_lcdm_loerr": 0.20 * 10**per_h}
    columns = [fits.Column("Name", "50A", array=names)]
    columns += [
        fits.Column(name, "D", unit="arcmin" if name.startswith("r500") else "Msun/h", array=values[name])
        for name in CHIU23[1:]
    ]
    table = fits.BinTableHDU.from_columns(columns)
    table.data = table.data[rng.permutation(names.size)]
    table.writeto(path)


def _write_tablec1(path: Path, names: np.ndarray, mass: np.ndarray) -> None:
    """Write lines of 70 bytes without every fourth cluster; columns that must not be read hold conspicuous values."""
    rows = [
        f"{name.removeprefix('eFEDS '):16s}{'*' if i in UNSURE else ' '} {11.1:6.3f} {11.2:6.3f} {0.9:5.3f} "
        f"{11.3:6.3f} {m + np.log10(0.7):6.3f} {0.11:5.3f} " + (f"{11.4:6.3f} {0.8:5.3f}" if i % 2 else " " * 12)
        for i, (name, m) in enumerate(zip(names, mass, strict=True))
        if i % 4
    ]
    assert {len(row) for row in rows} == {70}
    path.write_text("\n".join(rows) + "\n")
