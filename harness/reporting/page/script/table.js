// A table that sorts and filters. Rows are made once and moved; on a phone each row is a card.

const FIRST_ROWS = 100;

// columns: {title, key(row) -> number, text or null, cell(row) -> text or element, kind, best, help}
// kind "text" sorts upwards first, "number" too unless `best` is "high".
function makeTable({ columns, rows, label, order, decorate }) {
  const body = make("tbody", { role: "rowgroup" });
  const heads = columns.map((column, i) => {
    const button = make(
      "button",
      { type: "button", onclick: () => sortBy(i), title: column.help },
      column.title,
      make("i", { class: "arrow", "aria-hidden": "true" }),
    );
    const attributes = {
      scope: "col",
      role: "columnheader",
      class: column.kind,
      "aria-sort": "none",
    };
    return make("th", attributes, button);
  });
  const entries = rows.map((row, place) => ({ row, place, element: null, shown: true }));
  const byRow = new Map(entries.map((entry) => [entry.row, entry]));
  const more = make("button", { type: "button", class: "more", onclick: () => showAll() });
  const sorter = select(
    "Sort by",
    columns.map((column, i) => [i, column.title]),
    0,
    (i) => sortBy(Number(i)),
  );
  const count = make("p", { class: "count", role: "status" });
  const table = make(
    "table",
    { class: "grid-table", role: "table", "aria-label": label },
    make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, heads)),
    body,
  );
  let limit = FIRST_ROWS;
  let sorted = { column: -1, down: false };

  function build(entry) {
    if (entry.element) return entry.element;
    entry.element = make("tr", { role: "row" });
    columns.forEach((column, i) => {
      const cell = make(
        i ? "td" : "th",
        {
          role: i ? "cell" : "rowheader",
          scope: i ? null : "row",
          class: column.kind,
          "data-label": column.title,
        },
        column.cell(entry.row),
      );
      const rank = column.rank?.get(entry.row);
      if (rank) cell.classList.add(rank);
      entry.element.append(cell);
    });
    decorate?.(entry.element, entry.row);
    return entry.element;
  }

  function sortBy(index, down) {
    const column = columns[index];
    const natural = column.best === "high";
    down ??= sorted.column === index ? !sorted.down : natural;
    sorted = { column: index, down };
    const keys = new Map(entries.map((entry) => [entry, column.key(entry.row)]));
    const compare = column.kind.startsWith("text")
      ? new Intl.Collator("en", { numeric: true }).compare
      : (a, b) => a - b;
    entries.sort((a, b) => {
      const [x, y] = [keys.get(a), keys.get(b)];
      if (!known(x) || !known(y)) return known(y) - known(x) || a.place - b.place;
      return (down ? -compare(x, y) : compare(x, y)) || a.place - b.place;
    });
    heads.forEach((head, i) =>
      head.setAttribute("aria-sort", i !== index ? "none" : down ? "descending" : "ascending"),
    );
    sorter.querySelector("select").value = index;
    limit = FIRST_ROWS; // whoever sorts looks at the top; thousands of rows take the browser a second
    put();
  }

  function put() {
    const shown = entries.filter((entry) => entry.shown);
    body.replaceChildren(...shown.slice(0, limit).map(build));
    more.hidden = shown.length <= limit;
    more.textContent = `Show all ${grouped(shown.length)}`;
    count.textContent =
      shown.length === entries.length
        ? ""
        : `${grouped(shown.length)} of ${grouped(entries.length)} shown`;
  }

  function showAll() {
    limit = Infinity;
    put();
  }

  function filter(keep) {
    const before = entries.map((entry) => entry.shown);
    for (const entry of entries) entry.shown = keep(entry.row);
    if (entries.some((entry, i) => entry.shown !== before[i])) put();
  }

  const start = columns.findIndex((column) => column.title === order);
  sortBy(start < 0 ? 0 : start, start < 0 ? false : undefined);
  return {
    element: make("div", { class: "table-box" }, sorter, count, table, more),
    table,
    filter,
    showAll,
    rowElement: (row) => byRow.get(row)?.element,
  };
}

// The best and the second best of a column among rows that compare: those of one model.
function ranks(rows, key, best) {
  const found = new Map();
  for (const members of groupBy(rows, (row) => row.model).values()) {
    const values = [...new Set(members.map(key).filter(known))].sort((a, b) => a - b);
    if (values.length < 2) continue;
    const [first, second] = best === "high" ? values.reverse() : values;
    for (const row of members) {
      if (key(row) === first) found.set(row, "best");
      else if (key(row) === second) found.set(row, "second");
    }
  }
  return found;
}

function groupBy(rows, key) {
  const found = new Map();
  for (const row of rows) {
    if (!found.has(key(row))) found.set(key(row), []);
    found.get(key(row)).push(row);
  }
  return found;
}
