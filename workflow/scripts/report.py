"""Script of the rule report: makes snakemake write the report with figures, numbers in captions, settings and costs."""

import subprocess
import sys
from pathlib import Path

import yaml
from clustermass.io.files import atomic
from clustermass.io.files import write_json
from clustermass.io.log import step
from clustermass.io.provenance import PACKAGE
from clustermass.io.provenance import provenance
from clustermass.report.summary import costs_by_step
from clustermass.report.summary import folders_of
from clustermass.report.summary import for_captions
from clustermass.report.summary import settings_text
from clustermass.report.summary import read_summary

with step(snakemake.log[0], snakemake.rule):
    workflow, results = PACKAGE.parents[1] / "workflow", Path(snakemake.output.report).parents[1]
    summary = read_summary(Path(snakemake.input.summary))
    config = {**snakemake.config}
    with atomic(snakemake.output.settings) as page:
        page.write_text(settings_text(config), encoding="utf-8")
    record = {
        "steps": costs_by_step(folders_of(config, results), config),
        "software": for_captions(summary["made_with"]),
        "settings": settings_text(config),
    }
    overlay = Path(snakemake.log[0]).with_name("report_config.yaml")
    facts = {"facts": for_captions(summary["experiments"]), "record": record}
    overlay.write_text(yaml.safe_dump({**config, **facts}), encoding="utf-8")
    with atomic(snakemake.output.report) as page, Path(snakemake.log[0]).open("a") as log:
        command = [sys.executable, "-P", "-m", "snakemake", "--snakefile", str(workflow / "Snakefile"), "--nolock"]
        command += ["--configfile", str(overlay), "--report", str(page)]
        command += ["--report-stylesheet", str(workflow / "report" / "report.css"), "--", *snakemake.input.figures]
        subprocess.run(command, check=True, stdout=log, stderr=subprocess.STDOUT)
    made_from = [*snakemake.input, snakemake.output.settings, snakemake.output.report]
    write_json({"provenance": provenance("report", config, made_from)}, snakemake.output.provenance)
