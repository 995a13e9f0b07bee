"""Adapter of the rule download_efeds."""

from clustermass.io.download import download_files
from clustermass.io.log import step

with step(snakemake.log[0], snakemake.rule):
    download_files(snakemake.params.downloads)
