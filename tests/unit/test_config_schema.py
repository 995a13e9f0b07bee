"""What of the configuration steers execution only, by the schema."""

from pathlib import Path

from clustermass.config import load_config, read_schema, without_execution_keys

ROOT = Path(__file__).parents[2]
SCHEMA = read_schema(ROOT / "workflow" / "schemas" / "config.schema.yaml")


def test_keys_and_blocks_that_are_marked_are_left_out_and_no_others():
    config = load_config([ROOT / "config" / "config.yaml", ROOT / "config" / "efeds.yaml"])
    config["facts"] = {"fiducial": 1}
    kept = without_execution_keys(config, SCHEMA)
    assert config.pop("facts")
    assert config.pop("downloads")
    assert config["training"].pop("device")
    assert config["ensemble"].pop("members_per_job")
    assert kept == config


def test_marks_are_found_in_named_blocks_and_in_definitions():
    schema = {
        "properties": {"skies": {"additionalProperties": {"$ref": "#/$defs/sky"}}},
        "$defs": {"sky": {"properties": {"kept": {}, "left": {"x-execution-only": True}}}},
    }
    assert without_execution_keys({"skies": {"a": {"kept": {"left": 1}, "left": 2}}}, schema) == {
        "skies": {"a": {"kept": {"left": 1}}}
    }
