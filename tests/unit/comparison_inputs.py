"""A run of several experiments for the tests of their comparison: a metrics.json for each row."""

from pathlib import Path
from typing import Any

from clustermass.io.files import write_json

BASELINES = {"prior": 0.23, "count_rate_recalibrated": 0.16, "ridge_features": 0.145, "boosted_trees": 0.147}
Row = dict[str, Any]


def block(scatter: float, half: float, n: int) -> dict[str, Any]:
    return {
        "n": n,
        "scatter_dex": scatter,
        "scatter_dex_ci68": [scatter - half, scatter + half],
        "scatter_ln_percent": 230 * scatter,
        "bias_dex": 0.002,
    }


def ratios(scatter: float, half: float, baselines: dict[str, float]) -> dict[str, Any]:
    return {
        f"network_over_{name}": {"value": scatter / other, "ci68": [scatter / other - half, scatter / other + half]}
        for name, other in baselines.items()
    }


def content(
    scatter: float, n_train: int, n_test: int, members: int = 6, isolated: bool = True, growth: float = 1.0
) -> dict[str, Any]:
    """Return the contents of a metrics.json; the scatter of the baselines is `growth` times the usual one."""
    half = 0.1 / n_test**0.5
    others = {name: growth * value for name, value in BASELINES.items()}
    test = block(scatter, half, n_test)
    if isolated:
        alone = block(0.96 * scatter, half, n_test * 9 // 10)
        test["isolated"] = alone | {"ratios": ratios(0.96 * scatter, 6 * half, others)}
    calibration = {"coverage68": 0.67, "coverage68_ci68": [0.65, 0.69], "coverage95": 0.94}
    return {
        "n_train": n_train,
        "n_val": 374,
        "n_test": n_test,
        "test": test,
        "calibration": {**calibration, "residual_std_over_mean_sigma": 1.01},
        "ensemble": {"n_members": members},
        "baselines": {name: block(value, half, n_test) for name, value in others.items()},
        "ratios": ratios(scatter, 6 * half, others),
    }


def make_run(folder: Path) -> tuple[list[Path], list[Row]]:
    """Metrics and rows of an experiment, of three with fewer training clusters, of another recipe, and of a control."""
    experiments = [
        ("fiducial", 1972, 6, 50, "none", 0.144, "fiducial"),
        ("few", 250, 3, 50, "none", 0.167, "fiducial"),
        ("half", 1000, 3, 50, "none", 0.15, "fiducial"),
        ("krippendorf2023", 1972, 3, 300, "none", 0.156, None),
        ("blind", 1972, 1, 50, "noise_images", 0.231, None),
    ]
    paths, rows = [], []
    for name, n_train, members, epochs, control, scatter, family in experiments:
        growth = (1972 / n_train) ** 0.02
        for sky, n_test, factor in ((None, 395, 1.0), ("further", 4480, 0.99)):
            paths.append(folder / f"{name}_{sky}.json")
            # metrics of a further sky know of no training cluster
            found = content(factor * scatter, 0 if sky else n_train, n_test, members, not sky or name != "few", growth)
            write_json(found, paths[-1])
            rows.append({"experiment": name, "sky": sky, "epochs": epochs, "control": control, "family": family})
    return paths, rows
