# Of an observed field nothing true stays: labels and sources vanish after detection, truth and matches are not written.
for observed, (simulate, detect) in {
    False: ("simulate_realization", "detect_sources"),
    True: ("simulate_observed_field", "detect_observed_sources"),
}.items():

    rule:
        name:
            simulate
        output:
            **true_files(observed, "labels", "sources"),
            **({} if observed else {"truth": f"{REALIZATION}/truth.fits"}),
            events=f"{REALIZATION}/events.fits",
            exposure=f"{REALIZATION}/exposure.fits",
        log:
            f"{REALIZATION}/logs/{simulate}.log",
        benchmark:
            f"{REALIZATION}/benchmarks/{simulate}.tsv"
        wildcard_constraints:
            sky=skies_of("embedded", observed),
        conda:
            "../../envs/data.yaml"
        threads: 1
        resources:
            mem_mb=each_try(2000),
            runtime=each_try(20),
        params:
            observed=observed,
            sky=sky_photons,
            cosmology=sky_cosmology,
            code=code("simulate_realization", "simulate.realization"),
        script:
            "../scripts/simulate_realization.py"

    rule:
        name:
            detect
        input:
            **{name: f"{REALIZATION}/{name}.fits" for name in ("events", "exposure", "labels", "sources")},
        output:
            **({} if observed else {"matches": f"{REALIZATION}/matches.fits"}),
            catalogue=f"{REALIZATION}/catalogue.fits",
        log:
            f"{REALIZATION}/logs/{detect}.log",
        benchmark:
            f"{REALIZATION}/benchmarks/{detect}.tsv"
        wildcard_constraints:
            sky=skies_of("embedded", observed),
        conda:
            "../../envs/data.yaml"
        threads: 1
        resources:
            mem_mb=each_try(2000),
            runtime=each_try(20),
        params:
            sky=sky_detection,
            code=code("detect_sources", "detect.detect_field"),
        script:
            "../scripts/detect_sources.py"


rule write_simput:
    """Made on request: the same haloes and AGN for one's own SIXTE run, e.g. results/skies/embedded/01/simput.fits."""
    output:
        simput=f"{REALIZATION}/simput.fits",
    log:
        f"{REALIZATION}/logs/write_simput.log",
    benchmark:
        f"{REALIZATION}/benchmarks/write_simput.tsv"
    wildcard_constraints:
        sky=skies_of("embedded", observed=False),
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=each_try(2000),
        runtime=each_try(20),
    params:
        sky=sky_photons,
        cosmology=sky_cosmology,
        code=code("write_simput", "simulate.simput"),
    script:
        "../scripts/write_simput.py"


rule ingest_mock:
    input:
        files=sky_files,
    output:
        events=f"{REALIZATION}/events.fits",
        exposure=f"{REALIZATION}/exposure.fits",
        catalogue=f"{REALIZATION}/catalogue.fits",
        truth=f"{REALIZATION}/truth.fits",
        matches=f"{REALIZATION}/matches.fits",
        labels=f"{REALIZATION}/labels.fits",
    log:
        f"{REALIZATION}/logs/ingest_mock.log",
    benchmark:
        f"{REALIZATION}/benchmarks/ingest_mock.tsv"
    wildcard_constraints:
        sky=skies_of("files", observed=False),
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=each_try(4000),
        runtime=each_try(30),
    params:
        with_truth=True,
        sky=sky_reading,
        files=sky_realization_files,
        events=in_order(config["events"]),
        bands=in_order(config["images"]["bands"]),
        code=code("ingest_field", "catalogues.ingest"),
    script:
        "../scripts/ingest_field.py"


rule ingest_field:
    input:
        files=sky_files,
    output:
        events=f"{REALIZATION}/events.fits",
        exposure=f"{REALIZATION}/exposure.fits",
        catalogue=f"{REALIZATION}/catalogue.fits",
    log:
        f"{REALIZATION}/logs/ingest_field.log",
    benchmark:
        f"{REALIZATION}/benchmarks/ingest_field.tsv"
    wildcard_constraints:
        sky=skies_of("files", observed=True),
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=each_try(4000),
        runtime=each_try(30),
    params:
        with_truth=False,
        sky=sky_reading,
        files=sky_realization_files,
        events=in_order(config["events"]),
        bands=in_order(config["images"]["bands"]),
        code=code("ingest_field", "catalogues.ingest"),
    script:
        "../scripts/ingest_field.py"


# A rule for each sky: the pickle is read once, for all its realizations, and outputs can't be functions of wildcards.
for published_sky in SKIES_BY_KIND["published", False]:

    rule:
        name:
            f"ingest_published_{published_sky}"
        input:
            **{key: SKIES[published_sky][key] for key in PUBLISHED_FILES},
        output:
            images=of_realizations(published_sky, "images.nc"),
            truth=of_realizations(published_sky, "truth.fits"),
        log:
            f"results/skies/{published_sky}/logs/ingest_published.log",
        benchmark:
            f"results/skies/{published_sky}/benchmarks/ingest_published.tsv"
        conda:
            "../../envs/data.yaml"
        threads: 1
        resources:
            mem_mb=each_try(3000),
            runtime=each_try(30),
        params:
            sky=in_order(SKIES[published_sky]),
            cosmology=cosmology_of(published_sky),
            images=in_order(config["images"]),
            events=in_order(config["events"]),
            code=code("ingest_published", "published_set.ingest"),
        script:
            "../scripts/ingest_published.py"
