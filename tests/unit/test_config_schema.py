"""What of the configuration steers execution only, by the schema."""

from pathlib import Path

import yaml

from clustermass.config.resolve import load_config
from clustermass.config.validate import kept_keys, schema, without_execution_keys

ROOT = Path(__file__).parents[2]


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
    assert kept_keys({"skies": {"a": {"kept": {"left": 1}, "left": 2}}}, rule) == {
        "skies": {"a": {"kept": {"left": 1}}}
    }


def test_the_schema_file_is_that_of_the_models():
    assert yaml.safe_load((ROOT / "workflow" / "schemas" / "config.schema.yaml").read_text()) == schema()
