// One group of runs or forecasts: what is in it, and what of it the reader has chosen to see.

class Comparison {
  constructor(data) {
    this.data = data;
    this.most = Math.max(0, ...this.allRows().map((row) => row.peak ?? 0));
    this.unit = unitOf([this.most]);
    this.state = {
      view: 0,
      model: "",
      words: [],
      budget: Infinity,
      hideUnfit: false,
      measure: null,
    };
    this.marks = new Map(); // row -> its point in the figure
    this.selected = null;
    const names = ["tiles", "figure", "why", "course", "methods", "scores", "ranks"];
    this.places = Object.fromEntries(
      names.map((name) => [name, make("div", { class: `${name}-box` })]),
    );
  }

  allRows() {
    return this.data.views.flatMap((view) => view.rows);
  }

  get view() {
    return this.data.views[this.state.view];
  }

  rows() {
    const { model } = this.state;
    return this.view.rows.filter((row) => !model || row.model === model);
  }

  // The task of this view; null: all tasks together.
  task() {
    const { tasks, views, kind } = this.data;
    if (views.length > 1 && this.state.view === 0 && kind === "records") return null;
    return tasks.find((task) => task.name === this.view.name) ?? tasks[0];
  }

  taskOf(run) {
    return this.data.tasks.find((task) => task.name === run.task);
  }

  fits(row) {
    return known(row.need) && row.need <= this.state.budget;
  }

  matches(row) {
    const name = `${row.method} ${row.model}`.toLowerCase();
    return this.state.words.every((word) => name.includes(word));
  }

  // The baseline's row on the same model; none for itself.
  baseOf(row) {
    const isBase = (other) => other.method === this.data.baseline && other.model === row.model;
    return this.view.rows.find((other) => isBase(other) && other !== row && other.peak);
  }

  nameOf(row) {
    return this.data.models.length > 1 ? `${row.method} on ${row.model}` : row.method;
  }

  runsOf(row) {
    const own = (run) => run.method === row.method && run.model === row.model;
    const task = this.task();
    return this.data.runs.filter((run) => own(run) && (!task || run.task === task.name));
  }

  // Opens the run that has the row's peak.
  open(row) {
    const runs = this.runsOf(row);
    const peaked = runs.find((run) => run.peak === row.peak) ?? runs[0];
    if (peaked) openRecord(this, peaked);
  }

  select(row) {
    if (this.selected === row) return;
    this.marks.get(this.selected)?.classList.remove("selected");
    this.table?.rowElement(this.selected)?.classList.remove("selected");
    this.selected = row;
    const mark = this.marks.get(row);
    mark?.classList.add("selected");
    mark?.parentNode?.append(mark); // on top of the others
    this.table?.rowElement(row)?.classList.add("selected");
    this.places.why.replaceChildren(...why(this, row));
  }

  budgetChanged() {
    if (!this.table) return;
    dim(this);
    markBudget(this);
    refilter(this);
  }
}
