// What is known of a run, as names and values.

function mainFacts(group, run) {
  const task = group.taskOf(run);
  const metric = pooled(run.metric);
  const fraction = (name) => (name === metric ? task?.fraction : !DATA.no_fractions.includes(name));
  const scores = Object.entries(run.scores ?? {}).flatMap(([part, metrics]) =>
    Object.entries(metrics).map(([name, value]) => [
      `${name} (${part})`,
      score(value, { fraction: fraction(name) }),
    ]),
  );
  const parameters = pooled(run.parameters) ?? {};
  return [
    ...scores,
    ["peak, allocated", size(group, run.peak)],
    ["forecast", forecastOf(group, run)],
    ...Object.entries(run.verdicts ?? {}).map(([gpu, [, text]]) => [gpu, text]),
    ["adapter, trainable", count(parameters.adapter_trainable)],
    ["median step", known(run.step) ? seconds(run.step) : null],
    [
      "steps",
      known(run.steps)
        ? `${grouped(run.steps)}${known(run.epochs) ? `, ${Number(run.epochs.toPrecision(3))} epochs` : ""}`
        : null,
    ],
    ["forecast steps, examples x length", run.shapes?.join(", ")],
  ];
}

function moreFacts(group, run) {
  const parameters = pooled(run.parameters) ?? {};
  const parts = Object.entries(run.peaks ?? {});
  const needs = Object.entries(run.needs ?? {});
  return [
    ["reserved", size(group, run.reserved)],
    ["of the process, by NVML", size(group, run.device)],
    ["mean over steps", size(group, run.mean)],
    ["peak, last phase", run.phases ? size(group, run.last) : null],
    ["peak, evaluation", size(group, run.evaluation)],
    ["peak, probe", size(group, run.probe)],
    ["at rest", size(group, run.rest)],
    ["kept for backward", size(group, run.saved)],
    ...parts.map(([part, value]) => [`peak in ${part}`, size(group, value)]),
    ...needs.map(([part, need]) => [
      `${part} reserves`,
      size(group, need.reserved || need.allocated),
    ]),
    ["head, trainable", count(parameters.head_trainable)],
    ["all parameters", count(parameters.total)],
    ["adapter, stored", count(parameters.adapter_stored)],
    ["training, TFLOP", known(run.flops) ? tera(run.flops) : null],
    ["training", known(run.training) ? seconds(run.training) : null],
    ["last loss", known(run.loss) ? String(run.loss) : null],
    ["taken up at step", run.resumed?.join(", ")],
    ["other processes on its card", known(run.shared) ? grouped(run.shared) : null],
  ];
}

function size(group, value) {
  return known(value) ? `${bytes(value, group.unit)} ${group.unit}` : null;
}

function count(value) {
  return known(value) ? millions(value) : null;
}

function forecastOf(group, run) {
  const peaks = run.forecast?.peaks;
  if (!peaks) return run.forecast?.error;
  return (
    size(group, Math.max(...peaks)) +
    (known(run.ratio) ? `, ${run.ratio.toFixed(4)} of the peak` : "")
  );
}

function facts(rows, kind = "") {
  const given = rows.filter(([, value]) => known(value) && value !== "");
  return make(
    "dl",
    { class: `facts ${kind}` },
    given.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))),
  );
}

// Nested values as one list, with dots between the names.
function pairs(values, before = "") {
  return Object.entries(values).flatMap(([name, value]) =>
    value !== null && typeof value === "object" && !Array.isArray(value)
      ? pairs(value, `${before}${name}.`)
      : [[before + name, Array.isArray(value) ? value.map(plainly).join(", ") : plainly(value)]],
  );
}

function plainly(value) {
  return value !== null && typeof value === "object" ? JSON.stringify(value) : String(value);
}
