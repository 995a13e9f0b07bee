rule plot_comparison:
    input:
        metrics=metrics_of(compared()),
    output:
        svg=report(
            f"results/{RUN}/figures/comparison.svg",
            caption="../report/comparison.rst",
            category="Comparison",
            labels={"figure": "experiments side by side"},
        ),
        png=f"results/{RUN}/figures/comparison.png",
    log:
        f"results/{RUN}/logs/plot_comparison.log",
    benchmark:
        f"results/{RUN}/benchmarks/plot_comparison.tsv"
    conda:
        "../../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=each_try(1000),
        runtime=each_try(10),
    params:
        rows=compared(),
        dpi=config["figures"]["dpi"],
        code=code("plot", "figures.comparison"),
    script:
        "../scripts/plot.py"


rule plot_learning_curve:
    input:
        metrics=metrics_of(learning_curve()),
    output:
        svg=report(
            f"results/{RUN}/figures/learning_curve.svg",
            caption="../report/learning_curve.rst",
            category="Comparison",
            labels={"figure": "learning curve"},
        ),
        png=f"results/{RUN}/figures/learning_curve.png",
    log:
        f"results/{RUN}/logs/plot_learning_curve.log",
    benchmark:
        f"results/{RUN}/benchmarks/plot_learning_curve.tsv"
    conda:
        "../../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=each_try(1000),
        runtime=each_try(10),
    params:
        rows=learning_curve(),
        dpi=config["figures"]["dpi"],
        code=code("plot", "figures.learning_curve"),
    script:
        "../scripts/plot.py"


rule plot_weighting:
    input:
        predictions=predictions_of(weighting_pairs()),
    output:
        svg=report(
            f"results/{RUN}/figures/weighting.svg",
            caption="../report/weighting.rst",
            category="Comparison",
            labels={"figure": "weighted training masses"},
        ),
        png=f"results/{RUN}/figures/weighting.png",
    log:
        f"results/{RUN}/logs/plot_weighting.log",
    benchmark:
        f"results/{RUN}/benchmarks/plot_weighting.tsv"
    conda:
        "../../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=each_try(1000),
        runtime=each_try(10),
    params:
        rows=weighting_pairs(),
        dpi=config["figures"]["dpi"],
        code=code("plot", "figures.weighting"),
    script:
        "../scripts/plot.py"


rule plot_energy_bands:
    input:
        images=experiment_images,
        split=experiment_split,
    output:
        svg=report(
            f"{EXPERIMENT}/figures/energy_bands.svg",
            caption="../report/energy_bands.rst",
            category="Sample",
            labels={"figure": "energy bands", "experiment": "{experiment}"},
        ),
        png=f"{EXPERIMENT}/figures/energy_bands.png",
    log:
        f"{EXPERIMENT}/logs/plot_energy_bands.log",
    benchmark:
        f"{EXPERIMENT}/benchmarks/plot_energy_bands.tsv"
    conda:
        "../../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=each_try(1000),
        runtime=each_try(10),
    params:
        dpi=config["figures"]["dpi"],
        code=code("plot", "figures.energy_bands"),
    script:
        "../scripts/plot.py"


rule plot_sample:
    input:
        truth=experiment_truth,
        ensemble=f"{EXPERIMENT}/ensemble.nc",
    output:
        svg=report(
            f"{EXPERIMENT}/figures/sample.svg",
            caption="../report/sample.rst",
            category="Sample",
            labels={"figure": "sample", "experiment": "{experiment}"},
        ),
        png=f"{EXPERIMENT}/figures/sample.png",
    log:
        f"{EXPERIMENT}/logs/plot_sample.log",
    benchmark:
        f"{EXPERIMENT}/benchmarks/plot_sample.tsv"
    conda:
        "../../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=each_try(1000),
        runtime=each_try(10),
    params:
        dpi=config["figures"]["dpi"],
        code=code("plot", "figures.sample"),
    script:
        "../scripts/plot.py"


rule plot_training:
    input:
        members=member_files(".nc"),
    output:
        svg=report(
            f"{EXPERIMENT}/figures/training.svg",
            caption="../report/training.rst",
            category="Training",
            labels={"figure": "training", "experiment": "{experiment}"},
        ),
        png=f"{EXPERIMENT}/figures/training.png",
    log:
        f"{EXPERIMENT}/logs/plot_training.log",
    benchmark:
        f"{EXPERIMENT}/benchmarks/plot_training.tsv"
    conda:
        "../../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=each_try(1000),
        runtime=each_try(10),
    params:
        dpi=config["figures"]["dpi"],
        code=code("plot", "figures.training"),
    script:
        "../scripts/plot.py"


rule plot_predictions:
    input:
        predictions=f"{EXPERIMENT}/predictions.nc",
    output:
        svg=report(
            f"{EXPERIMENT}/figures/predictions.svg",
            caption="../report/predictions.rst",
            category="Results",
            labels={"figure": "predictions", "experiment": "{experiment}"},
        ),
        png=f"{EXPERIMENT}/figures/predictions.png",
    log:
        f"{EXPERIMENT}/logs/plot_predictions.log",
    benchmark:
        f"{EXPERIMENT}/benchmarks/plot_predictions.tsv"
    conda:
        "../../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=each_try(1000),
        runtime=each_try(10),
    params:
        dpi=config["figures"]["dpi"],
        code=code("plot", "figures.predictions"),
    script:
        "../scripts/plot.py"


rule plot_spread:
    input:
        ensemble=f"{EXPERIMENT}/ensemble.nc",
        predictions=f"{EXPERIMENT}/predictions.nc",
        split=experiment_split,
        images=experiment_images,
        truth=experiment_truth,
        catalogues=experiment_catalogues,
    output:
        svg=report(
            f"{EXPERIMENT}/figures/spread.svg",
            caption="../report/spread.rst",
            category="Results",
            labels={"figure": "spread of the members", "experiment": "{experiment}"},
        ),
        png=f"{EXPERIMENT}/figures/spread.png",
    log:
        f"{EXPERIMENT}/logs/plot_spread.log",
    benchmark:
        f"{EXPERIMENT}/benchmarks/plot_spread.tsv"
    conda:
        "../../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=each_try(1000),
        runtime=each_try(10),
    params:
        half_width_arcsec=seen_half_width,
        bootstrap=config["evaluation"]["bootstrap"],
        seed=config["seed"],
        dpi=config["figures"]["dpi"],
        code=code("plot", "figures.spread"),
    script:
        "../scripts/plot.py"


rule plot_bias:
    input:
        predictions=f"{EXPERIMENT}/predictions.nc",
        baselines=experiment_baselines,
    output:
        svg=report(
            f"{EXPERIMENT}/figures/bias.svg",
            caption="../report/bias.rst",
            category="Results",
            labels={"figure": "bias", "experiment": "{experiment}"},
        ),
        png=f"{EXPERIMENT}/figures/bias.png",
    log:
        f"{EXPERIMENT}/logs/plot_bias.log",
    benchmark:
        f"{EXPERIMENT}/benchmarks/plot_bias.tsv"
    conda:
        "../../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=each_try(1000),
        runtime=each_try(10),
    params:
        dpi=config["figures"]["dpi"],
        code=code("plot", "figures.bias"),
    script:
        "../scripts/plot.py"


rule plot_baselines:
    input:
        metrics=f"{EXPERIMENT}/metrics.json",
    output:
        svg=report(
            f"{EXPERIMENT}/figures/baselines.svg",
            caption="../report/baselines.rst",
            category="Results",
            labels={"figure": "baselines", "experiment": "{experiment}"},
        ),
        png=f"{EXPERIMENT}/figures/baselines.png",
    log:
        f"{EXPERIMENT}/logs/plot_baselines.log",
    benchmark:
        f"{EXPERIMENT}/benchmarks/plot_baselines.tsv"
    conda:
        "../../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=each_try(1000),
        runtime=each_try(10),
    params:
        dpi=config["figures"]["dpi"],
        code=code("plot", "figures.baselines"),
    script:
        "../scripts/plot.py"


rule plot_calibration:
    input:
        predictions=f"{EXPERIMENT}/predictions.nc",
        metrics=f"{EXPERIMENT}/metrics.json",
    output:
        svg=report(
            f"{EXPERIMENT}/figures/calibration.svg",
            caption="../report/calibration.rst",
            category="Results",
            labels={"figure": "calibration", "experiment": "{experiment}"},
        ),
        png=f"{EXPERIMENT}/figures/calibration.png",
    log:
        f"{EXPERIMENT}/logs/plot_calibration.log",
    benchmark:
        f"{EXPERIMENT}/benchmarks/plot_calibration.tsv"
    conda:
        "../../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=each_try(1000),
        runtime=each_try(10),
    params:
        dpi=config["figures"]["dpi"],
        code=code("plot", "figures.calibration"),
    script:
        "../scripts/plot.py"
