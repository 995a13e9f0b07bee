"""Key figures of `metrics.json`, for tables, captions and comparisons of experiments."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clustermass.errors import InputError

#: key figure -> baseline that the network's scatter is divided by
RATIOS = {"over_count_rate": "count_rate_recalibrated", "over_ridge": "ridge_features", "over_trees": "boosted_trees"}
# baselines may be missing: a user's simulation without count rates, published images without counts
_UNKNOWN: Mapping[str, None] = {"value": None, "ci68": None}


def key_figures(metrics: str | Path) -> dict[str, Any]:
    """Return the key figures of one `metrics.json`; None if missing, or for fewer than three clusters.

    Sizes; of the test set `scatter_dex`, `bias_dex`, calibration and the ratios of `RATIOS`, with their `_ci68`;
    `flagged`: share of test clusters with FLAG_OOD, `sample_p` of `summarise_ood`; `isolated`: sizes, scatter and
    ratios of the test clusters without a neighbour, None if unknown. InputError if the file is missing, is no JSON, or
    lacks a block.
    """
    try:
        content = json.loads(Path(metrics).read_text(encoding="utf-8"))
        test, calibration = content["test"], content["calibration"]
        isolated, domain = test.get("isolated"), content.get("domain", {})
        return {
            **{name: content[name] for name in ("n_train", "n_val", "n_test")},
            "n_members": content["ensemble"]["n_members"],
            **_scatter(test, content["ratios"]),
            "scatter_ln_percent": test["scatter_ln_percent"],
            "bias_dex": test["bias_dex"],
            "coverage68": calibration["coverage68"],
            "coverage68_ci68": calibration.get("coverage68_ci68"),
            "coverage95": calibration["coverage95"],
            "residual_over_sigma": calibration["residual_std_over_mean_sigma"],
            **{name: domain.get(name) for name in ("flagged", "flagged_ci68", "sample_p")},
            "left_out": content.get("baselines_left_out", {}),
            "isolated": {"n_test": isolated["n"], **_scatter(isolated, isolated["ratios"])} if isolated else None,
        }
    except (OSError, ValueError) as error:
        raise InputError(f"{metrics}: no readable metrics ({error}). Delete it and run again.") from error
    except KeyError as error:
        raise InputError(f"{metrics}: lacks {error}. Delete it and run again.") from error


def _scatter(scores: Mapping[str, Any], ratios: Mapping[str, Any]) -> dict[str, object]:
    figures = {name: scores[name] for name in ("scatter_dex", "scatter_dex_ci68")}
    for key, baseline in RATIOS.items():
        ratio = ratios.get(f"network_over_{baseline}", _UNKNOWN)
        figures |= {key: ratio["value"], f"{key}_ci68": ratio["ci68"]}
    return figures


def compared(metrics: Sequence[Path], rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of a comparison with the key figures of the `metrics.json` of each.

    A row has `experiment`, `sky` (None = the test set of the training sky), and further columns. The row without a sky
    comes first for each experiment: only its file has the number of training clusters.
    """
    complete: list[dict[str, Any]] = []
    trained: dict[str, int] = {}
    for row, path in zip(rows, metrics, strict=True):
        figures = key_figures(path)
        trained.setdefault(row["experiment"], figures["n_train"])
        complete.append({**figures, **row, "n_train": trained[row["experiment"]]})
    return complete
