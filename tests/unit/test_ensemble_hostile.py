"""Packed ensembles and networks of somebody else: nothing outside the file is used, and no size is believed."""

import hashlib
import json
import zipfile
from dataclasses import asdict, replace

import numpy as np
import pytest
import xarray as xr
from confined import refused
from safetensors.numpy import save_file
from test_ensemble_pack import experiment, packed, rewrite  # noqa: F401
from test_network_predict import example

from clustermass.apply.masses import AppliedEnsemble
from clustermass.dataset.standardise import Standardisation
from clustermass.ensemble import pack as packing
from clustermass.ensemble.ensemble import Ensemble
from clustermass.errors import InputError
from clustermass.images.geometry import ImageGeometry
from clustermass.io.netcdf import VARIABLES, read_netcdf, write_netcdf
from clustermass.network.predict import METADATA, TrainedNetwork, initialise
from clustermass.network.settings import check_applicable


def load(path):
    with Ensemble.load(path) as trained:
        return sorted(trained.named())


def packed_again(path, change):
    """Change files of a packed ensemble, and its manifest so that it fits."""

    def with_manifest(files):
        files = change(files)
        manifest = json.loads(files.pop("manifest.json"))
        sha256 = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        manifest |= {"files": sha256, "ensemble_hash": packing.config_hash(sha256)}
        return {"manifest.json": json.dumps(manifest).encode()} | files

    rewrite(path, with_manifest)


def members(path, names):
    """Let the `ensemble.nc` of a packed ensemble name other members."""
    place = path.parent / "other.nc"
    coordinates = {"member": list(names)}
    write_netcdf(xr.Dataset({"split": ("cluster", ["train"])}, coordinates), place, "test", {})
    packed_again(path, lambda files: files | {"ensemble.nc": place.read_bytes()})


@pytest.mark.parametrize("name", ["{}/elsewhere/00", "../../../{}/elsewhere/00", "../members/00", "00\n", "", ".", "é"])
def test_a_member_s_name_leads_nowhere_else(packed, experiment, name):  # noqa: F811
    elsewhere = packed.parent / "elsewhere"
    elsewhere.mkdir()
    example().save(elsewhere / "00.safetensors")
    members(packed, [name.format(packed.parent), "01"])
    refused(r"member|differ", load, packed)


@pytest.mark.parametrize("names", [["00"], ["00", "01", "01"], ["01", "01"], ["00", "02"]])
def test_the_networks_are_those_of_the_manifest(packed, names):  # noqa: F811
    members(packed, names)
    refused("my ensemble.zip", load, packed) if names != ["00", "02"] else refused("02.safetensors", load, packed)


def bomb(path, name, compression=zipfile.ZIP_DEFLATED, times=1200):
    with zipfile.ZipFile(path, "a", compression, compresslevel=1) as archive, archive.open(name, "w") as stream:
        for _ in range(times):
            stream.write(bytes(1_000_000))


def test_an_entry_that_unpacks_to_gigabytes_is_refused_unread(packed):  # noqa: F811
    bomb(packed, "members/99.safetensors")
    refused(r"my ensemble\.zip: .*members/99", load, packed, memory=1_000_000_000)


def test_compressed_entries_are_refused(packed):  # noqa: F811
    with zipfile.ZipFile(packed) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    refused(r"compressed", load, packed)
    content = bytearray(packed.read_bytes())
    content[200:220] = b"\xff" * 20
    packed.write_bytes(bytes(content))
    refused(r"my ensemble\.zip", load, packed)


def test_a_name_that_comes_twice_is_refused(packed):  # noqa: F811
    with zipfile.ZipFile(packed, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("calibration.json", "{}")
    refused(r"calibration\.json", load, packed)


def test_a_long_list_of_entries_is_refused_unread(packed):  # noqa: F811
    with zipfile.ZipFile(packed, "a") as archive:
        for number in range(20_000):
            archive.writestr(f"{number:040d}", b"")
    refused("files in a packed ensemble", load, packed)


@pytest.mark.parametrize(
    "manifest",
    [b"[" * 200_000, b'{"files": [[1, 2]]}', b'{"files": 1}', b"9" * 10_000, b"[]", b"\xff", b"{}"],
    ids=["deep", "pairs", "number", "huge", "list", "bytes", "empty"],
)
def test_any_manifest_ends_in_a_sentence(packed, manifest):  # noqa: F811
    rewrite(packed, lambda files: files | {"manifest.json": manifest})
    refused(r"my ensemble\.zip: no packed ensemble", load, packed)


def save(path, text):
    save_file({"a": np.zeros(3, np.float32)}, path, metadata={METADATA: text})


HEADERS = {
    "deep": "[" * 200_000,
    "huge": "9" * 10_000,
    "long": json.dumps({"format": "x" * 20_000_000}),
}


@pytest.mark.parametrize("text", HEADERS.values(), ids=HEADERS)
def test_any_header_of_weights_ends_in_a_sentence(tmp_path, text):
    save(tmp_path / "00.safetensors", text)
    refused(r"00\.safetensors: ", TrainedNetwork.load, tmp_path / "00.safetensors")


def harm(network, **arrays):
    """Return a network in which weights of these names, or constants, are replaced."""
    constants = {name: value for name, value in arrays.items() if name in CONSTANTS}
    weights = {name: array for name, array in arrays.items() if name not in CONSTANTS}
    return replace(
        network, weights=network.weights | weights, standardisation=replace(network.standardisation, **constants)
    )


LAST = "dense.layers.2.bias"


@pytest.mark.parametrize(
    "arrays",
    [
        {LAST: np.array([1e300, 0.0])},
        {LAST: np.array([1j, 0j], np.complex64)},
        {LAST: np.array([1, 0])},
        {LAST: np.float32([3e38, 0])},
        {LAST: np.float32([0, 3e38])},
        {LAST: np.float32([0, -3e38])},
        {LAST: np.float32([1000, 0])},
        {"image_sd": [1e-300, 1.0]},
        {"image_mean": [1e300, 0.0]},
        {"side_sd": [0.0]},
        {"mass_sd": 1e300},
        {"mass_mean": 1e300},
        {"mass_sd": -0.4},
        {"mass_sd": 0.0},
    ],
    ids=lambda arrays: "-".join(f"{name}={value}" for name, value in arrays.items()),
)
@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value", "ignore:divide by zero")
def test_no_network_gives_a_mass_that_is_no_number(tmp_path, network, arrays):
    path = tmp_path / "00.safetensors"
    harm(network, **arrays).save(path)
    with pytest.raises(InputError, match=r"00\.safetensors: (damaged weights file .*float32|the predicted log10 mass)"):
        applied(path)


def test_an_image_that_is_not_finite_is_named(tmp_path, network):
    network.save(tmp_path / "00.safetensors")
    images = np.zeros((3, BANDS, SIDE, SIDE))
    images[1, 0, 2, 2] = np.nan
    with pytest.raises(InputError, match=r"1 of 3 clusters .* row 1\. The image isn't finite"):
        Ensemble.from_weights([tmp_path / "00.safetensors"]).predict(images, np.full(3, 0.3), device="cpu")


@pytest.mark.parametrize(
    ("layers", "side"),
    [
        ([{"conv": 1, "kernel": 31}] * 40 + [{"global_pool": "average"}], 512),
        ([{"pool": "max", "size": 64, "stride": 1}, {"global_pool": "average"}], 512),
        ([{"conv": 512}, {"conv": 512}, {"global_pool": "average"}], 64),
    ],
    ids=["kernels", "windows", "features"],
)
def test_a_network_that_would_take_minutes_is_refused(layers, side):
    with pytest.raises(InputError, match=r"network\.layers: more than 1000000000 multiplications"):
        initialise(NETWORK | {"layers": layers}, (side, side, BANDS), 2, [1])


def test_messages_name_the_packed_file_and_no_temporary_folder(packed):  # noqa: F811
    with Ensemble.load(packed) as trained:
        image, redshift = np.zeros((1, 1, 2, 3)), np.full(1, 0.3)
        for act in (
            lambda: trained.predict(image, redshift, device="cpu"),
            lambda: trained.predict(np.zeros((1, 9, 9, 9)), redshift, device="cpu"),
            lambda: trained.check_grid(xr.Dataset(coords={"x": np.zeros(4), "y": np.zeros(2), "band": [0.3]})),
            lambda: trained.posterior("a"),
        ):
            with pytest.raises(InputError) as refusal:
                act()
            assert str(refusal.value).startswith(f"{packed}: ")
            assert "clustermass-ensemble-" not in str(refusal.value)


IMAGES = {"box_pixels": 300, "pixel_arcsec": 4.0, "base_rebin": 3, "centre": "detected", "det_like_min": 5.0}
IMAGES |= {"ext_like_min": 6.0, "bands": {"start_ev": 250, "width_ev": 205, "number": 10}}
EVENTS = {"flag_mask": "auto", "pattern": 15, "modules": [1, 2]}
RECIPE = {"optimizer": "adamw", "learning_rate": 0.002, "schedule": "cosine", "weight_decay": 0.2, "keep": "last"}
RECIPE |= {"gradient_clip": 5.0, "batch_size": 64, "epochs": 50, "augmentation": "symmetries", "average_decay": 0.9}
RECIPE |= {"symmetric_prediction": True}
SIDE, BANDS = 4, 2
PREPROCESSING = {"half_width_arcsec": SIDE * 12.0, "pixel_arcsec": 24.0, "transform": "sqrt"}
SETTINGS = {"cutting": {"images": IMAGES, "events": EVENTS}, "recipe": RECIPE, "preprocessing": PREPROCESSING}
NETWORK = {"side_inputs": ["z"], "catalogue_dropout": 0.0}
LAYERS = [{"conv": 2}, {"global_pool": "average"}, {"join": "side"}, {"dense": 3}]


@pytest.fixture(scope="module")
def network():
    """Return a network that can be applied."""
    block = NETWORK | {"layers": LAYERS}
    weights = initialise(block, (SIDE, SIDE, BANDS), 2, [1])
    constants = Standardisation([0.1] * BANDS, [1.0] * BANDS, ["z"], [0.3], [0.2], 14.1, 0.4)
    return TrainedNetwork(weights, constants, block, RECIPE, (SIDE, SIDE, BANDS), 0, 1, grid={"x": [0.0] * SIDE})


def applied(path):
    trained = Ensemble.from_weights([path])
    trained.check_grid(xr.Dataset(coords={"x": np.zeros(SIDE)}))
    mu = trained.predict(np.zeros((3, BANDS, SIDE, SIDE)), np.full(3, 0.3), device="cpu").mu
    return TrainedNetwork.load(path).edges_ev, mu.shape


def test_a_whole_network_is_applied(tmp_path, network):
    network.save(tmp_path / "00.safetensors")
    assert applied(tmp_path / "00.safetensors") == ((), (3,))


CONSTANTS = {"image_mean": [0.1] * BANDS, "image_sd": [1.0] * BANDS, "side_names": ["z"], "side_mean": [0.3]}
CONSTANTS |= {"side_sd": [0.2], "mass_mean": 14.1, "mass_sd": 0.4}


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [300_000, 300_000, 10]},
        {"shape": [1000, 1000, 10**6]},
        {"shape": [3, 3]},
        {"shape": ["a", 3, 3]},
        {"standardisation": CONSTANTS | {"image_mean": [0.0] * 77}},
        {"standardisation": CONSTANTS | {"mass_sd": "x"}},
        {"standardisation": CONSTANTS | {"side_mean": []}},
        {"standardisation": CONSTANTS | {"side_names": ["a"]}},
        {"recipe": {}},
        {"recipe": {"loss": "none"}},
        {"network": NETWORK},
        {"network": NETWORK | {"layers": [{"dropout": 0.0}] * 100_000}},
        {"network": NETWORK | {"layers": [{"dense": 10**9}]}},
        {"network": NETWORK | {"layers": [{"conv": 10**9, "kernel": 10**6}]}},
        {"network": NETWORK | {"layers": [{"local": 2, "kernel": 10**5}]}},
        {"network": NETWORK | {"layers": [{"strange": 1}]}},
        {"network": NETWORK | {"side_inputs": ["mass"]}},
        {"network": NETWORK | {"layers": [{"conv": 10**400}, {"flatten": True}]}},
        {"network": NETWORK | {"layers": [{"conv": 2, "kernel": 31}, {"pool": "max", "size": 10**400}]}},
        {"shape": [10**400, 4, 2]},
        {"member": 10**400, "shape": [4, 4, 10**400]},
        {"recipe": {**RECIPE, "symmetric_prediction": 10**400}},
        {"grid": {"x": 7}},
        {"grid": {"w": [0.0]}},
        {"ranges": []},
        {"ranges": {"redshift": ["a"]}},
        {"residual_sd": "a"},
        {"control": {"name": "x", "transform": "y", "level": [], "seed": "z"}},
        {"cutting": {"images": {"bands": {"start_ev": 1, "width_ev": 1, "number": 10**11}}, "events": {}}},
        {"cutting": {"images": {"bands": {"start_ev": "a"}}}},
        {"cutting": 3},
    ],
    ids=lambda change: next(iter(change)),
)
def test_any_setting_of_a_network_ends_in_a_sentence(tmp_path, network, change):
    path = tmp_path / "00.safetensors"
    header = {"format": packing.MEMBER_FORMAT} | {k: v for k, v in asdict(network).items() if k != "weights"}
    save_file(network.weights, path, metadata={METADATA: json.dumps(header | change)})
    with pytest.raises(InputError, match=r"00\.safetensors: "):
        applied(path)


def applicable(network, folder):
    network.save(folder / "00.safetensors")
    check_applicable(TrainedNetwork.load(folder / "00.safetensors"), folder / "00.safetensors")


def test_the_settings_that_training_stores_are_accepted(network, tmp_path):
    applicable(replace(network, **SETTINGS), tmp_path)
    cosmology = {"h0_km_s_mpc": 67.74, "ns": 0.97, "omega_b": 0.048, "omega_m": 0.31, "sigma8": 0.81}
    scaled = PREPROCESSING | {"scale_to_redshift": 0.3, "cosmology": cosmology}
    applicable(replace(network, **SETTINGS | {"preprocessing": scaled}), tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"cutting": {}},
        {"cutting": {"images": IMAGES}},
        {"cutting": {"images": IMAGES | {"box_pixels": 300_000}, "events": EVENTS}},
        {"cutting": {"images": IMAGES | {"pixel_arcsec": "4"}, "events": EVENTS}},
        {"cutting": {"images": IMAGES, "events": EVENTS | {"modules": [10**9]}}},
        {"preprocessing": {}},
        {"preprocessing": PREPROCESSING | {"half_width_arcsec": 1e300}},
        {"preprocessing": PREPROCESSING | {"smoothing": {"half_width": [10**9, 0, 0], "sigma": 1.0}}},
        {"preprocessing": PREPROCESSING | {"cosmology": 7}},
        {"preprocessing": PREPROCESSING | {"pixel_arcsec": 0.1}},
        {"recipe": {}},
        {"network": {"layers": [{"conv": 10**9}], "side_inputs": ["z"], "catalogue_dropout": 0.0}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_settings_that_no_configuration_may_have_are_refused(network, tmp_path, change):
    with pytest.raises(InputError, match=r"00\.safetensors: (cutting|prepro|recipe|network).*(\.| makes| is missing)"):
        applicable(replace(network, **SETTINGS | change), tmp_path)


@pytest.mark.parametrize("box", [300_000, 12_000])
def test_the_side_of_an_image_has_a_limit(box):
    with pytest.raises(InputError, match="pixels along a side"):
        ImageGeometry.from_config(IMAGES | {"box_pixels": box, "base_rebin": 1})


def variants(data, name):
    """Yield datasets in which a variable is of another kind or shape."""
    variable, others = data[name], data.drop_vars(name)
    for values in ("a", 7, 0.0, np.nan, np.inf):
        yield others.assign({name: (variable.dims, np.full(variable.shape, values))})
        yield others.assign({name: ((), values)})
    yield others.assign({name: (tuple(f"o{axis}" for axis in range(variable.ndim)), variable.values)})
    yield others.assign({name: (("p", "q"), np.ones((2, 3)))})
    for stop in (0, 1):
        yield data.isel({variable.dims[0]: slice(0, stop)})


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("file", ["ensemble.nc", "domain.nc"])
def test_variables_of_any_kind_end_in_a_result_or_a_sentence(experiment, file):  # noqa: F811
    whole = read_netcdf(experiment / file)
    refusals = 0
    for name in whole.data_vars:
        for changed in variants(whole, name):
            try:
                write_netcdf(changed, experiment / file, "test", whole.attrs, VARIABLES | {name: ("1", "any")})
            except (ValueError, RuntimeError):  # it can't be written
                continue
            try:
                with Ensemble.load(experiment) as trained:
                    AppliedEnsemble.read(trained, "cpu", "training")
            except InputError as error:
                assert file in str(error)
                refusals += 1
    assert refusals > 20
