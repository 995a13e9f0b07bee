"""Hostile configurations in YAML."""

from hostile_inputs import DEEP, VALUES, hostile

CONFIGURATIONS = {
    "laughs": "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9)
    ),
    "merged laughs": "a: &a {x: 1}\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} {{<<: [{', '.join(['*' + chr(97 + n)] * 9)}], y{n}: 1}}\n" for n in range(9)
    ),
    "itself": "run: &a [*a]\n",
    "block of itself": "skies: &a {b: *a}\n",
    "merge of itself": "skies: &a {<<: *a}\n",
    "deep": "run: " + DEEP,
    "deep blocks": "".join("  " * n + "a:\n" for n in range(2000)),
    "tag": "run: !!python/object/apply:os.system ['touch PWNED']\n",
    "unknown tag": "run: !x 1\n",
    "set": "run: !!set {a, b}\n",
    "binary": "run: !!binary AAAA\n",
    "date": "seed: 2001-13-45\n",
    "time": "seed: 2001-12-14t21:59:43.10-05:00\n",
    "digits": "seed: " + "9" * 100_000,
    "sexagesimal": "seed: 1" + ":59" * 100_000,
    "octal": "seed: 0o7777777777777777777777777\n",
    "huge": "seed: 1" + "0" * 4000 + "\n",
    "nan": "seed: .nan\n",
    "keys": "? [a, b]\n: 1\n",
    "block as key": "? {a: 1}\n: 1\n",
    "number as key": "1: 2\ntrue: 3\nnull: 4\n1.5: 6\n",
    "same keys": "run: a\nrun: b\n",
    "many": "".join(f"k{n}: 1\n" for n in range(40_000)),
    "documents": "run: a\n---\nrun: b\n",
    "list": "- 1\n- 2\n",
    "empty": "",
    "bytes": b"run: \xff\xfe\n",
    "utf-16": "run: a\n".encode("utf-16"),
    "nul": "run: a\0\n",
    "escape": 'run: "\\e[2J"\n',
    "break": 'run: "abc\\n"\n',
    "up": "run: ../../canary\n",
    "absolute": "run: /tmp/x\n",
    "experiment": "experiments: {'../../x': {}}\n",
    "sky": "skies: {'../../x': {like: embedded}}\n",
    "circle": "skies: {a: {like: b}, b: {like: a}}\n",
    "long circle": "skies:\n" + "".join(f"  s{n}: {{like: s{(n + 1) % 1500}}}\n" for n in range(1500)),
    "realizations": "skies: {embedded: {realizations: 1000000000000}}\n",
    "negative": "skies: {embedded: {realizations: -5}}\n",
    "members": "ensemble: {members: 1000000000000}\n",
    "bands": "images: {bands: {start_ev: 1, width_ev: 1, number: 1000000000}}\n",
    "edges": "images: {bands: {edges_ev: [" + ", ".join(map(str, range(50_000))) + "]}}\n",
    "box": "images: {box_pixels: 100000000000}\n",
    "layers": "network: {compact: {layers: [" + "{flatten: true}, " * 30_000 + "]}}\n",
    "dense": "network: {compact: {layers: [{dense: 1000000000000}]}}\n",
    "half width": "preprocessing: {central: {half_width_arcsec: 1.0e+300, pixel_arcsec: 1.0e-300}}\n",
    "smoothing": "preprocessing: {central: {smoothing: {half_width: [100000000, 100000000, 100000000], sigma: 1}}}\n",
    "download": "downloads: {files: {a: {path: ../../.ssh/keys, urls: ['https://x/y'], unpack: ['../x']}}}\n",
    "address": "downloads: {files: {a: {path: data/a, urls: ['file:///etc/passwd', 'javascript:1']}}}\n",
    "files": "skies: {mine: {source: files, realizations: {'..': {events: ['/dev/zero'], catalogue: '\\x00'}}}}\n",
    "acronym": 'observed: {acronym: "\\e[2J"}\n',
    "names": "".join(f"experiments: {{{'x' * 300}: {{sky: {'y' * 100_000}}}}}\n" for _ in range(1)),
    "similar": "experiments: {" + ", ".join(f"e{n}: {{sky: embeded{n}}}" for n in range(2000)) + "}\n",
    "unknown keys": "images: {" + ", ".join(f"box_pixel{n}: 1" for n in range(2000)) + "}\n",
    "long key": "b" * 100_000 + ": 1\n",
}  # fmt: skip


@hostile("check-config", variants=CONFIGURATIONS)
def configuration(place, content):
    return place.write("mine.yaml", content)


@hostile("check-config", variants=VALUES)
def configuration_values(place, text):
    lines = (place.harmless / "base.yaml").read_text().splitlines()
    number = int(place.rng.choice([at for at, line in enumerate(lines) if ": " in line.partition("#")[0]]))
    lines[number] = lines[number].partition(": ")[0] + ": " + text
    return place.write("mine.yaml", "\n".join(lines))
