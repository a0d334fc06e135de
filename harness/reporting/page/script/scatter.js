// What a method gives against what it needs: a point per method, with the Pareto front.

// What may stand on the vertical axis.
function measures(group) {
  const task = group.task();
  const all = [
    {
      name: "score",
      title: scoreTitle(group),
      key: (row) => row.score,
      spread: (row) => row.spread,
      show: (value) => score(value, task),
      high: !task?.lower,
    },
    { name: "adapter", title: "adapter parameters", key: (row) => row.adapter, show: millions },
    {
      name: "time",
      title: `step time / ${group.data.baseline}`,
      key: (row) => row.time,
      show: fixed(2),
    },
    { name: "flops", title: "training TFLOP", key: (row) => row.flops, show: tera },
    { name: "step", title: "TFLOP of a step", key: (row) => row.flops_step, show: tera },
  ];
  return all.filter(({ key }) => group.rows().filter((row) => known(key(row))).length > 1);
}

function scoreTitle(group) {
  const task = group.task();
  if (!task) return "average score, in per cent";
  const unit = task.fraction === false ? "" : ", in per cent";
  return `${task.name}: ${task.metric ?? "score"}${unit}${task.lower ? " (lower is better)" : ""}`;
}

// The rows of one model that no other beats in both: less memory and a better value.
function front(rows, measure) {
  const sign = measure.high ? -1 : 1;
  const order = [...rows].sort(
    (a, b) => a.peak - b.peak || sign * (measure.key(a) - measure.key(b)),
  );
  let best = Infinity;
  return order.filter((row) => {
    const better = sign * measure.key(row) < best;
    best = Math.min(best, sign * measure.key(row));
    return better;
  });
}

function scatter(group, measure, width) {
  const rows = group.rows().filter((row) => row.peak && known(measure.key(row)));
  const unit = group.unit;
  const height = Math.round(Math.max(250, Math.min(380, width * 0.62)));
  const box = { left: 54, top: 8, right: width - 14, bottom: height - 44 };
  const ends = rows.flatMap((row) => {
    const spread = measure.spread?.(row) ?? 0;
    return [measure.key(row) - spread, measure.key(row) + spread];
  });
  const x = scaleFor(
    rows.map((row) => inUnit(row.peak, unit)),
    box.left,
    box.right,
  );
  const y = scaleFor(ends, box.bottom, box.top);
  const fronts = [...groupBy(rows, (row) => row.model).values()].map((own) => front(own, measure));
  const best = fronts.flat();
  const figure = frame(box, x, y, {
    label:
      `${measure.title} against peak memory of ${plural(rows.length, "method")}; ` +
      `on the Pareto front: ${best.map((row) => group.nameOf(row)).join(", ")}`,
    x: `peak allocated in training, ${unit} (lower is better)`,
    xTick: (value) => grouped(value, value % 1 ? 1 : 0),
    yTick: measure.show,
  });
  const at = (row) => ({ x: x(inUnit(row.peak, unit)), y: y(measure.key(row)) });
  group.limit = { layer: draw("g", {}), x, box };
  figure.append(group.limit.layer, ...fronts.map((own) => frontLine(own.map(at))));
  for (const row of rows) figure.append(point(group, row, at(row), measure, y));
  const few = rows.length <= 30;
  const labelled = rows.map((row) => ({
    ...at(row),
    label: few || best.includes(row) ? group.nameOf(row) : "",
    row,
  }));
  const order = [...labelled].sort((a, b) => best.includes(b.row) - best.includes(a.row));
  for (const { at: place, label } of placeLabels(order, box)) {
    figure.append(draw("text", { class: "point-label", x: place.x, y: place.y }, label));
  }
  return figure;
}

function frontLine(points) {
  const path = points.map(({ x, y }, i) => (i ? `H${x}V${y}` : `M${x},${y}`)).join("");
  return draw("path", { class: "front", d: path || "M0,0" });
}

// Shows what lies beyond the budget in the figure that is there.
function markBudget(group) {
  if (!group.limit) return;
  const {
    layer,
    x,
    box: { left, right, top, bottom },
  } = group.limit;
  const at = x(inUnit(group.state.budget, group.unit));
  const from = Math.max(left, at);
  layer.replaceChildren(
    ...(Number.isFinite(at) && at <= right
      ? [
          draw("rect", {
            class: "beyond",
            x: from,
            y: top,
            width: right - from,
            height: bottom - top,
          }),
          draw("line", { class: "budget", x1: from, x2: from, y1: top, y2: bottom }),
        ]
      : []),
  );
}

const unfit = (group, row) => group.state.budget !== Infinity && !group.fits(row);

function point(group, row, at, measure, y) {
  const spread = measure.spread?.(row);
  const around = spread
    ? draw("path", {
        class: "spread",
        stroke: colorOf(row),
        d: `M${at.x},${y(measure.key(row) - spread)}V${y(measure.key(row) + spread)}`,
      })
    : null;
  const mark = draw(
    "g",
    { transform: `translate(${at.x},${at.y})` },
    draw("circle", { r: 11, class: "halo" }),
    markOf(row),
  );
  const figure = draw("g", { class: "point" }, around, mark);
  figure.addEventListener("pointermove", (event) => {
    tip.show(event, summary(group, row, measure));
    group.select(row);
  });
  figure.addEventListener("pointerleave", tip.hide);
  figure.addEventListener("click", () => group.open(row));
  group.marks.set(row, figure);
  return figure;
}

function summary(group, row, measure) {
  const spread = measure.spread?.(row);
  return [
    group.nameOf(row),
    `${measure.title}: ${measure.show(measure.key(row))}${spread ? ` ± ${measure.show(spread)}` : ""}`,
    `peak: ${bytes(row.peak, group.unit)} ${group.unit}`,
    `adapter: ${millions(row.adapter)} parameters`,
    ...(known(row.time) ? [`step time: ${row.time.toFixed(2)} of ${group.data.baseline}`] : []),
    "click: its runs",
  ];
}
