"""Collect the CPU seconds of each job and the size of each product of a finished default run, for `clustermass plan`.

The script reads files and runs no step. Usage: `python benchmarks/limits/default_costs.py [folder that holds results]`
"""

import sys
from pathlib import Path

from clustermass.config.resolve import load_config
from clustermass.io.files import write_json
from clustermass.report.estimate import measured_costs

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
from runner import RESULTS, header  # noqa: E402


def main(base):
    """Write results/benchmarks/default_costs.json, of which docs/measured holds a copy."""
    seconds, sizes = measured_costs(load_config([base / "results" / "default" / "config.yaml"]), base / "results")
    what = "CPU seconds by benchmark file and bytes by product, of a default run"
    command = "make results; python benchmarks/limits/default_costs.py"
    report = header("default_costs", what, command) | {"seconds": seconds, "bytes": sizes}
    write_json(report, RESULTS / "default_costs.json")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else ROOT)
