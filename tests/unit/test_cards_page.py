"""The page of a field: what it holds, that names of others stay texts, and how it behaves in a browser."""

import json
import re
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from cards_inputs import write_field

sys.path.append(str(Path(__file__).parents[1] / "workflow"))
from browser import CHROMIUM, opened

from clustermass.cards.field import FieldCards
from clustermass.cards.page import content, write_page
from clustermass.cards.show import strangest

in_browser = pytest.mark.skipif(not CHROMIUM, reason="no Chromium here: the page isn't opened in a browser")
#: names of a hostile table
EVIL = ["</script><script>window.hit=1</script>", "<img src=x onerror='window.hit=1'>", "a & b", "<!--<script>"]
FEW, MANY = 6, 500
#: the first cluster is flagged; three clusters have the same OOD_P
COLUMNS = {
    "FLAG_OOD": np.array([1, 0, 0, 0, 0, 0]),
    "OOD_WHY": np.array(["rate", *[""] * 5]),
    "OOD_P": np.array([0.02, 0.5, 0.02, 0.3, 0.02, np.nan]),
}


def page_of(folder, **field):
    write_page(write_field(folder, **field), folder / "clusters.html", folder / "masses.cards.nc")
    return folder / "clusters.html"


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    return page_of(tmp_path_factory.mktemp("few"), names=[*EVIL, "", "x"], **COLUMNS)


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    return page_of(tmp_path_factory.mktemp("many"), number=MANY)


@pytest.fixture
def page(few, tmp_path):
    with opened(few.as_uri(), tmp_path) as page:
        yield page
        assert page.errors == []
        assert {address.partition(":")[0] for address in page.requests} <= {"file", "data"}
        assert page.run("window.hit") is None


def rows(page, shown="tr:not([hidden])"):
    return page.run(f"[...document.querySelectorAll('#table tbody {shown} a')].map(a => a.textContent)")


def column(page, number):
    return page.run(f"[...document.querySelectorAll('#table tbody td:nth-child({number})')].map(c => c.textContent)")


def test_names_of_others_can_not_leave_the_data(few):
    text = few.read_text(encoding="utf-8")
    embedded = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1]
    data = json.loads(embedded)
    assert [cluster["own"] for cluster in data["clusters"][:4]] == [[name] for name in EVIL]
    assert len(re.findall("<script", text)) == 2
    assert "script-src 'sha256-" in text
    assert few.read_bytes() == page_of(few.parent, names=[*EVIL, "", "x"], **COLUMNS).read_bytes()


@pytest.mark.parametrize("most, left_out", [(6, 0), (2, 4)])
def test_of_a_large_field_those_with_the_largest_likelihoods_are_shown(tmp_path, monkeypatch, most, left_out):
    monkeypatch.setattr("clustermass.cards.page.MOST_CLUSTERS", most)
    likelihood = np.array([20.0, 90.0, 10.0, 70.0, 50.0, 40.0])
    field = FieldCards.read(write_field(tmp_path, DET_LIKE=likelihood))
    shown = content(field)
    assert shown["left_out"] == left_out
    ids = [one["columns"]["ID_SRC"] for one in shown["clusters"]]
    assert ids == ([102, 104] if left_out else [101, 102, 103, 104, 105, 106])


@in_browser
def test_a_table_is_sorted_by_the_heads_of_its_columns(page):
    likelihood = [float(text) for text in column(page, 8)]
    assert likelihood == sorted(likelihood, reverse=True)
    for state in ("descending", "ascending"):
        page.click("log₁₀ M500c")
        assert page.run("document.querySelector('th[data-key=LOGM500]').getAttribute('aria-sort')") == state
        mass = column(page, 3)
        assert mass[-1] == "–"
        assert mass[:-1] == sorted(mass[:-1], reverse=state == "descending")
    assert page.run("document.querySelectorAll('[aria-sort=none]').length") == 7


@in_browser
def test_the_keyboard_brings_the_strangest_first_in_the_order_of_the_command(few, page):
    field = FieldCards.read(few.parent / "masses.fits")
    names = field.columns["NAME"][strangest(field)].tolist()
    assert rows(page)[: len(names)] != names
    page.run("document.getElementById('strangest').focus()")
    press(page, "Enter", 13)
    page.wait_for("document.getElementById('shown').textContent == '6 of 6 clusters are shown, the strangest first.'")
    assert rows(page) == [*names, field.columns["NAME"][5]]  # the last one has no OOD_P
    assert page.run("document.querySelector('th[data-key=OOD_P]').getAttribute('aria-sort')") == "ascending"
    page.click("Strangest first")  # a second time changes nothing
    assert rows(page)[: len(names)] == names
    nodes = [node for node in page.call("Accessibility.getFullAXTree")["nodes"] if not node["ignored"]]
    buttons = [node for node in nodes if node["role"]["value"] == "button"]
    (button,) = [node for node in buttons if node["name"]["value"] == "Strangest first"]
    assert "most unlike the training clusters come first" in button["description"]["value"]


def press(page, key, code):
    for kind in ("keyDown", "keyUp"):
        text = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
        page.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)


@in_browser
def test_clusters_are_filtered(page):
    def enter(field, value):
        script = f"(() => {{ const e = document.getElementById('{field}'); e.value = {json.dumps(value)};"
        page.run(script + " e.dispatchEvent(new Event('input', {bubbles: true})); })()")

    enter("text", "a & b")
    assert len(rows(page)) == 1
    assert page.run("document.getElementById('shown').textContent") == "1 of 6 clusters are shown."
    assert page.run("document.querySelectorAll('.mark.out').length") == FEW - 1
    enter("text", "")
    enter("kind", "FLAG_OOD")
    assert len(rows(page)) == 1
    enter("kind", "good")
    assert len(rows(page)) == FEW - 2
    enter("m-low", "14.3")
    masses = [float(text) for text, name in zip(column(page, 3), rows(page, "tr"), strict=True) if name in rows(page)]
    assert masses
    assert min(masses) >= 14.295
    page.click("Show all")
    page.wait_for("!document.querySelector('#table tr[hidden]')")


@in_browser
def test_marks_tell_clusters_without_mass_and_the_strangest_is_on_top(page):
    order = page.run("[...document.querySelectorAll('#map .frame ~ .mark')].map(m => CLUSTERS.find(c => c.mark === m))"
                     ".map(c => [c.mark.getAttribute('class'), c.columns.LOGM500 === null])")  # fmt: skip
    assert order == [["mark none", True], *[["mark", False]] * 4, ["mark flagged", False]]


@in_browser
def test_a_card_opens_by_a_part_of_its_name_that_no_other_has(page):
    name = page.run("CLUSTERS[2].columns.NAME")
    found = page.run(f"clusterNamed('#' + {json.dumps(name[5:].lower())})?.columns.NAME")
    assert found == name
    assert page.run("clusterNamed('#TEST') === undefined && clusterNamed('#nowhere') === undefined")


@in_browser
def test_a_card_opens_by_its_name_and_closes(page):
    name = page.run("CLUSTERS[0].columns.NAME")
    page.run(f"location.hash = '#' + {json.dumps(name.replace(' ', '_'))}")
    page.wait_for("!document.getElementById('card').hidden")
    text = page.run("document.getElementById('card').innerText")
    assert name in text
    assert EVIL[0] in text
    assert "Unlike the training clusters" in text
    assert "count rate in the catalogue" in text
    assert page.run("document.activeElement.id") == "card-title"
    assert page.run("document.querySelector('#card img').alt").startswith(f"X-ray image of {name}, 10 arcmin wide")
    page.wait_for("document.querySelector('#card img').naturalWidth == 50")
    assert page.run("document.querySelectorAll('#card .near').length") == 1
    assert page.run("document.querySelector('#card svg .curve') !== null")
    page.run("dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape'}))")
    page.wait_for("document.getElementById('card').hidden")
    assert page.run("document.activeElement.textContent") == name


@in_browser
def test_the_keyboard_reaches_rows_and_cards(page):
    for _ in range(40):
        press(page, "Tab", 9)
        if page.run("!!document.activeElement.closest('tbody')"):
            break
    chosen = page.run("document.activeElement.textContent")
    assert page.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    press(page, "Enter", 13)
    page.wait_for("!document.getElementById('card').hidden")
    assert page.run("document.getElementById('card-title').textContent") == chosen
    page.run("document.querySelector('#card nav a').click()")
    page.wait_for(f"document.getElementById('card-title').textContent != {json.dumps(chosen)}")
    page.run("CLUSTERS[0].mark.dispatchEvent(new MouseEvent('click'))")
    page.wait_for("document.getElementById('card-title').textContent == CLUSTERS[0].columns.NAME")


@in_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280, 1500])
def test_widths_and_colours(page, width, scheme):
    page.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 500)
    page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    page.run("location.hash = linkTo(CLUSTERS[0])")
    page.wait_for("!document.getElementById('card').hidden")
    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.run("getComputedStyle(document.body).backgroundColor") == (
        "rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 23, 26)"
    )
    if width > 1000:  # the table beside the card shows all its columns
        assert page.run("(t => t.scrollWidth <= t.clientWidth)(document.getElementById('table'))")
    side = page.run("document.getElementById('card').getBoundingClientRect().left > innerWidth / 2")
    assert side == (width > 1000)


@in_browser
def test_all_that_is_seen_has_a_name(page):
    """Every control, picture and region has a text for screen readers."""
    page.run("location.hash = linkTo(CLUSTERS[0])")
    page.wait_for("!document.getElementById('card').hidden")
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    named = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node["ignored"]]
    wanted = {"link", "button", "searchbox", "combobox", "spinbutton", "image", "img", "table", "columnheader"}
    found = {role for role, _ in named}
    assert {"table", "columnheader", "rowheader", "link", "combobox", "searchbox", "status"} <= found
    assert [role for role, name in named if role in wanted - {"columnheader"} and not name] == []


@in_browser
def test_five_hundred_clusters_open_at_once(many, tmp_path):
    assert many.stat().st_size < 15e6
    with opened("about:blank", tmp_path) as page:
        start = time.monotonic()
        page.call("Page.navigate", url=many.as_uri())
        page.wait_for("document.readyState == 'complete'")
        loaded = page.run("performance.timing.domContentLoadedEventEnd - performance.timing.navigationStart") / 1000
        assert len(rows(page)) == MANY
        page.click("z")
        assert loaded < 10, f"{loaded:.1f} s, {time.monotonic() - start:.1f} s in all"  # 1 s on an idle machine
        assert page.errors == []
