use rule step as infer_observed with:
    """Predict the masses of an observed field and write them as FITS, VOTable, ECSV and netCDF."""
    input:
        images=realizations("images", "field"),
        smoothed=realizations("smoothed", "field"),
        catalogues=realizations("catalogue", "field"),
        exposures=realizations("exposure", "field"),
        ensemble=f"{EXPERIMENT}/ensemble.nc",
        calibration=f"{EXPERIMENT}/calibration.json",
        domain=f"{EXPERIMENT}/domain.nc",
        weights=member_files(".safetensors"),
    output:
        expand(f"{EXPERIMENT}/observed/{{field}}/masses.{{suffix}}", suffix=BESIDE_MASSES, allow_missing=True),
        output=f"{EXPERIMENT}/observed/{{field}}/masses.fits",
    log:
        f"{EXPERIMENT}/logs/infer_observed_{{field}}.log",
    benchmark:
        f"{EXPERIMENT}/benchmarks/infer_observed_{{field}}.tsv"
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=each_try(3000),
        runtime=each_try(30),
    params:
        **step("apply.masses.infer_observed"),
        simulated=field_is_simulated,
        acronym=config["observed"]["acronym"],
        mass_prior=mass_prior,
        cosmology=cosmology("experiment"),
        device="cpu",  # this takes seconds and gives the same bytes everywhere


use rule step as write_page with:
    """Write the page of an observed field: a map, a table, and a card with a picture of each cluster."""
    input:
        masses=f"{EXPERIMENT}/observed/{{field}}/masses.fits",
        cards=f"{EXPERIMENT}/observed/{{field}}/masses.cards.nc",
    output:
        output=f"{EXPERIMENT}/observed/{{field}}/clusters.html",
    log:
        f"{EXPERIMENT}/logs/write_page_{{field}}.log",
    benchmark:
        f"{EXPERIMENT}/benchmarks/write_page_{{field}}.tsv"
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=each_try(2000),
        runtime=each_try(10),
    params:
        step="cards.page.write_page",
        texts=texts_hash(ROOT / "src" / "clustermass" / "cards" / "web"),
        code=code("step", "cards.page"),


use rule step as compare_published with:
    """Compare the masses of an observed field with published ones: offset, trends and scatter."""
    input:
        masses=f"{EXPERIMENT}/observed/{{field}}/masses.fits",
        catalogues=realizations("catalogue", "field"),
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
    resources:
        mem_mb=each_try(1000),
        runtime=each_try(20),
    params:
        **step("apply.compare_published.compare_published"),
        realizations=field_realizations,
        block=published_block,
        relations={name: in_order(config["baselines"][name]) for name in ("luminosity_published", "count_rate_efeds")},
        bootstrap=config["evaluation"]["bootstrap"],
        seed=config["seed"],
