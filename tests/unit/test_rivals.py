from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def _path(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)


def test_flop_of_the_papers_network_by_hand():
    from rival_workers.problem import flop_per_sample

    layers = [{"conv": 32}, {"conv": 64}, {"conv": 128}, {"dense": 200}, {"dense": 100}]
    network = {"layers": layers, "side_inputs": ["z"]}
    first = 2 * 2 * 50 * 50 * 9 * 10 * 32  # output and kernel's gradient, but no gradient of the image
    second, third = 3 * 2 * 25 * 25 * 9 * 32 * 64, 3 * 2 * 12 * 12 * 9 * 64 * 128
    dense = 3 * 2 * ((6 * 6 * 128 + 1) * 200 + 200 * 100 + 100 * 2)
    assert flop_per_sample((50, 50, 10), network) == first + second + third + dense == 167_272_992


def test_the_problem_file_gives_back_the_weights_layer_by_layer(tmp_path):
    from rival_workers.cases import CASES
    from rival_workers.problem import Problem

    case = replace(CASES["default"], samples=70)
    case.write(tmp_path / "problem.npz")
    problem = Problem(tmp_path / "problem.npz")
    assert [kernel.shape for kernel, _ in problem.layers()] == [
        (3, 3, 10, 16),
        (3, 3, 16, 32),
        (3, 3, 32, 64),
        (2 * 2 * 64 + 3, 64),
        (64, 32),
        (32, 2),
    ]
    assert [len(column) for column in problem.checked_batch()] == [64, 64, 64]
    assert problem.images.shape == (70, 16, 16, 10)


def test_ratios_compare_work_a_second_round_by_round():
    from rivals import growth, peak_shares, ratios

    case = SimpleNamespace(rivals=("keras",), bars={"keras": 1.25, "matmul": 0.55}, flop=2 * 2048**3 / 100)
    arms = {
        "ours": SimpleNamespace(work=200, options={"samples": 100}),
        "keras": SimpleNamespace(work=100, options={"samples": 100}),
        "ours, 50 samples": SimpleNamespace(work=100, options={"samples": 50}),
        "matmul, jax": SimpleNamespace(work=4, options={"repeats": 2}),
    }
    seconds = {
        "ours": [(2.0, 4.0), (2.0, 4.0), (4.0, 4.0)],
        "keras": [(1.5, 3.0), (1.0, 3.0), (3.0, 3.0)],
        "ours, 50 samples": [(1.5, 0.0)] * 3,
        "matmul, jax": [(2.0, 4.0)] * 3,
    }
    of_keras = ratios(case, arms, seconds)["ours / keras"]
    assert of_keras["wall"]["rounds"] == [1.5, 1.0, 1.5] and of_keras["met"]
    assert of_keras["cpu"]["median"] == 1.5
    share = peak_shares(case, arms, seconds)["ours / matmul, jax"]
    assert share["wall"]["rounds"] == [0.5, 0.5, 0.25] and not share["met"]
    assert growth(arms, seconds)[50]["rounds"] == [1.5, 1.5, 0.75]


def test_losses_that_differ_stop_the_benchmark():
    from rivals import compared

    def workers(*losses):
        return SimpleNamespace(do=lambda what: ([list(losses)], 0.0, 0.0))

    assert compared({"ours": workers(1.0, 0.9), "keras": workers(1.0 + 1e-6, 0.90001)})["losses"] == [1.0, 0.9]
    with pytest.raises(AssertionError, match="keras"):
        compared({"ours": workers(1.0, 0.9), "keras": workers(1.0, 0.91)})
    with pytest.raises(AssertionError, match="keras"):
        compared({"ours": workers(1.0, 0.9), "keras": workers(1.0, float("nan"))})


def test_workers_answer_together_and_one_that_ends_is_named(tmp_path):
    from rival_workers.processes import Workers

    script = tmp_path / "echo.py"
    script.write_text(
        "import json, sys\n"
        "for line in sys.stdin:\n"
        "    call = json.loads(line)\n"
        "    if call['do'] == 'end': sys.exit()\n"
        "    print(json.dumps({'value': call['samples'], 'cpu_s': 1.5, 'max_rss_mib': 7}), flush=True)\n"
    )
    with (tmp_path / "log").open("w") as log, Workers(script, count=2) as workers:
        workers.start("unused", log)
        values, wall, cpu = workers.do("run", samples=3)
        assert (values, cpu, workers.max_rss_mib) == ([3, 3], 3.0, 14) and wall > 0
        with pytest.raises(RuntimeError, match=r"echo\.py.*end"):
            workers.do("end")


def test_without_the_rivals_it_says_so_and_cannot_run(tmp_path, monkeypatch, capsys):
    import rivals
    from runner import CANNOT_RUN

    monkeypatch.setattr("sys.argv", ["rivals.py", "--python", str(tmp_path / "none")])
    with pytest.raises(SystemExit) as stopped:
        rivals.main()
    assert stopped.value.code == CANNOT_RUN and "make rivals-environment" in capsys.readouterr().out
