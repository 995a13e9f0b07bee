"""Blocks of the configuration: read from files, merged, and filled in."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest
from config_inputs import whole_config  # noqa: F401, the fixture `config`

from clustermass.config.resolve import load_config, merge, read_yaml, realization_names, resolve_experiment, resolve_sky
from clustermass.errors import InputError

BASE = str(Path(__file__).parents[2] / "config" / "config.yaml")
MEMORY_BYTES = 2_000_000_000


def laughs(block):
    """Return 13 lines of YAML that stand for 9^12 values by aliases in `block`."""
    lines = (f"  a{i}: &a{i} " + block.format(", ".join([f"*a{i - 1}"] * 9)) for i in range(1, 13))
    return "\n".join(["facts:", "  a0: &a0 {b: 1}", *lines])


def limit_memory():
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (laughs("[{}]"), "more than 100000 values"),
        (laughs("{{<<: [{}]}}"), "more than 100000 values"),
        ("facts: &a [*a]\n", "more than 100000 values"),
        ("facts: " + "[" * 5000, "not valid YAML"),
        ("run: 2024-13-45\n", "not valid YAML"),
        *((f"run: !!{tag} ''\n", "not valid YAML") for tag in ("int", "bool", "timestamp")),
        ("seed: " + "9" * 5000, "more than 100 characters in a number"),
        ("seed: 0x" + "f" * 9000, "more than 100 characters in a number"),
        ("seed: 1" + ":1" * 900_000, "more than 100 characters in a number"),
        ("seed: !!float 1" + ":1" * 900_000, "more than 100 characters in a number"),
        (b"run: \xe9\n", "not valid YAML"),
        ("a: " + "b" * 2_000_001, "more than 2000000 bytes"),
    ],
)
def test_a_configuration_that_cannot_be_held_is_refused_at_once(tmp_path, content, message):
    path = tmp_path / "mine.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    code = f"from clustermass.cli import main; main(['check-config', {str(path)!r}, '--base', {BASE!r}])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, preexec_fn=limit_memory
    )
    assert done.stdout == ""
    assert done.stderr.startswith(f"clustermass: {path}: {message}"), done.stderr[-300:]


def test_aliases_are_values_like_others(tmp_path):
    (tmp_path / "mine.yaml").write_text("a: &a {b: 1}\nc: *a\nd: {<<: *a, e: 2}\n")
    assert load_config([tmp_path / "mine.yaml"]) == {"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1, "e": 2}}


def test_load_config_names_the_file_that_is_wrong(tmp_path):
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1")
    with pytest.raises(InputError, match=r"broken\.yaml: not valid YAML"):
        load_config([broken])
    for name in ("absent.yaml", "x" * 300):
        with pytest.raises(InputError, match=rf"{name}: can't be read"):
            load_config([tmp_path / name])


def test_a_device_in_place_of_a_configuration_is_not_opened(tmp_path):
    """Whoever opens a terminal waits for its input without end."""
    (tmp_path / "config.yaml").symlink_to("/dev/ptmx")
    with pytest.raises(InputError, match=r"config\.yaml: can't be read \(it is a pipe or device, not a file\)"):
        read_yaml(tmp_path / "config.yaml")
