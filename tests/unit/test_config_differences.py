from clustermass.config.differences import changed_keys


def test_only_keys_that_differ_are_shown_with_both_values():
    old = {"seed": 1, "recipes": {"large": {"epochs": 40, "rate": 2.0e-3}, "small": {"epochs": 4}}}
    new = {"recipes": {"large": {"rate": 1.0e-3, "epochs": 40}, "small": {"epochs": 4}}, "seed": 1}
    assert [*changed_keys(old, new)] == ["recipes.large.rate: 0.002 -> 0.001"]


def test_blocks_of_one_side_and_entries_of_lists():
    old = {"experiments": {"cold": {"sky": "a"}}, "layers": [{"conv": 4}, {"dense": 8}], "fields": ["a"]}
    new = {"experiments": {}, "layers": [{"conv": 4}, {"dense": 16}], "fields": ["a", "b"], "note": None}
    assert [*changed_keys(old, new)] == [
        "experiments.cold: {sky: a} -> (none)",
        "layers[1].dense: 8 -> 16",
        "fields: [a] -> [a, b]",
        "note: (none) -> null",
    ]


def test_a_long_value_is_cut():
    (line,) = changed_keys({"a": 1}, {"a": ["x" * 50, "y" * 50]})
    assert len(line) < 80
    assert line.endswith(" ...")
