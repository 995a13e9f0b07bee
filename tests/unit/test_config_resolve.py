"""Blocks of the configuration: read from files, merged, and filled in."""

import pytest
from config_inputs import whole_config  # noqa: F401, the fixture `config`

from clustermass.config.resolve import load_config, merge, realization_names, resolve_experiment, resolve_sky
from clustermass.errors import InputError


def test_like_takes_over_all_but_what_is_set_anew():
    skies = {"a": {"source": "embedded", "agn": {"x": 1, "y": 2}}, "b": {"like": "a", "agn": {"y": 3}}}
    assert resolve_sky(skies, "b") == {"source": "embedded", "agn": {"x": 1, "y": 3}}
    with pytest.raises(InputError, match="circle"):
        resolve_sky({"a": {"like": "b"}, "b": {"like": "a"}}, "a")


def test_experiments_depart_from_the_base(config):
    config["experiments"]["bright"] = {"selection": {"det_like_min": 60.0}}
    bright = resolve_experiment(config["experiments"], "bright")
    assert bright["selection"] == merge(config["experiments"]["fiducial"]["selection"], {"det_like_min": 60.0})
    assert bright["network"] == config["experiments"]["fiducial"]["network"]


def test_realizations_are_numbered_or_named():
    assert realization_names({"realizations": 11})[-1] == "11"
    assert realization_names({"realizations": {"07": {}, "03": {}}}) == ["03", "07"]
    assert realization_names({}) == ["01"]


def test_load_config_names_the_file_that_is_wrong(tmp_path):
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1")
    with pytest.raises(InputError, match=r"broken\.yaml: not valid YAML"):
        load_config([broken])
    with pytest.raises(InputError, match=r"absent\.yaml: can't be read"):
        load_config([tmp_path / "absent.yaml"])
