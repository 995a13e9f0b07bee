"""Count the haloes above a flux for several values of sigma8, with the gas as it is at given mass and redshift.

Only haloes and their gas are drawn. The result is in docs/measured/density_by_sigma8.json.
"""

import shlex
import sys
from pathlib import Path

import numpy as np

from clustermass.arrays import random_streams
from clustermass.config.resolve import default_config, resolve_sky
from clustermass.io.files import write_json
from clustermass.simulate.field import Field
from clustermass.simulate.population import realization_haloes
from clustermass.simulate.spectra import ClusterSpectra
from clustermass.simulate.telescope import response_to

RESULT = Path(__file__).resolve().parents[2] / "docs" / "measured" / "density_by_sigma8.json"
SIGMA8 = (0.8147, 0.74, 0.72)
FLUX = (3e-15, 1e-14, 1e-13)  # erg/s/cm2 inside R500c, 0.5-2 keV
FIELDS = [f"{number}" for number in range(701, 707)]


def main():
    """Draw six fields for each sigma8 and write the numbers of haloes per deg2."""
    name = sys.argv[1] if len(sys.argv) > 1 else "embedded"
    config = default_config()
    sky = resolve_sky(config["skies"], name)
    field, response = Field.from_config(sky["field"]), response_to(sky["telescope"]["pi_max_ev"])
    spectra = ClusterSpectra.build(sky["clusters"]["redshift_max"], sky["absorption"]["nh_cm2"], response)
    area = sky["field"]["width_deg"] * sky["field"]["height_deg"]
    rows = []
    for sigma8 in SIGMA8:
        cosmology = {**config["cosmology"], "sigma8": sigma8}
        numbers = []
        for realization in FIELDS:
            generators = random_streams(sky["seed"], "tuned", realization)
            haloes, _ = realization_haloes(sky, cosmology, field, spectra, generators)
            numbers.append([np.count_nonzero(haloes.flux > limit) / area for limit in FLUX])
        error = np.std(numbers, axis=0, ddof=1) / np.sqrt(len(FIELDS))
        row = {"sigma8": sigma8, "s8": sigma8 * (cosmology["omega_m"] / 0.3) ** 0.5}
        rows.append(row | {"per_deg2": np.mean(numbers, axis=0), "error": error})
        print(rows[-1], flush=True)
    command = shlex.join(["benchmarks/limits/density_by_sigma8.py", *sys.argv[1:]])
    write_json({"command": command, "flux_erg_s_cm2": FLUX, "fields": len(FIELDS), "rows": rows}, RESULT)


if __name__ == "__main__":
    main()
