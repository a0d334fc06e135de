// The figures of a group, drawn for the width that there is.

function plot(group) {
  plotScatter(group);
  plotCourses(group);
  refilter(group);
  if (group.selected) group.marks.get(group.selected)?.classList.add("selected");
}

function plotScatter(group) {
  group.marks.clear();
  const choices = measures(group);
  const measure = choices.find(({ name }) => name === group.state.measure) ?? choices[0];
  const { figure } = group.places;
  figure.hidden = !measure;
  group.limit = null;
  if (measure) {
    const pick = select(
      "Figure: peak memory and",
      choices.map(({ name, title }) => [name, title]),
      measure.name,
      (name) => {
        group.state.measure = name;
        plot(group);
      },
    );
    figure.replaceChildren(pick, scatter(group, measure, Math.max(300, figure.clientWidth || 640)));
    markBudget(group);
    const unplaced = group.rows().filter((row) => !row.peak || !known(measure.key(row)));
    if (unplaced.length)
      figure.append(
        make(
          "p",
          { class: "hint" },
          `Without a point: ${named(
            unplaced.map((row) => group.nameOf(row)),
            12,
          )}.`,
        ),
      );
  }
}

function plotCourses(group) {
  const { course } = group.places;
  const runs = coursesOf(group);
  if (!runs.length) {
    course.replaceChildren();
    return;
  }
  const [{ task, model, seed }] = runs;
  course.replaceChildren(
    make("h3", {}, "Memory over training"),
    courseLines(group, runs, Math.max(300, course.clientWidth || 640)),
    make(
      "ul",
      { class: "legend" },
      runs.map((run) => make("li", {}, badgeOf(run), run.method)),
    ),
    make(
      "p",
      { class: "hint" },
      "Peak of each phase: a stretch of training with one set of trainable tensors. " +
        `${task} on ${model}, seed ${seed}; runs with several phases, and the baseline.`,
    ),
  );
}

const MOST_COURSES = 12;

// Runs of one task, model and seed, if any of them has phases.
function coursesOf(group) {
  const task = group.state.view && group.task()?.name;
  const all = group.data.runs.filter(
    (run) =>
      run.peak &&
      run.outcome === "ok" &&
      (!task || run.task === task) &&
      (!group.state.model || run.model === group.state.model),
  );
  const first = all.find((run) => run.phases);
  if (!first) return [];
  const alike = all.filter(
    (run) => run.task === first.task && run.model === first.model && run.seed === first.seed,
  );
  const freezing = alike.filter((run) => run.phases).slice(0, MOST_COURSES);
  const base = alike.filter((run) => run.method === group.data.baseline && !run.phases);
  return [...freezing, ...base];
}
