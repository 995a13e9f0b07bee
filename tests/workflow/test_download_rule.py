"""The rule that fetches files: by its name alone, before they are there, and again to check them."""

import gzip
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, jobs, snakemake

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from download_inputs import table
from flawed_server import Site, serving

pytestmark = pytest.mark.workflow


def overlay(directory, url, **entry):
    """Return arguments for the configuration of a field whose catalogue is to be had at `url`."""
    files = {"events": ["data/field/catalogue.fits.gz"], "catalogue": "data/field/catalogue.fits.gz"}
    catalogue = {"urls": [url], "path": "data/field/catalogue.fits.gz", **entry}
    sky = {"source": "files", "observed": True, "realizations": {"01": files}}
    changes = {"skies": {"mine": sky}, "observed": {"fields": ["mine"]}}
    changes |= {"downloads": {"tries": 2, "pause_s": 0, "files": {"catalogue": catalogue}}}
    (directory / "mine.yaml").write_text(yaml.safe_dump(changes))
    return ["--configfile", str(ROOT / "config/test.yaml"), str(directory / "mine.yaml")]


def test_files_come_when_the_rule_is_asked_for_and_only_then(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    content = gzip.compress(table(542))
    with serving(site := Site(content, ("breaks off", "whole"))) as url:
        arguments = overlay(tmp_path, url, rows=542)
        asked = snakemake(tmp_path, *arguments, "-n", config=None, check=False)
        assert "catalogue.fits.gz: no such file" in asked.stdout + asked.stderr
        assert "`-- download_efeds` at its end" in asked.stdout + asked.stderr
        for _ in range(2):
            snakemake(tmp_path, *arguments, "--", "download_efeds", config=None)
            assert (tmp_path / "data/field/catalogue.fits.gz").read_bytes() == content
        planned = jobs(snakemake(tmp_path, *arguments, "-n", config=None))
    assert planned["ingest_field"] == 1
    assert "download_efeds" not in planned
    assert [request[1] is None for request in site.requests] == [True, False]
    assert "there already, checked" in (tmp_path / "results/logs/download_efeds.log").read_text()


def test_a_failed_download_says_why_and_keeps_its_part(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving(Site(gzip.compress(table(542)), ("breaks off", 503))) as url:
        arguments = overlay(tmp_path, url)
        done = snakemake(tmp_path, *arguments, "--", "download_efeds", config=None, check=False)
    assert done.returncode
    assert f"{url}: HTTP 503" in done.stdout + done.stderr
    assert (tmp_path / "data/field/catalogue.fits.gz.part").stat().st_size > 0
    assert not (tmp_path / "data/field/catalogue.fits.gz").exists()
