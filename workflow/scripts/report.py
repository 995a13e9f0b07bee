"""Adapter of the rule report: hands snakemake the figures, and the captions the numbers that they state."""

import subprocess
import sys
from pathlib import Path

import yaml
from clustermass.datasets import atomic
from clustermass.progress import step
from clustermass.summary import read_summary

with step(snakemake.log[0], snakemake.rule):
    summary = read_summary(Path(snakemake.input.summary))
    settings = Path(snakemake.log[0]).with_name("report_config.yaml")
    settings.write_text(yaml.safe_dump({**snakemake.config, "facts": summary["experiments"]}), encoding="utf-8")
    with atomic(snakemake.output.report) as page, Path(snakemake.log[0]).open("a") as log:
        command = [
            sys.executable,
            "-m",
            "snakemake",
            "--snakefile",
            str(Path(snakemake.scriptdir).parent / "Snakefile"),
            "--nolock",
        ]
        command += ["--configfile", str(settings), "--report", str(page), "--", *snakemake.input.figures]
        subprocess.run(command, check=True, stdout=log, stderr=subprocess.STDOUT)
