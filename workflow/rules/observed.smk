rule infer_observed:
    input:
        images=field_images,
        smoothed=field_smoothed,
        catalogues=field_catalogues,
        ensemble=f"{EXPERIMENT}/ensemble.nc",
        calibration=f"{EXPERIMENT}/calibration.json",
        domain=f"{EXPERIMENT}/domain.nc",
        weights=member_files(".safetensors"),
    output:
        fits=f"{EXPERIMENT}/observed/{{field}}/masses.fits",
        vot=f"{EXPERIMENT}/observed/{{field}}/masses.vot",
        ecsv=f"{EXPERIMENT}/observed/{{field}}/masses.ecsv",
        nc=f"{EXPERIMENT}/observed/{{field}}/masses.nc",
    log:
        f"{EXPERIMENT}/logs/infer_observed_{{field}}.log",
    benchmark:
        f"{EXPERIMENT}/benchmarks/infer_observed_{{field}}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=each_try(3000),
        runtime=each_try(30),
    params:
        simulated=field_is_simulated,
        acronym=config["observed"]["acronym"],
        mass_prior=mass_prior,
        cosmology=experiment_cosmology,
        code=code("infer_observed", "apply.masses"),
    script:
        "../scripts/infer_observed.py"


rule pack:
    """Asked for by name: the trained ensembles of all experiments without control, each in one file to be handed on."""
    input:
        expand(f"{EXPERIMENT}/ensemble.zip", experiment=WEIGHING),


rule pack_ensemble:
    input:
        ensemble=f"{EXPERIMENT}/ensemble.nc",
        calibration=f"{EXPERIMENT}/calibration.json",
        domain=f"{EXPERIMENT}/domain.nc",
        weights=member_files(".safetensors"),
    output:
        packed=f"{EXPERIMENT}/ensemble.zip",
    log:
        f"{EXPERIMENT}/logs/pack_ensemble.log",
    benchmark:
        f"{EXPERIMENT}/benchmarks/pack_ensemble.tsv"
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=each_try(1000),
        runtime=each_try(10),
    params:
        code=code("pack_ensemble", "ensemble.pack"),
    script:
        "../scripts/pack_ensemble.py"


rule plot_observed:
    input:
        masses=f"{EXPERIMENT}/observed/{{field}}/masses.fits",
        images=field_images,
    output:
        svg=report(
            f"{EXPERIMENT}/observed/{{field}}/masses.svg",
            caption="../report/observed.rst",
            category="Observed field",
            labels={
                "figure": "masses",
                "field": "{field}",
                "experiment": "{experiment}",
            },
        ),
        png=f"{EXPERIMENT}/observed/{{field}}/masses.png",
    log:
        f"{EXPERIMENT}/logs/plot_observed_{{field}}.log",
    benchmark:
        f"{EXPERIMENT}/benchmarks/plot_observed_{{field}}.tsv"
    conda:
        "../../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=each_try(1000),
        runtime=each_try(10),
    params:
        relation=in_order(config["baselines"]["count_rate_efeds"]),
        dpi=config["figures"]["dpi"],
        code=code("plot", "figures.observed"),
    script:
        "../scripts/plot.py"


rule compare_published:
    """Masses of an observed field beside published ones: offset, trends, scatter."""
    input:
        masses=f"{EXPERIMENT}/observed/{{field}}/masses.fits",
        catalogues=field_catalogues,
        published=published_file,
    output:
        comparison=f"{EXPERIMENT}/observed/{{field}}/comparison.json",
    log:
        f"{EXPERIMENT}/logs/compare_published_{{field}}.log",
    benchmark:
        f"{EXPERIMENT}/benchmarks/compare_published_{{field}}.tsv"
    wildcard_constraints:
        field="|".join(PUBLISHED) or "(?!)",
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=each_try(1000),
        runtime=each_try(20),
    params:
        realizations=field_realizations,
        published=published_block,
        luminosity=in_order(config["baselines"]["luminosity_published"]),
        count_rate=in_order(config["baselines"]["count_rate_efeds"]),
        bootstrap=config["evaluation"]["bootstrap"],
        seed=config["seed"],
        code=code("compare_published", "apply.compare_published"),
    script:
        "../scripts/compare_published.py"


rule plot_published_masses:
    input:
        comparison=f"{EXPERIMENT}/observed/{{field}}/comparison.json",
    output:
        svg=report(
            f"{EXPERIMENT}/observed/{{field}}/comparison.svg",
            caption="../report/published_masses.rst",
            category="Observed field",
            labels={
                "figure": "beside published masses",
                "field": "{field}",
                "experiment": "{experiment}",
            },
        ),
        png=f"{EXPERIMENT}/observed/{{field}}/comparison.png",
    log:
        f"{EXPERIMENT}/logs/plot_published_masses_{{field}}.log",
    benchmark:
        f"{EXPERIMENT}/benchmarks/plot_published_masses_{{field}}.tsv"
    conda:
        "../../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=each_try(1000),
        runtime=each_try(10),
    params:
        dpi=config["figures"]["dpi"],
        code=code("plot", "figures.published_masses"),
    script:
        "../scripts/plot.py"
