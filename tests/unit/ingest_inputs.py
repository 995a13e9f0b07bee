"""A small field of a user's own, as observed and as simulated, and its way into the standard files."""

from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

from clustermass.ingest.user_field import ingest_field
from clustermass.io.products import FieldFiles

EVENTS = {"flag_mask": "auto", "pattern": 15}
OUTPUTS = ("events", "exposure", "catalogue", "truth", "matches", "labels")
RA0, DEC0 = 359.95, 2.0
#: SRC_ID, RA, DEC of the simulated ones
HALOES = ((7, RA0, DEC0 + 0.005), (8, RA0 - 0.1, 1.9))


def event_list(path: Path, number=4000, width=0.4, flag=0, labels=None, gti: float | None = 1000.0, seed=1) -> Path:
    """Write an eSASS list of a square field across RA 0; row 0 has a flag of a corrupt event, row 1 a bad pattern."""
    rng = np.random.default_rng(seed)
    columns = {
        "TIME": rng.uniform(0, 1000, number),
        "RA": (RA0 + rng.uniform(-width / 2, width / 2, number)) % 360,
        "DEC": DEC0 + rng.uniform(-width / 2, width / 2, number),
        "PI": rng.uniform(210, 2290, number).astype(np.float32),
        "TM_NR": rng.integers(1, 8, number).astype(np.uint8),
        "PAT_TYP": rng.integers(1, 5, number).astype(np.int16),
        "FLAG": np.full(number, flag, dtype=np.int32),
    }
    columns["FLAG"][0] = -(2**31)
    columns["PAT_TYP"][1] = 0
    if labels is not None:
        columns["SRC_ID"] = labels
        for label, ra, dec in HALOES:
            columns["RA"][labels == label] = (ra + rng.normal(0, 10 / 3600, (labels == label).sum())) % 360
            columns["DEC"][labels == label] = dec + rng.normal(0, 10 / 3600, (labels == label).sum())
    table = fits.BinTableHDU(Table(columns), name="EVENTS")
    intervals = [
        fits.BinTableHDU(Table({"START": [0.0], "STOP": [gti or 0.0]}), name=f"GTI{module}") for module in range(1, 8)
    ]
    fits.HDUList([fits.PrimaryHDU(), table, *(intervals if gti else [])]).writeto(path, overwrite=True)
    return path


def sky(folder: Path, **changes) -> dict:
    """Return the configuration block of an observed field with two clusters."""
    (folder / "mine.csv").write_text(f"ID_SRC,RA,DEC,Z\n3,{RA0},{DEC0},0.2\n5,{(RA0 + 0.1) % 360},2.1,0.4\n")
    if not (folder / "mine.fits").exists():
        event_list(folder / "mine.fits")
    files = {"events": [str(folder / "mine.fits")], "catalogue": str(folder / "mine.csv")} | changes
    return {"source": "files", "observed": True, "realizations": {"01": files}}


def simulated(folder: Path, **changes) -> dict:
    rows = [f"{src_id},{ra},{dec},{z}" for (src_id, ra, dec), z in zip(HALOES, ("0.2,1e14", "0.4,2e14"), strict=True)]
    (folder / "halos.csv").write_text("\n".join(["SRC_ID,RA,DEC,Z,M500C", *rows]) + "\n")
    labels = np.repeat([7, 8, -1], [60, 30, 3910]).astype(np.int32)
    event_list(folder / "mine.fits", labels=labels)
    return sky(folder, truth=str(folder / "halos.csv")) | {"observed": False} | changes


def ingest(folder: Path, block: dict, events=EVENTS, name="out") -> dict[str, Path]:
    outputs = {key: folder / name / f"{key}.fits" for key in OUTPUTS}
    ingest_field(block, "01", events, FieldFiles(**outputs))
    return outputs
