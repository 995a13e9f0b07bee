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
  for (const cluster of CLUSTERS) picture.append((cluster.mark = buildMark(cluster, x(cluster.columns.RA), y(cluster.columns.DEC))));
  byId("map").append(picture, make("figcaption", {}, ...legend()));
}

function buildMark(cluster, x, y) {
  const mass = cluster.columns.LOGM500;
  const size = mass === null ? 5 : Math.min(Math.max(6 + 8 * (mass - 13.8), 5), 18);
  const diamond = `M${x} ${y - 1.2 * size}L${x + 1.2 * size} ${y}L${x} ${y + 1.2 * size}L${x - 1.2 * size} ${y}Z`;
  const flagged = flagsOf(cluster).length > 0;
  const shape = flagged ? draw("path", { d: diamond }) : draw("circle", { cx: x, cy: y, r: size });
  shape.append(draw("title", {}, `${nameOf(cluster)}, z ${number(cluster.columns.Z, 3)}, log10 mass ${number(mass, 2)}`));
  shape.setAttribute("class", flagged ? "mark flagged" : "mark");
  shape.addEventListener("click", () => (location.hash = linkTo(cluster)));
  return shape;
}

function legend() {
  const sign = (shape) => draw("svg", { viewBox: "0 0 20 20", class: "sign", "aria-hidden": "true" }, shape);
  return [
    sign(draw("circle", { class: "mark", cx: 10, cy: 10, r: 6 })), " no flag ",
    sign(draw("path", { class: "mark flagged", d: "M10 2L18 10L10 18L2 10Z" })), " with a flag ",
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
