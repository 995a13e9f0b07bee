// The table: one row for each cluster, sorted by a click on the head of a column, filtered by the form above it.
const COLUMNS = [
  { key: "NAME", title: "Cluster", of: nameOf },
  { key: "Z", title: "z", of: (c) => c.columns.Z, decimals: 3 },
  { key: "LOGM500", title: "log₁₀ M500c", of: (c) => c.columns.LOGM500, decimals: 2 },
  { key: "LOGM500_ERR", title: "error", of: (c) => c.columns.LOGM500_ERR, decimals: 2 },
  { key: "OOD_P", title: "OOD_P", of: (c) => c.columns.OOD_P, decimals: 3 },
  { key: "FLAGS", title: "flags", of: (c) => flagsOf(c).map((f) => f.slice(5)).join(" "), about: "flags that are set" },
  { key: "ML_CTS", title: "counts", of: (c) => c.columns.ML_CTS, decimals: 0 },
  { key: "DET_LIKE", title: "DET_LIKE", of: (c) => c.columns.DET_LIKE, decimals: 0 },
];
const KINDS = {
  all: ["all clusters", () => true],
  mass: ["with a mass", (c) => c.columns.LOGM500 !== null],
  good: ["with a mass and without a flag (GOOD)", (c) => c.columns.GOOD === 1],
  noted: ["with a flag or another warning", warned],
};
let order = { key: "DET_LIKE", down: true };

function buildTable() {
  const heads = COLUMNS.map((column) => {
    const button = make("button", { type: "button", title: column.about ?? DATA.about[column.key] }, column.title);
    button.addEventListener("click", () => sortBy(column.key));
    const kind = column.decimals === undefined ? null : "number";
    return make("th", { scope: "col", class: kind, "data-key": column.key, "aria-sort": "none" }, button);
  });
  const body = make("tbody");
  for (const cluster of CLUSTERS) body.append((cluster.row = buildRow(cluster)));
  const caption = make("caption", {}, "Sort by a click on a column's head. A name opens its card, which says the flags in words. OOD_P: share of validation clusters that are at least as unusual; up to 0.01 it sets the flag OOD.");
  byId("table").append(make("table", {}, caption, make("thead", {}, make("tr", {}, heads)), body));
}

function buildRow(cluster) {
  const picture = make("img", { src: source(cluster), alt: "", width: 36, height: 36, loading: "lazy", decoding: "async" });
  const link = make("a", { href: linkTo(cluster) }, picture, make("span", {}, nameOf(cluster)));
  const cells = COLUMNS.slice(1).map((column) => {
    const value = column.of(cluster);
    return typeof value === "string" ? make("td", { class: "flags" }, value) : make("td", { class: "number" }, number(value, column.decimals));
  });
  return make("tr", { class: warned(cluster) ? "noted" : null }, make("th", { scope: "row" }, link), cells);
}

const source = (cluster) => "data:image/png;base64," + cluster.image;

// Rows in order of a column; a second call turns the order. Missing values are always last.
function sortBy(key) {
  const column = COLUMNS.find((one) => one.key === key);
  const textual = typeof column.of(CLUSTERS[0]) === "string";
  order = { key, down: order.key === key ? !order.down : !textual };
  sortRows();
}

// The strangest clusters first: those with the smallest OOD_P, in the same order as `clustermass show` lists them.
function sortByStrangeness() {
  order = { key: "OOD_P", down: false };
  sortRows();
  byId("table").scrollTop = 0;
  byId("table").scrollIntoView({ block: "nearest" });
}

// The largest distance of a cluster from the training clusters: the order of clusters with the same OOD_P.
const farthest = (cluster) => Math.abs(cluster.distances[0]?.[1] ?? 0);

function sortRows() {
  const column = COLUMNS.find((one) => one.key === order.key);
  const sign = order.down ? -1 : 1;
  const missing = (value) => value === null || value === "";
  const equal = (one, other) => (order.key === "OOD_P" ? farthest(other) - farthest(one) : 0);
  const sorted = CLUSTERS.map((cluster) => [column.of(cluster), cluster]).sort(([a, one], [b, other]) => {
    if (missing(a) || missing(b)) return missing(a) - missing(b);
    return sign * (a < b ? -1 : a > b ? 1 : equal(one, other));
  });
  byId("table").querySelector("tbody").append(...sorted.map(([, cluster]) => cluster.row));
  for (const head of document.querySelectorAll("th[data-key]")) {
    const here = head.dataset.key === order.key;
    head.setAttribute("aria-sort", here ? (order.down ? "descending" : "ascending") : "none");
  }
  tellShown();
}

function buildFilter() {
  const select = byId("kind");
  for (const [key, [text]] of Object.entries(KINDS)) select.append(make("option", { value: key }, text));
  for (const flag of Object.keys(CLUSTERS[0].columns).filter((name) => name.startsWith("FLAG_"))) {
    KINDS[flag] = [flag, (cluster) => cluster.columns[flag] !== 0];
    select.append(make("option", { value: flag, title: DATA.about[flag] }, flag));
  }
  byId("filter").addEventListener("input", filterRows);
  byId("strangest").addEventListener("click", sortByStrangeness);
  byId("filter").addEventListener("submit", (event) => event.preventDefault());
  byId("filter").addEventListener("reset", () => setTimeout(filterRows));
}

function filterRows() {
  const words = byId("text").value.toLowerCase().replaceAll("_", " ").trim();
  const chosen = KINDS[byId("kind").value][1];
  for (const cluster of CLUSTERS) {
    const names = [nameOf(cluster), String(cluster.columns.ID_SRC), ...cluster.own].join("\n").toLowerCase().replaceAll("_", " ");
    const kept =
      chosen(cluster) && names.includes(words) && within(cluster.columns.Z, "z") && within(cluster.columns.LOGM500, "m");
    cluster.row.hidden = !kept;
    cluster.mark.classList.toggle("out", !kept);
  }
  tellShown();
}

function tellShown() {
  const shown = CLUSTERS.filter((cluster) => !cluster.row.hidden).length;
  const strangest = order.key === "OOD_P" && !order.down ? ", the strangest first" : "";
  byId("shown").textContent = `${shown} of ${CLUSTERS.length} clusters are shown${strangest}.`;
}

// Whether a value lies between two fields of the form; an empty field sets no limit.
function within(value, name) {
  const [low, high] = ["low", "high"].map((end) => byId(`${name}-${end}`).valueAsNumber);
  if (Number.isNaN(low) && Number.isNaN(high)) return true;
  return value !== null && !(value < low) && !(value > high);
}
