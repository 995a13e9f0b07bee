// The two pictures of a card: the cluster's image with marks, and the probability of its mass.
function imageOf(cluster) {
  const half = DATA.half, view = `${-half} ${-half} ${2 * half} ${2 * half}`;
  const [low, high] = [DATA.bands[0][0], DATA.bands[DATA.bands.length - 1][1]];
  const others = cluster.near.length === 1 ? "one other detection" : `${cluster.near.length} other detections`;
  const alt = `X-ray image of ${nameOf(cluster)}, ${number((2 * half) / 60)} arcmin wide, smoothed, ${low} to ${high} keV; ${others} marked.`;
  const marks = draw("svg", { viewBox: view, class: "marks", "aria-hidden": "true" });
  const seen = cluster.seen;
  if (seen !== null) {
    const box = { class: "seen", fill: "none" };
    marks.append(DATA.circle ? draw("circle", { ...box, r: seen }) : draw("rect", { ...box, x: -seen, y: -seen, width: 2 * seen, height: 2 * seen }));
  }
  if (cluster.columns.R500C_ARCMIN !== null) marks.append(draw("circle", { class: "r500", r: 60 * cluster.columns.R500C_ARCMIN }));
  for (const [x, y, separation, direction, kind, counts] of cluster.near) {
    const size = kind === "extended" ? 14 : 9;
    const d = kind === "extended" ? `M${x} ${-y - size}L${x + size} ${-y}L${x} ${-y + size}L${x - size} ${-y}Z` : `M${x - size} ${-y - size}h${2 * size}v${2 * size}h${-2 * size}Z`;
    marks.append(draw("path", { class: "near", d }, draw("title", {}, `${separation}″ ${direction}, ${kind}, ${number(counts, 0)} counts`)));
  }
  marks.append(...["dark", ""].map((edge) => draw("path", { class: `centre ${edge}`, d: "M-14 0h28M0 -14v28" })));
  const bar = half - 20;
  marks.append(draw("path", { class: "bar", d: `M${bar - 60} ${bar}h60` }), draw("text", { x: bar - 30, y: bar - 8, "text-anchor": "middle" }, "1′"));
  marks.append(draw("text", { x: 0, y: -half + 24, "text-anchor": "middle" }, "N"), draw("text", { x: -half + 14, y: 7, "text-anchor": "middle" }, "E"));
  const image = make("img", { src: source(cluster), alt, width: 400, height: 400 });
  const colours = ["orange", "white", "blue"].slice(0, DATA.bands.length);
  const bands = DATA.bands.map(([from, to], k) => `${colours[k] ?? "blue"} ${from}–${to} keV`).join(", ");
  return make("figure", { class: "picture" }, make("div", { class: "frame" }, image, marks),
    make("figcaption", {}, `Colours: ${bands}. Cross: the cluster's position. Dotted: what the networks see. Dashed circle: R500c. Squares: point-like detections, diamonds: extended ones.${cluster.hidden ? " Grey stripes: not exposed." : ""}`));
}

function posteriorOf(cluster) {
  const c = cluster.columns;
  if (cluster.curve === null) return null;
  const { low, high, density } = cluster.curve;
  const others = cluster.others.map(([source, value, error]) => ({ source, value, error: error ?? 0 }));
  const from = Math.min(low, ...others.map((o) => o.value - o.error)), to = Math.max(high, ...others.map((o) => o.value + o.error));
  const x = (value) => 20 + (460 * (value - from)) / (to - from), y = (value) => 150 - 0.13 * value;
  const at = (k) => x(low + ((high - low) * k) / (density.length - 1));
  const line = density.map((value, k) => `${at(k).toFixed(1)} ${y(value).toFixed(1)}`).join("L");
  const alt = `Probability of log10 mass: median ${number(c.LOGM500_Q50, 2)}, 68 percent from ${number(c.LOGM500_Q16, 2)} to ${number(c.LOGM500_Q84, 2)}.`;
  const picture = draw("svg", { viewBox: "0 0 500 206", role: "img", "aria-label": alt });
  picture.append(draw("path", { class: "area", d: `M${at(0)} 150L${line}L${at(density.length - 1)} 150Z` }), draw("path", { class: "curve", d: `M${line}` }));
  const inside = (value) => density[Math.round(((value - low) / (high - low)) * (density.length - 1))] ?? 0;
  for (const [value, label] of [[c.LOGM500_Q16, "16 %"], [c.LOGM500_Q50, "50 %"], [c.LOGM500_Q84, "84 %"]]) {
    picture.append(draw("line", { class: "quantile", x1: x(value), x2: x(value), y1: 150, y2: y(inside(value)) }, draw("title", {}, label)));
  }
  for (const value of ticks(from, to)) {
    picture.append(draw("line", { class: "tick", x1: x(value), x2: x(value), y1: 150, y2: 156 }), draw("text", { x: x(value), y: 172, "text-anchor": "middle" }, number(value)));
  }
  picture.append(draw("line", { class: "tick", x1: 20, x2: 480, y1: 150, y2: 150 }), draw("text", { x: 250, y: 198, "text-anchor": "middle" }, "log₁₀(M500c / M☉)"));
  for (const { source, value, error } of others) {
    const kind = source === "published" ? "reference" : "reference rate", height = source === "published" ? 12 : 134;
    picture.append(draw("line", { class: kind, x1: x(value - error), x2: x(value + error), y1: height, y2: height }), draw("circle", { class: kind, cx: x(value), cy: height, r: 5 }));
  }
  const points = others.map(({ source, value, error }) => 
    (source === "published" ? " Orange point: published mass" : ` Grey point: mass ${source}; the relation between count rate and mass is fitted to the training clusters`) + `: ${number(value, 2)} ± ${number(error, 2)}.`).join("");
  return make("figure", {}, picture, make("figcaption", {}, `Predicted probability of the mass. Vertical lines: 16, 50 and 84 %.${points}`));
}
