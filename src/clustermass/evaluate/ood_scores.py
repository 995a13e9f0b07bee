"""Out-of-distribution scores of a test set: which clusters are unlike the training clusters, and the whole sample."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from scipy.stats import mannwhitneyu

from clustermass.arrays import FloatArray
from clustermass.ensemble.ood_quantities import measure
from clustermass.ensemble.out_of_distribution import FALSE_ALARMS, read_ood_model
from clustermass.ensemble.scores import Json, fraction
from clustermass.io.log import LOGGER
from clustermass.io.netcdf import read_netcdf, write_netcdf
from clustermass.io.provenance import provenance


def score_ood(smoothed: Sequence[Path], ensemble: Path, domain: Path, output: Path) -> None:
    """Score the test clusters of an `ensemble.nc` against the training and validation clusters of the training sky.

    Takes the preprocessed images, the `ensemble.nc` of the training sky or of a test sky, and the experiment's
    `domain.nc`; writes `ood_p`, `ood_why` and `flag_ood` (cluster,). InputError if a file is missing or damaged, or the
    images lack a cluster.
    """
    model, test = read_ood_model(domain), measure(smoothed, ensemble, ("test",))
    score = model.score(test.values)
    columns = {"ood_p": score.p, "ood_why": score.why, "flag_ood": score.flagged.astype(np.int16)}
    dataset = xr.Dataset({name: ("cluster", column) for name, column in columns.items()}, {"cluster": test.cluster})
    made = provenance("score_ood", {}, [*smoothed, ensemble, domain], n_validation=model.number)
    LOGGER.info("score_ood: %d of %d clusters are flagged", score.flagged.sum(), score.p.size)
    write_netcdf(dataset, output, "Which test clusters are unlike the training clusters", made)


def summarise_ood(scores: Path) -> Json:
    """Summary of the file that `score_ood` wrote.

    `false_alarm_rate`, the nominal one; `n`, `n_validation`; `flagged`, the share of flagged clusters, and its binomial
    `flagged_ci68`, None without clusters; `why`: number of flagged clusters by the quantity that stands out;
    `sample_p`.
    """
    table = read_netcdf(scores, ("ood_p", "ood_why", "flag_ood"))
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

    One-sided Mann-Whitney test of `OodScore.p` (cluster,), NaN left out, against the ranks of `number` validation
    clusters. It takes clusters as independent and detects small differences that all clusters share.
    """
    finite = p[np.isfinite(p)]
    if not finite.size or not number:
        return None
    # p = j / (n + 1) lies between the (j - 1)-th and the j-th most unlike validation cluster
    gauge = (np.arange(1, number + 1) + 0.5) / (number + 1)
    return float(mannwhitneyu(finite, gauge, alternative="less").pvalue)
