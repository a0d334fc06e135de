// Axes of a figure. A scale takes a value to pixels and has ticks.

function linear(low, high, from, to) {
  const scale = (value) => from + ((value - low) / (high - low || 1)) * (to - from);
  scale.ticks = (count) => {
    const rough = (high - low) / count || 1;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 2.5, 5, 10].map((n) => n * power).find((n) => n >= rough);
    const ticks = [];
    for (let i = Math.ceil(low / step); i * step <= high + step * 1e-9; i += 1) {
      ticks.push(Number((i * step).toPrecision(12)));
    }
    return ticks;
  };
  return scale;
}

function logarithmic(low, high, from, to) {
  const inner = linear(Math.log(low), Math.log(high), from, to);
  const scale = (value) => inner(Math.log(value));
  scale.ticks = (count) => {
    const decades = Math.log10(high / low);
    const steps = decades > count ? [1] : decades > count / 3 ? [1, 3] : [1, 2, 5];
    const ticks = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1) {
      ticks.push(...steps.map((n) => n * 10 ** power).filter((n) => n >= low && n <= high));
    }
    return ticks;
  };
  return scale;
}

// The scale that shows some numbers with room around them; logarithmic where they lie far apart.
function scaleFor(values, from, to, { zero = false, spread = 30 } = {}) {
  const low = Math.min(...values);
  const high = Math.max(...values);
  if (low > 0 && high / low > spread) return logarithmic(low / 1.4, high * 1.6, from, to);
  const room = (high - low || Math.abs(high) || 1) * 0.08;
  return linear(zero ? 0 : low >= 0 ? Math.max(0, low - room) : low - room, high + room, from, to);
}

// A figure with its axes: frame(width, height, x, y, words) -> SVG element to draw into.
function frame(box, x, y, words) {
  const { left, top, right, bottom } = box;
  const figure = draw("svg", {
    width: right + 12,
    height: bottom + 42,
    viewBox: `0 0 ${right + 12} ${bottom + 42}`,
    role: "img",
    "aria-label": words.label,
    class: "plot",
  });
  const text = (attributes, ...children) => draw("text", attributes, ...children);
  for (const tick of y.ticks(6)) {
    figure.append(
      draw("line", { class: "grid", x1: left, x2: right, y1: y(tick), y2: y(tick) }),
      text({ x: left - 8, y: y(tick) + 4, "text-anchor": "end" }, words.yTick(tick)),
    );
  }
  for (const tick of x.ticks(Math.max(2, Math.floor((right - left) / 90)))) {
    figure.append(
      draw("line", { class: "grid", x1: x(tick), x2: x(tick), y1: top, y2: bottom }),
      text({ x: x(tick), y: bottom + 18, "text-anchor": "middle" }, words.xTick(tick)),
    );
  }
  figure.append(
    text({ class: "axis", x: right, y: bottom + 36, "text-anchor": "end" }, words.x),
    text({ class: "axis", x: 2, y: 12 }, words.y ?? ""),
  );
  return figure;
}

// Ticks of bytes fall on round numbers of the unit: the axis runs in the unit.
const inUnit = (value, unit) => value / (unit === "GiB" ? GIB : MIB);

// Where labels go: beside their points, and not onto each other or onto other points.
function placeLabels(points, box) {
  const taken = points.map(({ x, y }) => ({ x: x - 7, y: y - 7, w: 14, h: 14 }));
  const free = (a) =>
    a.x >= box.left &&
    a.x + a.w <= box.right &&
    a.y >= box.top &&
    a.y + a.h <= box.bottom &&
    !taken.some((b) => a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h);
  const placed = [];
  for (const point of points) {
    if (!point.label) continue;
    const w = 6.7 * point.label.length + 4;
    const h = 15;
    const spots = [
      [12, -8],
      [-12 - w, -8],
      [-w / 2, -26],
      [-w / 2, 12],
      [9, -22],
      [9, 8],
      [-9 - w, -22],
      [-9 - w, 8],
    ];
    const spot = spots.map(([dx, dy]) => ({ x: point.x + dx, y: point.y + dy, w, h })).find(free);
    if (!spot) continue;
    taken.push(spot);
    placed.push({ ...point, at: { x: spot.x + 2, y: spot.y + 12 } });
  }
  return placed;
}
