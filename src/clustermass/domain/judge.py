"""How many clusters of a test set are flagged as unlike the training clusters: false alarms, or the power to see."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from scipy.stats import mannwhitneyu

from clustermass.cosmology import FloatArray
from clustermass.datasets import read_netcdf, write_netcdf
from clustermass.domain.measure import measure
from clustermass.domain.model import read_domain
from clustermass.domain.names import FALSE_ALARMS
from clustermass.evaluation.calibration import fraction
from clustermass.progress import LOGGER
from clustermass.provenance import provenance


def judge_domain(smoothed: Sequence[Path], ensemble: Path, domain: Path, output: Path) -> None:
    """Rank the test clusters of an `ensemble.nc` among the validation clusters of the training sky.

    Parameters
    ----------
    smoothed
        Images of the clusters.
    ensemble
        `ensemble.nc` of the training sky or of a test sky.
    domain
        `domain.nc` of the experiment.
    output
        netCDF to write: `ood_p`, `ood_why` and `flag_ood` (cluster,).

    Raises
    ------
    InputError
        A file is missing or damaged, or the images lack a cluster.
    """
    known = read_domain(domain)
    found = measure(smoothed, ensemble, ("test",))
    judged = known.judge(found.measured)
    columns = {"ood_p": judged.p, "ood_why": judged.why, "flag_ood": judged.flagged.astype(np.int16)}
    dataset = xr.Dataset({name: ("cluster", column) for name, column in columns.items()}, {"cluster": found.cluster})
    made = provenance("judge_domain", {}, [*smoothed, ensemble, domain], n_validation=known.number)
    LOGGER.info("judge_domain: %d of %d clusters are flagged", judged.flagged.sum(), judged.p.size)
    write_netcdf(dataset, output, "Which test clusters are unlike the training clusters", made)


def summary_of(judged: Path) -> dict[str, Any]:
    """Sum up what `judge_domain` wrote.

    Returns
    -------
    dict
        `false_alarm_rate` that is stated, `n`, `n_validation`; `flagged`, the share of flagged clusters, and its
        binomial `flagged_ci68`; `why`: how many were flagged for what; `sample_p`, see `sample_p`. None of no clusters.
    """
    table = read_netcdf(judged, ("ood_p", "ood_why", "flag_ood"))
    number = int(table.attrs["n_validation"])
    flagged = table["flag_ood"].values != 0
    names, counts = np.unique(table["ood_why"].values.astype(str)[flagged], return_counts=True)
    return {
        "false_alarm_rate": FALSE_ALARMS,
        "n": int(flagged.size),
        "n_validation": number,
        **(fraction("flagged", flagged) if flagged.size else {"flagged": None, "flagged_ci68": None}),
        "why": dict(zip(names.tolist(), counts.tolist(), strict=True)),
        "sample_p": sample_p(table["ood_p"].values, number),
    }


def sample_p(p: FloatArray, number: int) -> float | None:
    """Probability that a sample like the validation clusters is altogether as unlike the training clusters as this one.

    One-sided Mann-Whitney test; it takes clusters as independent. It sees small differences that all clusters share.

    Parameters
    ----------
    p
        Of `Domain.judge`, (cluster,); NaN is left out.
    number
        Validation clusters.
    """
    known = p[np.isfinite(p)]
    if not known.size or not number:
        return None
    # p = j / (n + 1) lies between the (j - 1)-th and the j-th most unlike validation cluster
    gauge = (np.arange(1, number + 1) + 0.5) / (number + 1)
    return float(mannwhitneyu(known, gauge, alternative="less").pvalue)
