// How a group is laid out: who wins, the figures, the table of methods, what is below it.

function makeGroup(data, section) {
  const group = new Comparison(data);
  const { places } = group;
  const inSight = make(
    "div",
    {}, // of the toolbar
    toolbar(group),
    make("div", { class: "pair" }, places.figure, places.why),
    make("h3", {}, "Methods"),
    make("div", { class: "legend-line" }, legend(shownParts(group)), places.ranks),
    places.methods,
  );
  const parts = [
    make("p", { class: "state" }, ...stateOf(group)),
    places.tiles,
    inSight,
    budgetNote(group),
    places.course,
    places.scores,
    runsOfGroup(group),
  ];
  section.querySelector(".app").append(...parts.filter(Boolean));
  redraw(group);
  return group;
}

function shownParts(group) {
  return DATA.parts.map((_, i) =>
    group.allRows().some((row) => (row.split?.[i] ?? 0) > 0.002 * row.peak),
  );
}

function stateOf({ data }) {
  const failed = data.runs.filter((run) => !["ok", "forecast"].includes(run.outcome));
  const missing = (data.expected ?? data.runs.length) - data.runs.length;
  const kind = data.kind === "forecast" ? "forecast" : "run";
  const parts = [
    [
      plural(data.runs.length, kind),
      plural(data.methods.length, "method"),
      plural(data.tasks.length, "task"),
    ].join(", "),
  ];
  for (const [outcome, runs] of groupBy(failed, (run) => run.outcome)) {
    parts.push(make("span", { class: "outcome" }, `${runs.length} ${MARKS[outcome] ?? outcome}`));
  }
  if (missing > 0) parts.push(make("span", { class: "outcome" }, `${missing} missing`));
  return parts.flatMap((part, i) => (i ? [" ", part] : [part]));
}

function toolbar(group) {
  const { data, state } = group;
  const filter = make("input", {
    type: "search",
    placeholder: "such as: lora r8",
    oninput: () => {
      state.words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
      refilter(group);
    },
  });
  const change = (name) => (value) => {
    state[name] = name === "view" ? Number(value) : value;
    redraw(group);
    group.recount?.();
  };
  return make(
    "div",
    { class: "toolbar" },
    make("label", { class: "control" }, make("span", {}, "Filter"), filter),
    data.views.length > 1
      ? select(
          "Task",
          data.views.map((view, i) => [i, view.name]),
          0,
          change("view"),
        )
      : null,
    data.models.length > 1
      ? select(
          "Model",
          [["", "all models"], ...data.models.map((name) => [name, name])],
          "",
          change("model"),
        )
      : null,
    budgetControl(group),
  );
}

function refilter(group) {
  const keep = (row) => group.matches(row) && !(group.state.hideUnfit && unfit(group, row));
  group.table.filter(keep);
  group.byTask?.filter(keep);
  for (const [row, mark] of group.marks) {
    mark.classList.toggle("unfit", unfit(group, row) || !group.matches(row));
  }
}

function dim(group) {
  const limited = group.state.budget !== Infinity;
  for (const row of group.rows()) {
    group.table.rowElement(row)?.classList.toggle("unfit", unfit(group, row));
  }
  const share = group.state.budget / group.most;
  group.table.table.style.setProperty(
    "--budget",
    limited && share <= 1 ? percentOf(share) : "-10%",
  );
}

function redraw(group) {
  const rows = group.rows();
  const columns = methodColumns(group);
  const ranked = columns.some((column) => column.rank?.size);
  group.places.ranks.textContent = ranked
    ? "bold: best, underlined: second best, within a model"
    : "";
  group.table = makeTable({
    columns,
    rows,
    label: "Methods",
    order: `peak, ${group.unit}`,
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
  plot(group);
  const smallest = rows.filter((row) => row.peak && row.split).sort((a, b) => a.peak - b.peak);
  group.selected = undefined;
  group.select(smallest.find((row) => row.method !== group.data.baseline) ?? smallest[0] ?? null);
}
