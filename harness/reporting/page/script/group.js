// One group: who wins, the figures, the table of methods, the runs.

function makeGroup(data, section) {
  const most = Math.max(0, ...data.views.flatMap((view) => view.rows.map((row) => row.peak ?? 0)));
  const group = {
    data, most, unit: unitOf([most]), marks: new Map(), selected: null,
    state: { view: 0, model: "", words: [], budget: Infinity, hideUnfit: false, measure: null },
    allRows: () => data.views.flatMap((view) => view.rows),
    rows: () => data.views[group.state.view].rows.filter((row) => !group.state.model || row.model === group.state.model),
    task: () => (data.views.length > 1 && group.state.view === 0 && data.kind === "records"
      ? null : data.tasks.find((task) => task.name === data.views[group.state.view].name) ?? data.tasks[0]),
    taskOf: (run) => data.tasks.find((task) => task.name === run.task),
    fits: (row) => known(row.need) && row.need <= group.state.budget,
    baseOf: (row) => data.views[group.state.view].rows.find((other) =>
      other.model === row.model && other.method === data.baseline && other !== row && other.peak),
    nameOf: (row) => (data.models.length > 1 ? `${row.method} on ${row.model}` : row.method),
  };
  const places = Object.fromEntries(["tiles", "figure", "why", "course", "methods", "scores", "ranks"]
    .map((name) => [name, make("div", { class: `${name}-box` })]));
  group.places = places;

  group.open = (row) => {
    const runs = runsOf(group, row);
    const peaked = runs.find((run) => run.peak === row.peak) ?? runs[0];
    if (peaked) openRecord(group, peaked);
  };
  group.select = (row) => {
    if (group.selected === row) return;
    group.marks.get(group.selected)?.classList.remove("selected");
    group.table?.rowElement(group.selected)?.classList.remove("selected");
    group.selected = row;
    group.marks.get(row)?.classList.add("selected");
    group.marks.get(row)?.parentNode?.append(group.marks.get(row));
    group.table?.rowElement(row)?.classList.add("selected");
    places.why.replaceChildren(...why(group, row));
  };
  group.budgetChanged = () => {
    if (!group.table) return;
    dim(group);
    markBudget(group);
    refilter(group);
  };
  group.redraw = () => redraw(group);
  section.querySelector(".app").append(...[
    make("p", { class: "state" }, ...stateOf(group)),
    places.tiles, toolbar(group),
    make("div", { class: "pair" }, places.figure, places.why),
    make("h3", {}, "Methods"), make("div", { class: "legend-line" }, legend(shownParts(group)), places.ranks),
    places.methods, budgetNote(group), places.course, places.scores, runsOfGroup(group),
  ].filter(Boolean));
  redraw(group);
  return group;
}

function runsOf(group, row) {
  const view = group.data.views[group.state.view].name;
  const own = group.data.runs.filter((run) => run.method === row.method && run.model === row.model);
  return group.task() ? own.filter((run) => run.task === view || group.data.views.length === 1) : own;
}

function shownParts(group) {
  return DATA.parts.map((_, i) => group.allRows().some((row) => (row.split?.[i] ?? 0) > 0.002 * row.peak));
}

function stateOf({ data }) {
  const failed = data.runs.filter((run) => !["ok", "forecast"].includes(run.outcome));
  const missing = (data.expected ?? data.runs.length) - data.runs.length;
  const kind = data.kind === "forecast" ? "forecast" : "run";
  const parts = [`${plural(data.runs.length, kind)}, ${plural(data.methods.length, "method")}, ${plural(data.tasks.length, "task")}`];
  for (const [outcome, runs] of groupBy(failed, (run) => run.outcome)) {
    parts.push(make("span", { class: "outcome" }, `${runs.length} ${MARKS[outcome] ?? outcome}`));
  }
  if (missing > 0) parts.push(make("span", { class: "outcome" }, `${missing} missing`));
  return parts.flatMap((part, i) => (i ? [" ", part] : [part]));
}

function toolbar(group) {
  const { data, state } = group;
  const filter = make("input", { type: "search", placeholder: "such as: lora r8", oninput: () => {
    state.words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    refilter(group);
  } });
  const change = (name) => (value) => {
    state[name] = name === "view" ? Number(value) : value;
    group.redraw();
    group.recount?.();
  };
  return make("div", { class: "toolbar" },
    make("label", { class: "control" }, make("span", {}, "Filter"), filter),
    data.views.length > 1 ? select("Task", data.views.map((view, i) => [i, view.name]), 0, change("view")) : null,
    data.models.length > 1 ? select("Model", [["", "all models"], ...data.models.map((name) => [name, name])], "", change("model")) : null,
    budgetControl(group));
}

function matches(group, row) {
  const name = `${row.method} ${row.model}`.toLowerCase();
  return group.state.words.every((word) => name.includes(word));
}

function refilter(group) {
  group.table.filter((row) => matches(group, row) && !(group.state.hideUnfit && unfit(group, row)));
}

function dim(group) {
  const limited = group.state.budget !== Infinity;
  for (const row of group.rows()) {
    group.table.rowElement(row)?.classList.toggle("unfit", unfit(group, row));
  }
  const share = group.state.budget / group.most;
  group.table.table.style.setProperty("--budget", limited && share <= 1 ? percentOf(share) : "-10%");
}

function redraw(group) {
  const rows = group.rows();
  const columns = methodColumns(group);
  const ranked = columns.some((column) => column.rank?.size);
  group.places.ranks.textContent = ranked ? "bold: best, underlined: second best, within a model" : "";
  group.table = makeTable({
    columns, rows, label: "Methods", order: `peak, ${group.unit}`,
    decorate: (element, row) => {
      element.addEventListener("pointerenter", () => group.select(row));
      element.addEventListener("focusin", () => group.select(row));
      element.classList.toggle("unfit", unfit(group, row));
    },
  });
  group.places.methods.replaceChildren(group.table.element);
  group.places.tiles.replaceChildren(...tiles(group));
  group.places.scores.replaceChildren(...scoresByTask(group));
  dim(group);
  refilter(group);
  plot(group);
  const smallest = rows.filter((row) => row.peak && row.split).sort((a, b) => a.peak - b.peak);
  group.selected = undefined;
  group.select(smallest.find((row) => row.method !== group.data.baseline) ?? smallest[0] ?? null);
}

function plot(group) {
  group.marks.clear();
  const choices = measures(group);
  const measure = choices.find(({ name }) => name === group.state.measure) ?? choices[0];
  const { figure, course } = group.places;
  figure.hidden = !measure;
  group.limit = null;
  if (measure) {
    const pick = select("Figure: peak memory and", choices.map(({ name, title }) => [name, title]), measure.name, (name) => {
      group.state.measure = name;
      plot(group);
    });
    figure.replaceChildren(pick, scatter(group, measure, Math.max(300, figure.clientWidth || 640)));
    markBudget(group);
    const unplaced = group.rows().filter((row) => !row.peak || !known(measure.key(row)));
    if (unplaced.length) figure.append(make("p", { class: "hint" }, `Without a point: ${named(unplaced.map(group.nameOf), 12)}.`));
  }
  const runs = coursesOf(group);
  course.replaceChildren(...(runs.length ? [make("h3", {}, "Memory over training"),
    courseLines(group, runs, Math.max(300, course.clientWidth || 640)),
    make("ul", { class: "legend" }, runs.map((run) => make("li", {}, badgeOf(run.method), run.method))),
    make("p", { class: "hint" }, `Peak of each phase: a stretch of training with one set of trainable tensors. ${runs[0].task} on ${runs[0].model}, seed ${runs[0].seed}; runs with several phases, and the baseline.`)] : []));
  if (group.selected) group.marks.get(group.selected)?.classList.add("selected");
}

const MOST_COURSES = 12;

// Runs of one task, model and seed, if any of them has phases.
function coursesOf(group) {
  const task = group.state.view && group.task()?.name;
  const all = group.data.runs.filter((run) => run.peak && run.outcome === "ok" &&
    (!task || run.task === task) && (!group.state.model || run.model === group.state.model));
  const first = all.find((run) => run.phases);
  if (!first) return [];
  const alike = all.filter((run) => run.task === first.task && run.model === first.model && run.seed === first.seed);
  const freezing = alike.filter((run) => run.phases).slice(0, MOST_COURSES);
  const base = alike.filter((run) => run.method === group.data.baseline && !run.phases);
  return [...freezing, ...base];
}

// Methods against tasks, where there are too many tasks for the main table.
function scoresByTask(group) {
  const { data, state } = group;
  if (data.kind !== "records" || state.view || data.tasks.length <= 4) return [];
  const rows = group.rows();
  const columns = [methodColumns(group)[0], ...taskColumns(group)];
  for (const column of columns) if (column.best) column.rank = ranks(rows, column.key, column.best);
  const table = makeTable({ columns, rows, label: "Scores by task", order: "" });
  return [make("details", { open: true }, make("summary", {}, "Scores by task"),
    make("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "Scores by task" }, table.element))];
}

// All runs; the table is made when it is first asked for.
function runsOfGroup(group) {
  const details = make("details", { class: "runs" }, make("summary", {}, `All ${group.data.kind === "forecast" ? "forecasts" : "runs"} (${grouped(group.data.runs.length)})`));
  details.addEventListener("toggle", () => {
    if (!details.open || group.runs) return;
    group.runs = makeTable({ columns: runColumns(group), rows: group.data.runs, label: "Runs", order: "run" });
    const filter = make("input", { type: "search", placeholder: "such as: cola s0 oom", oninput: () => {
      const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
      group.runs.filter((run) => words.every((word) => `${run.path} ${run.outcome}`.toLowerCase().includes(word)));
    } });
    details.append(make("label", { class: "control" }, make("span", {}, "Filter"), filter), group.runs.element);
  });
  return details;
}
