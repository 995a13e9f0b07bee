"""Script of the rule compare_sky: passes its files and params to the package."""

from pathlib import Path

from clustermass.io.log import step
from clustermass.sky_validation.measure import RealizationFiles
from clustermass.sky_validation.table import validate

with step(snakemake.log[0], snakemake.rule):
    columns = [[Path(path) for path in snakemake.input[name]] for name in RealizationFiles._fields]
    realizations = [RealizationFiles(*files) for files in zip(*columns, strict=True)]
    output = {name: Path(path) for name, path in snakemake.output.items()}
    validate(realizations, **output)
