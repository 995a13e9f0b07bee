rule ingest_mock:
    """Convert the user's own mock files of one realization to the pipeline's files."""
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
    resources:
        mem_mb=each_try(4000),
        runtime=each_try(30),
    params:
        with_truth=True,
        sky=sky_reading,
        files=sky_realization_files,
        events=in_order(config["events"]),
        bands=seen_bands(),
        code=code("ingest_field", "ingest.user_field"),
    script:
        "../scripts/ingest_field.py"


rule ingest_field:
    """Convert the user's event lists, catalogue and exposure maps of an observed field to the pipeline's files."""
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
    resources:
        mem_mb=each_try(4000),
        runtime=each_try(30),
    params:
        with_truth=False,
        sky=sky_reading,
        files=sky_realization_files,
        events=in_order(config["events"]),
        bands=seen_bands(),
        code=code("ingest_field", "ingest.user_field"),
    script:
        "../scripts/ingest_field.py"


# There is one rule for each sky, because it reads the pickle once for all realizations, and outputs can't be functions of wildcards.
for published_sky in SKIES_BY_KIND["published", False]:

    rule:
        """Convert a published training set to images and truth, for all realizations at once."""
        name:
            f"ingest_published_{published_sky}"
        input:
            [SKIES[published_sky][key] for key in PUBLISHED_FILES],  # the param `sky` names them
        output:
            images=of_realizations(published_sky, "images.nc"),
            truth=of_realizations(published_sky, "truth.fits"),
        log:
            f"results/skies/{published_sky}/logs/ingest_published.log",
        benchmark:
            f"results/skies/{published_sky}/benchmarks/ingest_published.tsv"
        conda:
            "../../envs/data.yaml"
        resources:
            mem_mb=each_try(3000),
            runtime=each_try(30),
        params:
            **step("ingest.published_set.ingest_published"),
            sky=in_order(SKIES[published_sky]),
            cosmology=cosmology_of(published_sky),
            images_block=in_order(config["images"]),
            events_block=in_order(config["events"]),
        script:
            "../scripts/step.py"
