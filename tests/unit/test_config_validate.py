"""The configuration against its models: every error in plain words; and the schema that is made from them."""

import copy
from functools import reduce

import pytest
import yaml
from config_inputs import ROOT, whole_config  # noqa: F401, the fixture `config`

from clustermass.config.resolve import load_config
from clustermass.config.validate import check_config, config_errors, schema, without_execution_keys
from clustermass.errors import InputError


def errors_of(config):
    with pytest.raises(InputError) as caught:
        check_config(config)
    return str(caught.value).splitlines()


@pytest.mark.parametrize("overlay", sorted(path.stem for path in (ROOT / "config").glob("*.yaml")))
def test_every_shipped_configuration_is_valid(overlay):
    below = {"paper_laptop": ["config", "paper"], "peers_laptop": ["config", "peers"]}.get(overlay, ["config"])
    check_config(load_config([ROOT / "config" / f"{name}.yaml" for name in [*below, overlay]]))


def test_three_errors_are_reported_at_once_each_in_one_line_with_key_value_and_what_is_allowed(config):
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


def test_errors_across_keys_say_what_would_be_right(config):
    config["experiments"]["fiducial"]["preprocessing"] = "centrall"
    config["observed"]["fields"] = ["mock_efedss"]
    config["split"]["train"] = 0.8
    config["experiments"]["faint"] = {"selection": {"ext_like_min": 3.0}, "preprocessing": "central"}
    text = "\n".join(errors_of(config))
    expected = ("Did you mean central?", "Did you mean mock_efeds?", "add up to 1.1")
    assert [part for part in expected if part not in text] == []
    assert "experiments.faint.selection.ext_like_min is 3.0" in text


def test_every_key_of_the_default_configuration_is_required_or_optional_but_known(config):
    """A misspelt key would silently not be used."""
    renamed = copy.deepcopy(config)
    renamed["images"]["box_pixel"] = renamed["images"].pop("box_pixels")
    text = "\n".join(errors_of(renamed))
    assert "images.box_pixel is not a key" in text
    assert "images.box_pixels is missing" in text


def test_a_realization_named_by_a_bare_number_is_explained(config):
    files = {"events": ["a.fits"], "catalogue": "b.csv"}
    config["skies"]["mine"] = {"source": "files", "observed": True, "realizations": yaml.safe_load("01: {}")}
    config["skies"]["mine"]["realizations"] = {key: files for key in config["skies"]["mine"]["realizations"]}
    assert "write it in quotes" in "\n".join(errors_of(config))


@pytest.mark.parametrize(
    "path",
    [
        *("/etc/a.fits", "../a.fits", "data/../../a.fits", ".ssh/authorized_keys", ".ssh/a.fits", "data/.a.fits"),
        *("a", "workflow/run.py", "a.fits\n", "data//a.fits", "a\x1b[2J.fits", "./a.fits", "C:\\a.fits"),
    ],
)
def test_a_download_goes_to_a_table_below_the_current_folder(config, path):
    files = {"it": {"urls": ["https://example.org/"], "path": path}}
    (line,) = config_errors({**config, "downloads": {"files": files}})
    assert line.startswith("downloads.files.it.path is ")
    assert "must be a relative path without hidden names" in line
    files["it"] |= {"path": "data/a.tgz", "unpack": [path.rpartition("/")[2] or path]}
    lines = config_errors({**config, "downloads": {"files": files}})
    assert [line for line in lines if "unpack.0 is" not in line] == []
    assert len(lines) == (not path.endswith("/a.fits"))


@pytest.mark.parametrize("name", ["abc\n", "abc\n\n", "\nabc", "abc\u2028", "ab\x1b", "é", "[/red]", "..", "-a"])
def test_a_name_has_no_sign_that_a_shell_a_path_or_a_terminal_takes_for_more(config, name):
    config["run"] = name
    (line,) = config_errors(config)
    assert line.startswith("run is ")
    config["run"] = "test"
    config["experiments"][name] = {}
    (line,) = config_errors(config)
    assert line.startswith("experiments: the name ")
    assert line.isprintable()


def numbers(block, *above):
    for key, value in block.items():
        if isinstance(value, dict):
            yield from numbers(value, *above, key)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield *above, key


def test_no_number_is_too_large_to_be_refused_in_a_sentence(config):
    paths = list(numbers(config))
    assert len(paths) > 100
    for *above, last in paths:
        for value in (10**400, 1e308):
            changed = copy.deepcopy(config)
            reduce(dict.__getitem__, above, changed)[last] = value
            assert config_errors(changed) or value == 1e308, (*above, last)


def test_paths_hold_no_control_characters(config):
    config["skies"]["mine"] = {
        "source": "files",
        "realizations": {"01": {"events": ["a\n.fits"], "catalogue": "b\x1b"}},
    }
    assert [line.partition(" is ")[2] for line in config_errors(config)] == [
        "'b\\x1b', but must not hold control characters.",
        "'a\\n.fits', but must not hold control characters.",
    ]


def test_keys_and_blocks_that_are_marked_are_left_out_and_no_others():
    config = load_config([ROOT / "config" / "config.yaml", ROOT / "config" / "efeds.yaml"])
    config["facts"] = {"fiducial": 1}
    kept = without_execution_keys(config)
    assert config.pop("facts")
    assert config.pop("downloads")
    assert config["training"].pop("device")
    assert config["ensemble"].pop("members_per_job")
    assert kept == config


def test_marks_are_found_in_named_blocks():
    sky = {"properties": {"kept": {}, "left": {"x-execution-only": True}}}
    rule = {"properties": {"skies": {"anyOf": [{"additionalProperties": sky}, {"type": "null"}]}}}
    assert without_execution_keys({"skies": {"a": {"kept": {"left": 1}, "left": 2}}}, rule) == {
        "skies": {"a": {"kept": {"left": 1}}}
    }


def test_the_schema_file_is_that_of_the_models():
    assert yaml.safe_load((ROOT / "workflow" / "schemas" / "config.schema.yaml").read_text()) == schema()
