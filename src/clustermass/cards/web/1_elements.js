"use strict";
// Elements and numbers. Names from tables of others are only ever set as text, never as markup.
const DATA = JSON.parse(document.getElementById("data").textContent);
const CLUSTERS = DATA.clusters;
const byId = (id) => document.getElementById(id);

// An HTML element with attributes and children (texts or elements; null is left out).
function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

// The same for an element of an SVG picture.
function draw(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null));
  return element;
}

// A number with this many decimals and a true minus sign; "–" where there is none.
function number(value, decimals) {
  if (value === null || value === undefined) return "–";
  const text = decimals === undefined ? String(value) : value.toFixed(decimals);
  return text.replace("-", "−");
}

const nameOf = (cluster) => cluster.columns.NAME;
const warned = (cluster) => cluster.notes.some(([warns]) => warns);
const flagsOf = (cluster) =>
  Object.entries(cluster.columns).filter(([name, value]) => name.startsWith("FLAG_") && value !== 0).map(([name]) => name);
const linkTo = (cluster) => "#" + encodeURIComponent(nameOf(cluster));

// The cluster with this name, or the only one whose name contains this text.
function clusterNamed(fragment) {
  const plain = (text) => text.replaceAll("_", " ");
  let wanted;
  try {
    wanted = plain(decodeURIComponent(fragment.replace(/^#/, "")));
  } catch {
    return undefined;
  }
  const exact = CLUSTERS.find((cluster) => plain(nameOf(cluster)) === wanted);
  const like = exact ? [exact] : CLUSTERS.filter((cluster) => plain(nameOf(cluster)).toLowerCase().includes(wanted.toLowerCase()));
  return like.length === 1 ? like[0] : undefined;
}
