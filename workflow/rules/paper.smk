# These rules run only if a command names them (`-- paper`). Experiments of the paper that the configuration lacks stay empty
# in the tables.
rule paper:
    """Compare the paper's results with ours: results/<run>/paper.html. Runs only on request."""
    input:
        f"results/{RUN}/paper.html",


rule compare_pairs:
    """Compare pairs of experiments on the same test clusters, for the paper's page."""
    input:
        predictions=paper_files("predictions.nc"),
        ensembles=paper_files("ensemble.nc"),
        baselines=paper_baselines(),
    output:
        pairs=f"results/{RUN}/pairs.json",
    log:
        f"results/{RUN}/logs/compare_pairs.log",
    benchmark:
        f"results/{RUN}/benchmarks/compare_pairs.tsv"
    conda:
        "../../envs/data.yaml"
    resources:
        mem_mb=each_try(2000),
        runtime=each_try(20),
    params:
        rows=paper_rows(),
        compared_with={name: experiment["compared_with"] for name, experiment in EXPERIMENTS.items()},
        evaluation=in_order(config["evaluation"]),
        seed=config["seed"],
        code=code("compare_pairs", "paper.pairs"),
    script:
        "../scripts/compare_pairs.py"


rule paper_page:
    """Make the page that compares the paper's results with ours."""
    input:
        metrics=paper_files("metrics.json"),
        pairs=f"results/{RUN}/pairs.json",
        curves=expand(f"{EXPERIMENT}/members_curve.json", experiment=paper_recipes()),
        figures=list(paper_figures()),
    output:
        markdown=f"results/{RUN}/paper.md",
        html=f"results/{RUN}/paper.html",
        numbers=f"results/{RUN}/paper.json",
    log:
        f"results/{RUN}/logs/paper_page.log",
    benchmark:
        f"results/{RUN}/benchmarks/paper_page.tsv"
    conda:
        "../../envs/figures.yaml"
    resources:
        mem_mb=each_try(1000),
        runtime=each_try(10),
    params:
        rows=paper_rows(),
        recipes=paper_recipes(),
        figures=list(paper_figures().values()),
        settings={name: {"sky": EXPERIMENTS[name]["sky"], **trained_with(name)} for name in EXPERIMENTS},
        run={
            "name": RUN,
            "one": metrics_of_one(),
            "sky": skies_in_words(),
            "test_sky": test_sky(),
        },
        words=paper_words(),
        code=code("paper_page", "paper.page"),
    script:
        "../scripts/paper_page.py"


use rule step as paper_docs with:
    """Copy the page to docs/explanation/paper.md and its figures to docs/figures/paper. Runs only on request."""
    input:
        page=f"results/{RUN}/paper.md",
        figures=list(paper_figures()),
    output:
        output="docs/explanation/paper.md",
        folder=directory("docs/figures/paper"),
    log:
        f"results/{RUN}/logs/paper_docs.log",
    benchmark:
        f"results/{RUN}/benchmarks/paper_docs.tsv"
    conda:
        "../../envs/figures.yaml"
    params:
        **step("paper.page.publish"),
