// Memory over training: what freezes shows as a step down.

const PEAK = 4; // in a phase: first step, steps, trainable, lowest live layer, peak, parts ...

// A run without a change is one phase.
const phasesOf = (run) => run.phases ?? [[0, run.total || 1, null, null, run.peak]];

// Lines of several runs, from 0 to 100 % of their steps.
function courseLines(group, runs, width) {
  const unit = group.unit;
  const box = { left: 54, top: 26, right: width - 14, bottom: 216 };
  const x = linear(0, 100, box.left, box.right);
  const peaks = runs.flatMap((run) => phasesOf(run).map((phase) => inUnit(phase[PEAK], unit)));
  const y = scaleFor(peaks, box.bottom, box.top, { spread: Infinity });
  const figure = frame(box, x, y, {
    label: `peak memory over training of ${runs.map((run) => run.method).join(", ")}`,
    x: "share of the training steps, in per cent",
    y: `peak of a phase, ${unit}`,
    xTick: String,
    yTick: (value) => grouped(value, unit === "GiB" || value % 1 ? 1 : 0),
  });
  for (const run of runs) {
    const phases = phasesOf(run);
    const steps = phases.reduce((sum, phase) => sum + phase[1], 0) || 1;
    let path = "";
    for (const phase of phases) {
      const height = y(inUnit(phase[PEAK], unit));
      const start = x((100 * (phase[0] - phases[0][0])) / steps);
      path += `${path ? `H${start}V` : `M${start},`}${height}`;
    }
    const attributes = { class: "course", stroke: colorOf(run), d: `${path}H${box.right}` };
    const line = draw("path", attributes);
    const target = draw("path", { ...attributes, class: "course-target" });
    target.addEventListener("pointermove", (event) => tip.show(event, courseTip(run, unit)));
    target.addEventListener("pointerleave", tip.hide);
    target.addEventListener("click", () => openRecord(group, run));
    figure.append(line, target);
  }
  return figure;
}

function courseTip(run, unit) {
  const phases = phasesOf(run);
  const shown = phases
    .slice(0, 6)
    .map(
      (phase) =>
        `from step ${grouped(phase[0])}: ${bytes(phase[PEAK], unit)} ${unit}, ${millions(phase[2])} train`,
    );
  const more = phases.length - shown.length;
  return [run.path, ...shown, ...(more > 0 ? [`and ${more} phases more`] : [])];
}

// One run's phases as stacked areas of its parts.
function courseAreas(run, unit, width) {
  const box = { left: 54, top: 26, right: width - 14, bottom: 200 };
  const first = run.phases[0][0];
  const end = run.phases.at(-1)[0] + run.phases.at(-1)[1];
  const x = linear(first, Math.max(end, first + 1), box.left, box.right);
  const most = Math.max(...run.phases.map((phase) => phase[PEAK]));
  const y = linear(0, inUnit(most, unit) * 1.06, box.bottom, box.top);
  const figure = frame(box, x, y, {
    label: `memory at the peak of each of ${plural(run.phases.length, "phase")}`,
    x: "optimizer step",
    y: `at the peak of each phase, ${unit}`,
    xTick: (value) => grouped(value),
    yTick: (value) => grouped(value, value % 1 ? 1 : 0),
  });
  for (const phase of run.phases) {
    let below = 0;
    const [from, to] = [x(phase[0]), x(phase[0] + phase[1])];
    const stack = draw("g", {});
    phase.slice(PEAK + 1).forEach((size, i) => {
      const top = y(inUnit(below + size, unit));
      stack.append(
        draw("rect", {
          x: from,
          width: Math.max(0.5, to - from),
          y: top,
          height: Math.max(0, y(inUnit(below, unit)) - top),
          fill: partColor(DATA.parts[i]),
        }),
      );
      below += size;
    });
    stack.addEventListener("pointermove", (event) => tip.show(event, phaseTip(phase, unit)));
    stack.addEventListener("pointerleave", tip.hide);
    figure.append(
      stack,
      draw("line", { class: "event", x1: from, x2: from, y1: box.top, y2: box.bottom }),
    );
  }
  return figure;
}

function phaseTip(phase, unit) {
  const [first, steps, trainable, lowest, peak, ...split] = phase;
  return [
    `steps ${grouped(first)} to ${grouped(first + steps - 1)}: ${bytes(peak, unit)} ${unit}`,
    `${millions(trainable)} parameters train${known(lowest) ? `, lowest live layer ${lowest}` : ""}`,
    ...split
      .map((size, i) => [DATA.parts[i], size])
      .filter(([, size]) => size > peak / 1000)
      .map(([name, size]) => `${name}: ${bytes(size, unit)}`),
  ];
}
