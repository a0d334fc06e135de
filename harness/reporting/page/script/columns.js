// Columns of the tables of methods and of runs.

function methodColumns(group) {
  const rows = group.rows();
  const { unit, data } = group;
  const any = (name) => rows.some((row) => known(row[name]));
  const number = (name, title, show, extra = {}) =>
    any(name)
      ? [
          {
            title,
            kind: "number",
            best: "low",
            key: (row) => row[name],
            cell: (row) => make("b", {}, show(row[name])),
            ...extra,
          },
        ]
      : [];
  const columns = [
    {
      title: "method",
      kind: "text",
      key: (row) => row.method,
      cell: (row) => methodCell(group, row),
    },
    ...(data.models.length > 1
      ? [{ title: "model", kind: "text model", key: (row) => row.model, cell: (row) => row.model }]
      : []),
    ...scoreColumns(group),
    ...(any("peak") || rows.some((row) => row.failed)
      ? [
          {
            title: `peak, ${unit}`,
            kind: "number peak",
            best: "low",
            key: (row) => row.peak,
            cell: (row) => peakCell(group, row),
            help: "peak allocated in training, the largest over tasks and seeds, by what holds it",
          },
        ]
      : []),
    ...number("last", `last phase, ${unit}`, (value) => bytes(value, unit), {
      best: null,
      key: (row) => row.last ?? row.peak,
      cell: (row) => bytes(row.last ?? row.peak, unit),
      help: "peak of the run's last phase: what is left once methods have frozen or taken out",
    }),
    ...(rows.some((row) => row.need > 1.005 * row.peak)
      ? number("need", `needs, ${unit}`, (value) => bytes(value, unit), {
          best: null,
          help: "of training, evaluation and probe together; as reserved where that is known",
        })
      : []),
    ...number("forecast", "forecast / peak", fixed(4), { best: null }),
    ...number("time", `step time / ${data.baseline}${any("shared") ? " *" : ""}`, fixed(2), {
      help: any("shared") ? "other processes were on a card: times depend on them" : null,
    }),
    ...number("time_forecast", "forecast / step time", fixed(2), { best: null }),
    ...number("adapter", "adapter params", millions, {
      help: "trainable; head and pooler excluded",
    }),
    ...number("flops", "train TFLOP", tera, { best: null }),
    ...number("flops_step", "TFLOP / step", tera, { best: null }),
    ...(data.gpus ?? []).flatMap((gpu) => verdictColumns(rows, gpu)),
    ...(data.kind === "records"
      ? [
          {
            title: "runs",
            kind: "number",
            key: (row) => row.runs,
            cell: (row) => grouped(row.runs),
          },
        ]
      : []),
  ];
  for (const column of columns) if (column.best) column.rank = ranks(rows, column.key, column.best);
  return columns;
}

function scoreColumns(group) {
  const task = group.task();
  const rows = group.rows();
  if (!rows.some((row) => known(row.score) || row.tasks?.some((each) => known(each.mean))))
    return [];
  const best = task?.lower ? "low" : "high";
  const title = task
    ? `${task.metric ?? "score"}\u00a0${task.lower ? "↓" : "↑"}`
    : "average\u00a0↑";
  const main = {
    title,
    kind: "number score",
    best,
    key: (row) => row.score,
    cell: (row) => scoreCell(row.score, row.spread, task, known(row.score) ? null : row.failed),
    help: scoreTitle(group),
  };
  return task || group.data.tasks.length > 4 ? [main] : [...taskColumns(group), main];
}

// A column for each task, of the view of all of them.
function taskColumns(group) {
  return group.data.tasks.map((task, i) => ({
    title: `${task.name}\u00a0${task.lower ? "↓" : "↑"}`,
    kind: "number score",
    best: task.lower ? "low" : "high",
    key: (row) => row.tasks?.[i].mean,
    cell: (row) =>
      scoreCell(row.tasks?.[i].mean, row.tasks?.[i].spread, task, row.tasks?.[i].failed),
    help: `${task.name}: ${task.metric ?? "no score"}`,
  }));
}

function scoreCell(mean, spread, task, failed) {
  const parts = [known(mean) || !failed ? make("b", {}, score(mean, task)) : null];
  if (known(spread))
    parts.push(make("span", { class: "spread-text" }, ` ± ${score(spread, task)}`));
  return make("span", {}, ...parts, outcomes(failed));
}

function outcomes(failed) {
  return Object.entries(failed ?? {}).map(([outcome, count]) =>
    make(
      "span",
      { class: "outcome" },
      `${count > 1 ? `${count} ` : ""}${MARKS[outcome] ?? outcome}`,
    ),
  );
}

const MARKS = { oom: "OOM", crashed: "crashed", diverged: "diverged", interrupted: "interrupted" };

function methodCell(group, row) {
  const button = make(
    "button",
    { type: "button", class: "name", onclick: () => group.open(row) },
    badgeOf(row),
    make("span", {}, row.method),
  );
  const base =
    row.method === group.data.baseline ? make("span", { class: "tag" }, "baseline") : null;
  return make(
    "span",
    { class: "method" },
    button,
    base,
    outcomes(row.failed),
    make("span", { class: "tag no-fit" }, "does not fit"),
  );
}

function peakCell(group, row) {
  if (!row.peak) return make("span", {}, NONE);
  const strip = make("i", { class: "strip" });
  strip.style.width = percentOf(row.peak / group.most);
  strip.style.background = row.split ? stripes(row.split) : "var(--muted)";
  return make(
    "span",
    { class: "peak-cell" },
    make("span", { class: "track", "aria-hidden": "true" }, strip),
    make("b", {}, bytes(row.peak, group.unit)),
  );
}

function verdictColumns(rows, gpu) {
  const batches = rows.some((row) => known(row.batches?.[gpu]));
  return [
    {
      title: `${gpu}, GiB`,
      kind: "number",
      key: (row) => ["fits", "tight", "does not fit"].indexOf(row.verdicts?.[gpu]?.[0]),
      cell: (row) =>
        make(
          "span",
          { class: `fit-${(row.verdicts?.[gpu]?.[0] ?? "none").replaceAll(" ", "-")}` },
          row.verdicts?.[gpu]?.[1] ?? NONE,
        ),
      help: "fits or not, and by how much",
    },
    ...(rows.some((row) => row.times?.[gpu])
      ? [
          {
            title: `step on ${gpu}, ms`,
            kind: "number",
            best: "low",
            key: (row) => row.times?.[gpu]?.[0],
            cell: (row) => row.times?.[gpu]?.[1] ?? NONE,
            help: "forecast step time, the mean over the run's steps, and how far it may be off",
          },
        ]
      : []),
    ...(batches
      ? [
          {
            title: `batch on ${gpu}`,
            kind: "number",
            best: "high",
            key: (row) => row.batches?.[gpu],
            cell: (row) => (known(row.batches?.[gpu]) ? grouped(row.batches[gpu]) : NONE),
          },
        ]
      : []),
  ];
}

function runColumns(group) {
  const { unit, data } = group;
  const any = (key) => data.runs.some((run) => known(key(run)));
  const taskOf = new Map(data.tasks.map((task) => [task.name, task]));
  const optional = (title, key, show) =>
    any(key) ? [{ title, kind: "number", key, cell: (run) => show(key(run), run) }] : [];
  const open = (run) =>
    make(
      "button",
      { type: "button", class: "name", onclick: () => openRecord(group, run) },
      badgeOf(run),
      make("span", {}, run.path),
    );
  return [
    { title: "run", kind: "text", key: (run) => run.path, cell: open },
    { title: "outcome", kind: "text", key: (run) => run.outcome, cell: (run) => outcomeTag(run) },
    ...optional(
      "score",
      (run) => run.score,
      (value, run) => score(value, taskOf.get(run.task)),
    ),
    ...optional(
      `peak, ${unit}`,
      (run) => run.peak,
      (value) => bytes(value, unit),
    ),
    ...optional(
      `evaluation, ${unit}`,
      (run) => run.evaluation,
      (value) => bytes(value, unit),
    ),
    ...optional("forecast / peak", (run) => run.ratio, fixed(4)),
    ...optional("step", (run) => run.step, seconds),
    ...optional("forecast / step time", (run) => run.time_ratio, fixed(2)),
    ...optional("training", (run) => run.training, seconds),
  ];
}

function outcomeTag(run) {
  const good = run.outcome === "ok" || run.outcome === "forecast";
  return make(
    "span",
    { class: good ? "outcome good" : "outcome" },
    MARKS[run.outcome] ?? run.outcome,
  );
}
