localrules:
    summarise,
    report,


use rule step as summarise with:
    """Collect the metrics of all experiments and test skies in one table."""
    input:
        all_metrics(),
        all_metrics_of_test_skies(),
        all_masses(),
    output:
        output=f"results/{RUN}/summary.json",
    log:
        f"results/{RUN}/logs/summarise.log",
    benchmark:
        f"results/{RUN}/benchmarks/summarise.tsv"
    resources:
        mem_mb=each_try(500),
        runtime=each_try(5),
    params:
        **step("report.summary.summarise"),
        metrics=dict(zip(EXPERIMENTS, all_metrics())),
        masses={
            experiment: {field: f"results/{RUN}/{experiment}/observed/{field}/masses.fits" for field in FIELDS}
            for experiment in WEIGHING
        },
        test_skies=metrics_of_test_skies(),
        trained={name: trained_with(name) for name in EXPERIMENTS},


# snakemake itself makes the report, so the environment of this rule contains snakemake
rule report:
    """Make the report, the configuration as it was used, and the hashes of all results."""
    input:
        figures=all_figures(),
        masses=all_masses(),
        pages=all_pages(),
        comparisons=all_comparisons(),
        metrics=all_metrics() + all_metrics_of_test_skies(),
        predictions=all_predictions(),
        summary=f"results/{RUN}/summary.json",
    output:
        report=f"results/{RUN}/report.html",
        settings=f"results/{RUN}/config.yaml",
        provenance=f"results/{RUN}/provenance.json",
    log:
        f"results/{RUN}/logs/report.log",
    benchmark:
        f"results/{RUN}/benchmarks/report.tsv"
    conda:
        "../../envs/workflow.yaml"
    resources:
        mem_mb=each_try(1000),
        runtime=each_try(10),
    params:
        config=config_hash(without_execution_keys(config)),
        captions=texts_hash(ROOT / "workflow" / "report"),
        code=code("report", "report.summary"),
    script:
        "../scripts/report.py"
