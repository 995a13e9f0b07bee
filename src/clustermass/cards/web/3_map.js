// The map of the field: a mark for each cluster, larger for larger masses. East is left, as on the sky.
function buildMap() {
  const ra = CLUSTERS.map((c) => c.columns.RA), dec = CLUSTERS.map((c) => c.columns.DEC);
  // right ascensions on both sides of 0/360 are neighbours
  const turn = (value) => ((((value - ra[0] + 180) % 360) + 360) % 360) - 180;
  const [left, right] = [Math.max(...ra.map(turn)), Math.min(...ra.map(turn))];
  const [low, high] = [Math.min(...dec), Math.max(...dec)];
  const cosine = Math.max(Math.cos(((low + high) / 2) * (Math.PI / 180)), 0.05);
  const span = Math.max((left - right) * cosine, high - low, 0.1);
  const margin = 0.06 * span, scale = 1000 / ((left - right) * cosine + 2 * margin || 1);
  const x = (value) => scale * ((left - turn(value)) * cosine + margin), y = (value) => scale * (high - value + margin);
  const height = Math.max(scale * (high - low + 2 * margin), 120);
  const title = `Map of ${CLUSTERS.length} clusters. The table below lists the same clusters.`;
  const picture = draw("svg", { viewBox: `0 0 1000 ${height + 34}`, role: "img", "aria-label": title });
  picture.append(draw("rect", { class: "frame", x: 0, y: 0, width: 1000, height }));
  for (const value of ticks(low, high)) {
    picture.append(draw("line", { class: "grid", x1: 0, x2: 1000, y1: y(value), y2: y(value) }));
    picture.append(draw("text", { x: 6, y: y(value) - 5 }, number(value) + "°"));
  }
  for (const value of ticks(right + ra[0], left + ra[0])) {
    picture.append(draw("line", { class: "grid", x1: x(value), x2: x(value), y1: 0, y2: height }));
    picture.append(draw("text", { x: x(value), y: height + 24, "text-anchor": "middle" }, number((value + 360) % 360) + "°"));
  }
  // the rarer its kind, the later a mark is drawn, so that no other mark covers it
  for (const cluster of CLUSTERS) cluster.mark = buildMark(cluster, x(cluster.columns.RA), y(cluster.columns.DEC));
  for (const kind of [0, 1, 2, 3]) picture.append(...CLUSTERS.filter((c) => rank(c) === kind).map((c) => c.mark));
  byId("map").append(picture, make("figcaption", {}, ...legend()));
}

// 0 = without a mass, 1 = without a flag, 2 = with a flag, 3 = unlike the training clusters
const rank = (c) => c.columns.LOGM500 === null ? 0 : c.columns.FLAG_OOD ? 3 : flagsOf(c).length ? 2 : 1;

function buildMark(cluster, x, y) {
  const mass = cluster.columns.LOGM500, kind = rank(cluster);
  const size = Math.min(Math.max(6 + 8 * (mass - 13.8), kind > 1 ? 10 : 5), 18);  // a flagged cluster is never small
  const diamond = `M${x} ${y - 1.2 * size}L${x + 1.2 * size} ${y}L${x} ${y + 1.2 * size}L${x - 1.2 * size} ${y}Z`;
  const cross = `M${x - 5} ${y - 5}l10 10m0 -10l-10 10`;
  const shape = kind === 1 ? draw("circle", { cx: x, cy: y, r: size }) : draw("path", { d: kind ? diamond : cross });
  shape.append(draw("title", {}, `${nameOf(cluster)}, z ${number(cluster.columns.Z, 3)}, log10 mass ${number(mass, 2)}`));
  shape.setAttribute("class", ["mark none", "mark", "mark flagged", "mark flagged"][kind]);
  shape.addEventListener("click", () => (location.hash = linkTo(cluster)));
  return shape;
}

function legend() {
  const sign = (shape) => draw("svg", { viewBox: "0 0 20 20", class: "sign", "aria-hidden": "true" }, shape);
  return [
    sign(draw("circle", { class: "mark", cx: 10, cy: 10, r: 6 })), " no flag ",
    sign(draw("path", { class: "mark flagged", d: "M10 2L18 10L10 18L2 10Z" })), " with a flag ",
    sign(draw("path", { class: "mark none", d: "M4 4L16 16M16 4L4 16" })), " without a mass ",
    "· larger = more massive · right ascension grows to the left, declination upwards (ICRS)",
  ];
}

// About four to six round numbers between two values.
function ticks(low, high) {
  const rough = (high - low) / 5 || 1, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= rough);
  const values = [];
  for (let k = Math.ceil(low / step); k * step <= high; k++) values.push(Number((k * step).toPrecision(6)));
  return values;
}
