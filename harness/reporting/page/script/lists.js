// What stands below the table of methods: scores by task, and all runs.

// Methods against tasks, where there are too many tasks for the main table.
function scoresByTask(group) {
  const { data, state } = group;
  group.byTask = null;
  if (data.kind !== "records" || state.view || data.tasks.length <= 4) return [];
  const rows = group.rows();
  const columns = [methodColumns(group)[0], ...taskColumns(group)];
  for (const column of columns) if (column.best) column.rank = ranks(rows, column.key, column.best);
  group.byTask = makeTable({ columns, rows, label: "Scores by task", order: "" });
  return [
    make(
      "details",
      { open: true },
      make("summary", {}, "Scores by task"),
      make(
        "div",
        { class: "wide", tabindex: 0, role: "region", "aria-label": "Scores by task" },
        group.byTask.element,
      ),
    ),
  ];
}

// All runs; the table is made when it is first asked for.
function runsOfGroup(group) {
  const details = make(
    "details",
    { class: "runs" },
    make(
      "summary",
      {},
      `All ${group.data.kind === "forecast" ? "forecasts" : "runs"} (${grouped(group.data.runs.length)})`,
    ),
  );
  details.addEventListener("toggle", () => {
    if (!details.open || group.runs) return;
    group.runs = makeTable({
      columns: runColumns(group),
      rows: group.data.runs,
      label: "Runs",
      order: "run",
    });
    const filter = make("input", {
      type: "search",
      placeholder: "such as: cola s0 oom",
      oninput: () => {
        const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
        group.runs.filter((run) =>
          words.every((word) => `${run.path} ${run.outcome}`.toLowerCase().includes(word)),
        );
      },
    });
    details.append(
      make("label", { class: "control" }, make("span", {}, "Filter"), filter),
      group.runs.element,
    );
  });
  return details;
}
