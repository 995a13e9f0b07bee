# asked for by name, for its own sake: the validation clusters choose, the test set judges what was chosen
rule search:
    input:
        ensembles=candidate_ensembles,
        split=candidate_split,
    output:
        json=f"results/{RUN}/search.json",
        page=f"results/{RUN}/search.md",
    log:
        f"results/{RUN}/logs/search.log",
    benchmark:
        f"results/{RUN}/benchmarks/search.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=each_try(2000),
        runtime=each_try(10),
    params:
        settings=candidate_settings(),
        bands=config["images"]["bands"]["number"],
        resamplings=config["evaluation"]["bootstrap"],
        seed=config["seed"],
        code=code("search", "evaluate.model_selection"),
    script:
        "../scripts/search.py"
