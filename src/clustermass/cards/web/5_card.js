// The card of one cluster, opened by the fragment of the address: #NAME.
function buildCard(cluster) {
  const c = cluster.columns;
  const title = make("h2", { tabindex: "-1", id: "card-title" }, nameOf(cluster));
  const close = make("a", { href: "#", class: "close", "aria-label": "Close the card" }, "×");
  const own = [`ID_SRC ${c.ID_SRC}`, ...cluster.own].join(" · ");
  const where = `RA ${number(c.RA, 4)}°, DEC ${number(c.DEC, 4)}° · ` + (c.Z === null ? "no redshift" : `z = ${number(c.Z, 3)}`);
  const mass = cluster.mass ? make("p", { class: "mass" }, "M500c = ", make("strong", {}, cluster.mass[0]), " × 10", make("sup", {}, cluster.mass[1]), " M☉ (median, 68 %)") : null;
  const parts = c.LOGM500 === null ? null : make("p", {},
    `log₁₀ M500c = ${number(c.LOGM500, 3)} ± ${number(c.LOGM500_ERR, 3)} dex (mean and error). Parts of the error: ${number(c.LOGM500_ERR_ALEATORIC, 3)} as the networks predict, ` +
    `${number(c.LOGM500_ERR_EPISTEMIC, 3)} between networks, ${number(c.LOGM500_ERR_Z, 3)} from the redshift.`);
  const list = make("ul", { class: "notes" }, cluster.notes.map(([warns, text]) => make("li", { class: warns ? "warns" : "calm" }, text)));
  byId("card").replaceChildren(
    make("div", { class: "head" }, title, make("nav", { "aria-label": "Cards" }, step(cluster, -1, "‹", "Previous cluster"), step(cluster, 1, "›", "Next cluster"), close)),
    make("p", { class: "ids" }, own), make("p", {}, where), ...[mass].filter(Boolean), list, imageOf(cluster),
    ...[posteriorOf(cluster), parts, distancesOf(cluster)].filter(Boolean), nearOf(cluster), columnsOf(cluster));
}

// A link to the cluster before or after, among those that the table shows.
function step(cluster, by, sign, label) {
  const rows = [...byId("table").querySelectorAll("tbody tr")].filter((row) => !row.hidden || row === cluster.row);
  const next = rows[rows.indexOf(cluster.row) + by];
  const target = next && CLUSTERS.find((one) => one.row === next);
  return target ? make("a", { href: linkTo(target), "aria-label": `${label}: ${nameOf(target)}` }, sign) : make("span", { "aria-hidden": "true" }, sign);
}

function distancesOf(cluster) {
  if (!cluster.distances.length) return null;
  const signed = (value) => (value > 0 ? "+" : "") + number(value, 1);
  const rows = cluster.distances.map(([text, given, alone]) => {
    const width = Math.min(Math.abs(given), 8) * 6;
    const bar = draw("svg", { viewBox: "-50 0 100 10", class: "score", "aria-hidden": "true" },
      draw("rect", { class: Math.abs(given) > 3 ? "odd" : "usual", x: Math.min(0, Math.sign(given) * width), y: 1, width, height: 8 }), draw("line", { x1: 0, x2: 0, y1: 0, y2: 10 }));
    return make("tr", {}, make("th", { scope: "row" }, text), make("td", {}, bar), make("td", { class: "number" }, signed(given)), make("td", { class: "number" }, signed(alone)));
  });
  const heads = ["quantity", "", "given the others", "alone"].map((text) => make("th", { scope: "col" }, text));
  const c = cluster.columns;
  const caption = make("caption", {}, `Distance of each quantity in standard deviations: bars and "given the others" from training clusters that are alike in all other quantities (orange beyond 3), ` +
    `"alone" from those of the same redshift, exposure and core brightness (of core brightness itself: of the same redshift and exposure; of redshift and exposure: from all training clusters). ` +
    `OOD_P = ${number(c.OOD_P, 4)} = (1 + number of validation clusters that are at least as unusual in all together) / (1 + number of validation clusters).`);
  return make("details", { open: c.FLAG_OOD ? "" : null }, make("summary", {}, "Compared with the training clusters"), make("table", { class: "scores" }, caption, make("thead", {}, make("tr", {}, heads)), make("tbody", {}, rows)));
}

function nearOf(cluster) {
  const rows = cluster.near.map(([, , separation, direction, kind, counts]) =>
    make("tr", {}, make("td", { class: "number" }, `${separation}″`), make("td", {}, direction), make("td", {}, kind), make("td", { class: "number" }, number(counts, 0))));
  const head = make("thead", {}, make("tr", {}, ["separation", "direction", "kind", "counts"].map((text) => make("th", { scope: "col" }, text))));
  const caption = make("caption", {}, `Within the image; this cluster has ${number(cluster.columns.ML_CTS, 0)} counts.`);
  return make("details", {}, make("summary", {}, `Other detections (${cluster.near.length})`), make("table", {}, caption, head, make("tbody", {}, rows)));
}

function columnsOf(cluster) {
  const pairs = Object.entries(cluster.columns).map(([name, value]) =>
    make("div", {}, make("dt", { title: DATA.about[name] ?? null }, name), make("dd", {}, value === "" ? "–" : typeof value === "number" ? number(value) : value ?? "–")));
  return make("details", {}, make("summary", {}, "All columns of the catalogue"), make("dl", {}, pairs));
}

// Shows the card that the address names, or none.
let opened;
function showCard() {
  const cluster = location.hash.length > 1 ? clusterNamed(location.hash) : undefined;
  if (!cluster && location.hash.length > 1 && byId(location.hash.slice(1))) return;  // the link to the table
  for (const chosen of document.querySelectorAll(".chosen")) chosen.classList.remove("chosen");
  byId("card").hidden = !cluster;
  document.body.classList.toggle("with-card", Boolean(cluster));
  if (!cluster) {
    if (opened) opened.row.querySelector("a").focus();
    opened = undefined;
    return;
  }
  opened = cluster;
  buildCard(cluster);
  cluster.row.classList.add("chosen");
  cluster.mark.classList.add("chosen");
  cluster.mark.parentNode.append(cluster.mark);  // above the other marks
  byId("card").scrollTop = 0;
  byId("card-title").focus();
}

function begin() {
  const masses = CLUSTERS.filter((c) => c.columns.LOGM500 !== null), flagged = masses.filter((c) => flagsOf(c).length);
  byId("summary").append(
    DATA.simulated ? make("strong", {}, "A simulated field, not an observation. ") : "",
    `${CLUSTERS.length} clusters, ${masses.length} with a mass, ${flagged.length} of these with a flag.`,
    DATA.left_out ? ` ${DATA.left_out} clusters with smaller DET_LIKE are only in the catalogue.` : "");
  const { NMEMBER, NTRAIN, ENSHASH, H0, OMEGA_M } = DATA.ensemble;
  byId("made").textContent = `Made by ${DATA.provenance.source}: ${NMEMBER} networks (ensemble ${ENSHASH}), trained on ${NTRAIN} simulated clusters. Flat LCDM, H0 = ${H0}, Ωm = ${OMEGA_M}; masses without h.`;
  buildFilter();
  buildTable();
  buildMap();
  filterRows();
  sortRows();
  addEventListener("hashchange", showCard);
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && opened) location.hash = "#";
  });
  showCard();
}

if (CLUSTERS.length) begin();
else byId("summary").textContent = "The field has no clusters.";
