"""Adapter of the rule download_efeds."""

from clustermass.download.fetch import download_files
from clustermass.progress import step

with step(snakemake.log[0], snakemake.rule):
    download_files(snakemake.params.downloads)
