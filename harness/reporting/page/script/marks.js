// How a method looks: one colour and one marker, the same in every figure of its group.

const POINTS = {
  s: "M-4.4,-4.4h8.8v8.8h-8.8z",
  "^": "M0,-5.8L5.4,4.4H-5.4z",
  v: "M0,5.8L5.4,-4.4H-5.4z",
  "<": "M-5.8,0L4.4,-5.4V5.4z",
  ">": "M5.8,0L-4.4,-5.4V5.4z",
  D: "M0,-6L5.4,0L0,6L-5.4,0z",
  P: "M-2,-5.6h4v3.6h3.6v4h-3.6v3.6h-4v-3.6h-3.6v-4h3.6z",
  X: "M-5.4,-2.8L-2.8,-5.4L0,-2.6L2.8,-5.4L5.4,-2.8L2.6,0L5.4,2.8L2.8,5.4L0,2.6L-2.8,5.4L-5.4,2.8L-2.6,0z",
  "*": "M0,-6.6L1.7,-2.1L6.4,-2L2.7,0.9L4,5.4L0,2.8L-4,5.4L-2.7,0.9L-6.4,-2L-1.7,-2.1z",
};

for (const group of DATA.groups) {
  const places = new Map(group.methods.map((name, place) => [name, place]));
  for (const each of [...group.runs, ...group.views.flatMap((view) => view.rows)]) {
    const place = places.get(each.method);
    Object.assign(each, { color: place % DATA.colors, mark: group.marks[place] });
  }
}

function colorOf(row) {
  return `var(--method-${row.color})`;
}

function markOf(row, attributes = {}) {
  const shape = POINTS[row.mark];
  const given = { fill: colorOf(row), ...attributes };
  return shape ? draw("path", { d: shape, ...given }) : draw("circle", { r: 5, ...given });
}

// The marker as a small picture in a line of text.
function badgeOf(row) {
  const attributes = { class: "mark", viewBox: "-7 -7 14 14", "aria-hidden": "true" };
  return draw("svg", attributes, markOf(row));
}

function partColor(name) {
  return `var(--part-${name.replaceAll(" ", "-")})`;
}

// The colour of a ledger's category.
function categoryColor(name) {
  const family = { "weights.base": "weights", "weights.adapter": "weights", unsplit: "temporary" };
  return name ? partColor(family[name] ?? name) : "var(--muted)";
}

// A background of one colour after the other; sizes are shares of the whole.
function stripes(split) {
  const total = split.reduce((sum, size) => sum + size, 0) || 1;
  let at = 0;
  const stops = split.map((size, i) => {
    const from = percentOf(at / total);
    at += size;
    return `${partColor(DATA.parts[i])} ${from} ${percentOf(at / total)}`;
  });
  return `linear-gradient(to right, ${stops.join(", ")})`;
}

function legend(shown) {
  const items = DATA.parts.filter((_, i) => shown[i]);
  return make(
    "ul",
    { class: "legend" },
    items.map((name) => make("li", {}, swatch(name), name)),
  );
}

function swatch(name) {
  const box = make("i", { class: "swatch", "aria-hidden": "true" });
  box.style.background = partColor(name);
  return box;
}
