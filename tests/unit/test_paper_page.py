"""The page from known numbers: each stands where it should, nothing is made up, nothing is loaded from outside."""

import json
import re
from pathlib import Path

import pytest

from clustermass.errors import InputError
from clustermass.paper.page import Figure, in_html, markdown_table, publish, summary_texts, write_page
from clustermass.paper.results import Results

WORDS = Path(__file__).parents[2] / "workflow" / "paper"
PNG = bytes.fromhex("89504e470d0a1a0a")


def measured(value, error):
    return {"value": value, "ci68": [value - error, value + error]}


def summary(scatter, n=4000):
    bias = {"bias_dex": 0.01, "bias_dex_ci68": [0.007, 0.013]}
    return {"n": n, "scatter_dex": scatter, "scatter_dex_ci68": [scatter - 0.002, scatter + 0.002], **bias}


def metrics(scatter, over_luminosity=0.9, n=4000, over_prior=0.6):
    bins = [
        {"low": low, "high": low + 0.5, "bias_dex": bias, "scatter_dex": 0.1, "n": 100}
        for low, bias in ((13.0, 0.08), (14.5, -0.11))
    ]
    empty = {"low": 0.6, "high": None, "n": 0, "scatter_dex": None, "bias_dex": None}
    binned = {"by_mass_bin": bins, "by_redshift_bin": [empty], "isolated": summary(0.13, 900)}
    covered = {"by_mass_bin": [{"coverage68": 0.7, "coverage68_ci68": [0.68, 0.71]}] * 2}
    covered["by_redshift_bin"] = [{"coverage68": None, "coverage68_ci68": None}]
    others = {"luminosity_published": over_luminosity, "prior": over_prior}
    ratio = {f"network_over_{name}": measured(value, 0.01) for name, value in others.items()}
    baselines = {"luminosity_published": summary(scatter / over_luminosity, n)}
    return {
        "n_train": 5560,
        "n_val": 1127,
        "n_test": n,
        "test": {**summary(scatter, n), "mean_sigma_dex": 0.139, **binned},
        "high_likelihood": {**summary(0.12, 500), "ratios": ratio, "baselines": baselines},
        "ratios": ratio,
        "baselines": baselines,
        "calibration": {"residual_std_over_mean_sigma": 1.004, **covered},
        "ensemble": {"n_members": 3, "member_over_ensemble_sigma_mean": 0.985, "member_over_ensemble_sigma_std": 0.03},
    }


def row(experiment, sky, against, ratio):
    biases = {"own": {"low_mass": 0.041, "high_mass": -0.062}, "other": {"low_mass": 0.123, "high_mass": -0.145}}
    sides = {}
    for side, ends in biases.items():
        by_truth = {key: {"n": 50, "bias_dex": bias, "error_dex": 0.01} for key, bias in ends.items()}
        sides[side] = {**summary(0.14), "bias_by_truth": by_truth}
    ci = {"scatter_ratio": ratio, "scatter_ratio_ci68": [ratio - 0.006, ratio + 0.006], "scatter_ratio_error": 0.01}
    ci["training_noise"] = {"own": 0.012, "other": 0.004, "typical": 0.0077}
    nearer = (("low_mass", 0.082, 0.002), ("high_mass", 0.083, 0.03))
    ci["bias_nearer_zero_by_truth"] = {key: {"n": 50, "by_dex": by, "error_dex": error} for key, by, error in nearer}
    return {"experiment": experiment, "sky": sky, "against": against, "n": 4321, **sides, **ci}


def size(scatter):
    of_members = {"member_over_ensemble_sigma": {"mean": 0.972, "std": 0.041}}
    scores = {"scatter_dex": measured(scatter, 0.0015), "nll_above_best": measured(0.0123, 0.0023)}
    return {**scores, "residual_std_over_mean_sigma": measured(1.02, 0.01), **of_members}


@pytest.fixture
def page(tmp_path):
    found = {
        ("fiducial", "own"): metrics(0.137),
        ("fiducial", "further"): metrics(0.136, 0.88),
        ("fiducial", "no_agn"): metrics(0.15),
        ("krippendorf2023", "own"): metrics(0.144),
        ("krippendorf2023", "further"): metrics(0.143, 0.93),
        ("max_pooling", "own"): metrics(0.151),
        ("uniform_mass", "own"): metrics(0.152),
        ("redshift_noise_02", "own"): metrics(0.196),
        ("no_smoothing", "own"): metrics(0.143),
        ("size_500", "own"): metrics(0.143),
        ("anew", "no_agn"): metrics(0.14),
        ("noise_images", "own"): metrics(0.235, over_prior=0.985),
        ("shuffled_redshift", "own"): metrics(0.22, over_prior=0.93),
    }
    pairs = [
        row("max_pooling", "own", "krippendorf2023", 1.05),
        row("uniform_mass", "own", "krippendorf2023", 1.04),
        row("redshift_noise_02", "own", "krippendorf2023", 1.374),
        row("no_smoothing", "own", "krippendorf2023", 0.995),
        row("size_500", "own", "krippendorf2023", 0.995),
        row("anew", "no_agn", "fiducial", 0.93),
        row("shuffled_redshift", "own", "fiducial", 1.5),
    ]
    paths = {}
    for key, content in found.items():
        paths[key] = tmp_path / f"{'_'.join(key)}.json"
        paths[key].write_text(json.dumps(content))
    (tmp_path / "pairs.json").write_text(json.dumps({"rows": pairs}))
    (tmp_path / "curve.json").write_text(json.dumps({"n_test": 1234, "sizes": {"1": size(0.141), "5": size(0.138)}}))
    (tmp_path / "figures").mkdir()
    figure = tmp_path / "figures" / "bias.png"
    figure.write_bytes(PNG)
    skies = {"anew": "no_agn"}
    names = dict.fromkeys(name for name, _ in found)
    controls = {"noise_images": "noise_images", "shuffled_redshift": "shuffled_redshift"}
    settings = {
        name: {"sky": skies.get(name, "own"), "epochs": 7, "control": controls.get(name, "none")} for name in names
    }
    outputs = {name: tmp_path / f"paper.{name}" for name in ("markdown", "html", "numbers")}
    write_page(
        paths,
        tmp_path / "pairs.json",
        {"fiducial": tmp_path / "curve.json"},
        [Figure(figure, "bias", ["fiducial"])],
        settings,
        {"name": "paper", "one": "results/paper/NAME/metrics.json", "sky": "Eighteen skies.", "test_sky": "further"},
        WORDS,
        outputs,
    )
    return outputs


def lines(page, beginning):
    return [line for line in page["markdown"].read_text().splitlines() if line.startswith(f"| {beginning}")]


def test_numbers_stand_beside_the_published_ones(page):
    (scatter,) = lines(page, "scatter on the test set")
    assert scatter.split(" | ")[2:5] == ["0.188", "0.143 ± 0.002", "0.136 ± 0.002"]
    (ratio,) = lines(page, "networks ÷ true luminosity, published relation |")
    # 0.188 / 0.197 = 0.954 with an error of 0.954 / sqrt(1,192) = 0.028; 0.93 is 0.8 of sqrt(0.028^2 + 0.01^2) below
    assert ratio.split(" | ")[2:] == ["0.954 (± 0.028)", "0.930 ± 0.010", "0.880 ± 0.010", "yes (-0.8 σ) |"]
    text = page["markdown"].read_text()
    assert "published relation: the paper's recipe +7.0 % (7 σ), our recipe +12.0 % (12 σ)." in text


def test_changes_and_what_was_not_run(page):
    (pooling,) = lines(page, "maximum instead of average")
    assert pooling.endswith("| 4,321 | 1.050 ± 0.010 | worse | yes |")
    (noise,) = lines(page, "noise of 0.1 in the redshift")
    assert noise.endswith("| — | — | — | — | — |")


def test_a_change_may_be_as_published_and_of_another_size(page):
    differing, noise = lines(page, "noise of 0.2 in the redshift")
    # 0.224 / 0.188 = 1.191 with an error of 1.191 / sqrt(1,192) = 0.0345: 0.183 / sqrt(0.0345^2 + 0.01^2) = 5.1
    assert noise.endswith("| 4,321 | 1.374 ± 0.010 | worse | no (+5.1 σ) |")
    assert differing.endswith("| Table C.1 | 1.191 = 0.224 ÷ 0.188 | 1.374 ± 0.010 | no (+5.1 σ) |")


def test_weighting_and_other_skies(page):
    (low,), (high,) = lines(page, "13.0-13.5"), lines(page, "14.5-15.0")
    assert low.split(" | ")[1:5] == ["+0.121 → +0.082", "50", "0.123 ± 0.010", "0.041 ± 0.010"]
    assert low.endswith("| 0.082 ± 0.002 |")
    assert high.split(" | ")[1:5] == ["-0.177 → -0.097", "50", "-0.145 ± 0.010", "-0.062 ± 0.010"]
    assert high.endswith("| 0.083 ± 0.030 |")
    (variant,) = lines(page, "no_agn")
    assert variant.endswith("| 0.930 ± 0.010 |")


def test_more_networks(page):
    assert lines(page, "fiducial | 5 |") == [
        "| fiducial | 5 | 1,234 | 0.1380 ± 0.0015 | 0.0123 ± 0.0023 | 1.020 ± 0.010 | 0.972 ± 0.041 |"
    ]


def test_predictors_on_all_clusters_and_on_the_best(page):
    head = "| predictor | scatter of 4,000 clusters, dex | bias, dex | networks ÷ predictor |"
    head += " scatter of 500 above 60, dex | networks ÷ predictor |"
    assert head in page["markdown"].read_text()
    (own,) = lines(page, "network ensemble")
    assert own == "| network ensemble | 0.136 ± 0.002 | 0.010 ± 0.003 | — | 0.120 ± 0.002 | — |"
    (luminosity,) = lines(page, "true luminosity, Chiu et al. 2022 |")
    # 0.136 / 0.88 = 0.155
    assert luminosity.partition(" | ")[2] == (
        "0.155 ± 0.002 | 0.010 ± 0.003 | 0.880 ± 0.010 | 0.155 ± 0.002 | 0.880 ± 0.010 |"
    )


def test_controls_are_in_a_table_of_their_own(page):
    text = page["markdown"].read_text()
    controls, experiments = text.index("## Controls"), text.index("## All experiments")
    assert controls < text.index("| noise_images |") < experiments
    assert "| noise_images |" not in text[experiments:]
    (control,) = lines(page, "noise_images")
    assert control.endswith("| 0.2350 ± 0.0020 | — | 0.985 ± 0.010 | yes |")
    assert lines(page, "shuffled_redshift")[0].endswith("| 1.500 ± 0.010 | 0.930 ± 0.010 | yes |")


def test_html_is_whole_and_stands_alone(page):
    html = page["html"].read_text()
    for number in re.findall(r"\d\.\d{3} ± \d\.\d{3}", page["markdown"].read_text()):
        assert number in html
    assert 'src="data:image/png;base64,' in html
    assert not re.search(r'(src|href)="(?!data:)', html)
    assert json.loads(page["numbers"].read_text())["tables"]["numbers"][1][3] == "0.143 ± 0.002"


def test_a_text_from_a_file_is_shown_as_it_is():
    text = "<script>x</script> ![](http://example.org/a.png) [b](javascript:c) \\| d\n<img src=e>\x1b"
    table = markdown_table([["predictor", "scatter"], [text, "0.1"]])
    html = in_html(f"# a<b\n\n{table}\n\n<img src=f>\n", "", {})
    assert "<title>a&lt;b</title>" in html
    assert not re.search(r"<(script|img|a )", html)
    assert html.count("<td>") == 2
    assert "\x1b" not in html


def test_unreadable_metrics_are_named(tmp_path, page):
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(InputError, match=r"broken\.json: no readable JSON"):
        metrics = {("fiducial", "own"): tmp_path / "broken.json"}
        settings = {"fiducial": {"sky": "own", "epochs": 1, "control": "none"}}
        write_page(metrics, tmp_path / "pairs.json", {}, [], settings, {"test_sky": "own"}, WORDS, page)


def test_captions_tell_sample_number_members_and_epochs(page):
    (caption,) = [line for line in page["markdown"].read_text().splitlines() if line.startswith("**Fig. 5.**")]
    assert "on the 4,000 test clusters" in caption
    assert "`fiducial` (3 networks, 7 epochs, 5,560 training clusters, 4,000 test clusters of the sky `own`)" in caption


def test_bins_have_errors_of_their_own_numbers(page):
    (low,) = lines(page, "true log10 M 13 to 13.5")
    # 0.1 / sqrt(2 x 100) = 0.007, 0.1 / sqrt(100) = 0.010, half of 0.71 - 0.68
    cells = "0.100 ± 0.007 | 0.080 ± 0.010 | 0.700 ± 0.015"
    assert low == f"| true log10 M 13 to 13.5 | 100 | {cells} | {cells} |"
    assert lines(page, "redshift from 0.6") == ["| redshift from 0.6 | 0 | — | — | — | — | — | — |"]
    isolated = lines(page, "isolated (no bright halo near)")[0]
    assert isolated.startswith("| isolated (no bright halo near) | 900 | 0.130 ± 0.003 |")


def test_differences_are_listed_and_agreements_are_not(page):
    text = page["markdown"].read_text()
    listed = text.split("| quantity or change |")[1].split("**How to make it again.**")[0].splitlines()[2:]
    # the networks' gain agrees within 0.8 sigma, pooling and weights are worse as published; scatter above 60 over that
    # of all is 0.12 / 0.143 here with an error of 0.018, 0.846 published; sigma of a member 0.985 against 0.951 ± 0.039
    assert [line.split(" | ")[0] for line in listed if line] == ["| noise of 0.2 in the redshift", "| no smoothing"]
    assert listed[1] == "| no smoothing | App. A | smoothing supports learning | 0.995 ± 0.010 | not seen |"
    assert "For the 7 pairs of experiments" in text
    # 3 x 0.01 of all seven
    assert "is between 3.0 % and 3.0 %;\nits median is 3.0 %" in text
    assert "its scatter changes by 0.8 % (`krippendorf2023`), 0.8 % (`fiducial`)" in text


def test_nothing_is_summarised_where_nothing_was_compared():
    found = summary_texts(Results({("fiducial", "own"): metrics(0.137)}, (), {"fiducial": "own"}, "own"))
    assert (found["pairs"], found["noise"], found["gain_recalibrated"]) == ("0", "—", "—")


def test_the_page_among_the_documentation(page, tmp_path):
    figure, docs = tmp_path / "figures" / "bias.png", (tmp_path / "docs" / "paper.md", tmp_path / "docs" / "pictures")
    publish(page["markdown"], [figure], *docs)
    text = (tmp_path / "docs" / "paper.md").read_text()
    (link,) = re.findall(r"!\[\]\((.*?)\)", text)
    assert (tmp_path / "docs" / link).read_bytes() == PNG
    assert text.replace(link, "figures/bias.png") == page["markdown"].read_text()
    with pytest.raises(InputError, match=r"shows no .*other\.png"):
        publish(page["markdown"], [tmp_path / "other.png"], *docs)
