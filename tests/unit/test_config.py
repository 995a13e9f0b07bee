import copy
from pathlib import Path

import pytest
import yaml

from clustermass.config.resolve import load_config, merge, realization_names, resolve_experiment, resolve_sky
from clustermass.config.validate import check_config
from clustermass.errors import InputError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def config():
    return load_config([ROOT / "config" / "config.yaml"])


def errors_of(config):
    with pytest.raises(InputError) as caught:
        check_config(config)
    return str(caught.value).splitlines()


@pytest.mark.parametrize("overlay", sorted(path.stem for path in (ROOT / "config").glob("*.yaml")))
def test_every_shipped_configuration_is_valid(overlay):
    below = {"paper_laptop": ["config", "paper"]}.get(overlay, ["config"])
    check_config(load_config([ROOT / "config" / f"{name}.yaml" for name in [*below, overlay]]))


def test_three_errors_are_told_at_once_each_in_one_line_with_key_value_and_what_is_allowed(config):
    config["training"]["device"] = "cuda"
    config["skies"]["embedded"]["realizations"] = 0
    config["ensemble"]["membres"] = 3
    lines = errors_of(config)
    assert lines[0] == "The configuration has 3 errors:"
    assert "  - training.device is 'cuda', but must be one of: auto, cpu, gpu." in lines
    assert "  - skies.embedded.realizations is 0, but must be at least 1." in lines
    assert "  - ensemble.membres is not a key that is known there. Did you mean members?" in lines


def test_a_number_that_yaml_reads_as_text_is_explained(config):
    config["training"]["recipes"]["clustermass"]["learning_rate"] = yaml.safe_load("1e-4")
    assert "write 0.0001" in errors_of(config)[1]
    config["training"]["recipes"]["clustermass"]["learning_rate"] = yaml.safe_load("3e20")
    advice = errors_of(config)[1].split("write ")[1].rstrip(".)")
    assert yaml.safe_load(advice) == 3e20


def test_names_that_point_nowhere_suggest_the_right_one(config):
    config["experiments"]["fiducial"]["preprocessing"] = "centrall"
    config["observed"]["fields"] = ["mock_efedss"]
    text = "\n".join(errors_of(config))
    assert "Did you mean central?" in text
    assert "Did you mean mock_efeds?" in text


def test_shares_that_do_not_add_up_and_a_selection_below_the_images_cut(config):
    config["split"]["train"] = 0.8
    config["experiments"]["faint"] = {"selection": {"ext_like_min": 3.0}}
    text = "\n".join(errors_of(config))
    assert "add up to 1.1" in text
    assert "experiments.faint.selection.ext_like_min is 3.0" in text


def test_every_key_of_the_default_configuration_is_required_or_optional_but_known(config):
    """A key that the schema did not know would be silently unused: removing or renaming any leaf must be noticed."""
    renamed = copy.deepcopy(config)
    renamed["images"]["box_pixel"] = renamed["images"].pop("box_pixels")
    text = "\n".join(errors_of(renamed))
    assert "images.box_pixel is not a key" in text
    assert "images.box_pixels is missing" in text


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


def test_a_realization_named_by_a_bare_number_is_explained(config):
    files = {"events": ["a.fits"], "catalogue": "b.csv"}
    config["skies"]["mine"] = {"source": "files", "observed": True, "realizations": yaml.safe_load("01: {}")}
    config["skies"]["mine"]["realizations"] = {key: files for key in config["skies"]["mine"]["realizations"]}
    assert "write it in quotes" in "\n".join(errors_of(config))
