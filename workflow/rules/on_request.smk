# These rules run only if a command names them or one of their files: `snakemake ... -- <rule or file>`.
localrules:
    download,


# This rule has no output. With outputs, Snakemake would delete the files of a failed download, which can be resumed, and
# a plain run would download, too.
use rule step as download with:
    """Download and check the public files that the configuration reads (config/efeds.yaml, config/erass1.yaml)."""
    log:
        "results/logs/download.log",
    conda:
        "../../envs/workflow.yaml"
    resources:
        mem_mb=each_try(4000),
        runtime=each_try(600),
    params:
        **step("io.download.download_files"),
        downloads=in_order(config.get("downloads", {})),


use rule step as write_simput with:
    """Write a realization of a simulated sky as input of SIXTE, e.g. results/skies/embedded/01/simput.fits."""
    output:
        path=f"{REALIZATION}/simput.fits",
    log:
        f"{REALIZATION}/logs/write_simput.log",
    benchmark:
        f"{REALIZATION}/benchmarks/write_simput.tsv"
    wildcard_constraints:
        sky=skies_of("embedded", observed=False),
    params:
        **step("simulate.simput.write_realization_simput"),
        name="{sky}",
        realization="{realization}",
        sky=sky_photons,
        cosmology=cosmology("sky"),


rule validate_sky:
    """Compare the simulated sky with published numbers: results/validation/sky.{json,md,png,pdf}."""
    input:
        "results/validation/sky.png",


rule compare_sky:
    """Measure a simulated sky where published numbers exist."""
    input:
        **{name: of_realizations(VALIDATED, f"{name}.fits") for name in REALIZATION_FILES},
    output:
        table="results/validation/sky.json",
        markdown="results/validation/sky.md",
        measured="results/validation/measured.nc",
    log:
        "results/validation/logs/compare_sky.log",
    benchmark:
        "results/validation/benchmarks/compare_sky.tsv"
    conda:
        "../../envs/data.yaml"
    resources:
        mem_mb=each_try(2000),
        runtime=each_try(20),
    params:
        code=code("compare_sky", "sky_validation.table"),
    script:
        "../scripts/compare_sky.py"


use rule step as plot_sky_validation with:
    """Draw the simulated sky beside the published numbers."""
    input:
        **STYLE_FILE,
        measured="results/validation/measured.nc",
        table="results/validation/sky.json",
    output:
        png="results/validation/sky.png",
        pdf="results/validation/sky.pdf",
    log:
        "results/validation/logs/plot_sky_validation.log",
    benchmark:
        "results/validation/benchmarks/plot_sky_validation.tsv"
    conda:
        "../../envs/figures.yaml"
    params:
        **step("figures._sky_validation.sky_validation"),
        **STYLE_NAME,
        dpi=config["figures"]["dpi"],


rule search:
    """Compare the candidates of `search.candidates` on the validation clusters; test clusters are not used."""
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
        "../../envs/train.yaml"
    resources:
        mem_mb=each_try(2000),
        runtime=each_try(10),
    params:
        settings=candidate_settings(),
        bands=len(band_edges(config["images"]["bands"])) - 1,
        resamplings=config["evaluation"]["bootstrap"],
        seed=config["seed"],
        code=code("search", "evaluate.model_selection"),
    script:
        "../scripts/search.py"


rule members_curves:
    """Score ensembles of the first members, by their number, for all experiments."""
    input:
        expand(f"{EXPERIMENT}/members_curve.json", experiment=EXPERIMENTS),


use rule step as members_curve with:
    """Score one experiment's ensembles of the first members, by their number."""
    input:
        members=member_files(".nc"),
        split=experiment_split,
    output:
        output=f"{EXPERIMENT}/members_curve.json",
    log:
        f"{EXPERIMENT}/logs/members_curve.log",
    benchmark:
        f"{EXPERIMENT}/benchmarks/members_curve.tsv"
    conda:
        "../../envs/train.yaml"
    params:
        **step("evaluate.model_selection.members_curve"),
        resamplings=config["evaluation"]["bootstrap"],
        seed=config["seed"],


rule pack:
    """Pack each trained ensemble into one file to share; control experiments are left out."""
    input:
        expand(f"{EXPERIMENT}/ensemble.zip", experiment=WEIGHING),


rule pack_ensemble:
    """Pack one trained ensemble into one file."""
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
    resources:
        mem_mb=each_try(1000),
        runtime=each_try(10),
    params:
        code=code("pack_ensemble", "ensemble.ensemble"),
    script:
        "../scripts/pack_ensemble.py"


RELEASED = EXPERIMENT.format(experiment=BASE_EXPERIMENT)


use rule step as release with:
    """Pack the ensemble of the base experiment as the released one, into the package, and write its datasheet."""
    input:
        ensemble=f"{RELEASED}/ensemble.nc",
        calibration=f"{RELEASED}/calibration.json",
        domain=f"{RELEASED}/domain.nc",
        weights=expand(member_paths(".safetensors", MEMBERS[BASE_EXPERIMENT]), experiment=BASE_EXPERIMENT),
        metrics=[*metrics_of_test_skies()[BASE_EXPERIMENT].values(), f"{RELEASED}/metrics.json"][0],
    output:
        packed="src/clustermass/ensemble/released.zip",
        datasheet="docs/reference/released_ensemble.md",
    log:
        f"results/{RUN}/logs/release.log",
    benchmark:
        f"results/{RUN}/benchmarks/release.tsv"
    conda:
        "../../envs/train.yaml"
    params:
        **step("report.release.release"),
        settings={
            "version": RUN,
            "sky": EXPERIMENTS[BASE_EXPERIMENT]["sky"],
            "realizations": len(realization_names(SKIES[EXPERIMENTS[BASE_EXPERIMENT]["sky"]])),
            **in_order(EXPERIMENTS[BASE_EXPERIMENT]["selection"]),
        },
        template=(ROOT / "workflow" / "release" / "datasheet.md").read_text(encoding="utf-8"),
