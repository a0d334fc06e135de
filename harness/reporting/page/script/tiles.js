// Who wins on what: the first thing that a reader sees.

function tiles(group) {
  const task = group.task();
  const rows = group.rows();
  const { unit, data } = group;
  const kinds = [
    {
      title: task ? `Best ${task.metric ?? "score"}` : "Best average score",
      key: (row) => row.score,
      high: !task?.lower,
      show: (value) => score(value, task),
      against: () => "",
    },
    {
      title: "Least memory",
      key: (row) => row.peak,
      show: (value) => `${bytes(value, unit)} ${unit}`,
      against: compared,
    },
    { title: "Shortest step", key: (row) => row.seconds, show: seconds, against: compared },
    {
      title: "Fewest adapter parameters",
      key: (row) => row.adapter || null,
      show: millions,
      against: (value, base) => compared(value, base, "fewer"),
    },
  ];
  return kinds.flatMap((kind) => tile(group, rows, kind) ?? []);
}

function tile(group, rows, { title, key, high, show, against }) {
  const given = rows.filter((row) => known(key(row)));
  if (given.length < 2) return null;
  const best = given.reduce((a, b) => ((high ? key(b) > key(a) : key(b) < key(a)) ? b : a));
  const ties = given.filter((row) => key(row) === key(best)).length - 1;
  if (ties && 2 * ties >= given.length - 1) return null;
  const base = group.baseOf(best);
  const value = base && known(key(base)) ? key(base) : null;
  const sign = high ? -1 : 1;
  const second = given
    .filter((row) => row.model === best.model && key(row) !== key(best))
    .sort((a, b) => sign * (key(a) - key(b)))[0];
  const said =
    value !== null
      ? [against(key(best), value), `${group.data.baseline}: ${show(value)}`]
      : second
        ? [`then ${second.method}: ${show(key(second))}`]
        : [];
  return make(
    "button",
    {
      type: "button",
      class: "tile",
      onclick: () => group.open(best),
      onpointerenter: () => group.select(best),
      onfocus: () => group.select(best),
    },
    make("span", { class: "tile-title" }, title),
    make("span", { class: "tile-value" }, show(key(best))),
    make(
      "span",
      { class: "tile-method" },
      badgeOf(best),
      group.nameOf(best) + (ties ? ` and ${ties} more` : ""),
    ),
    make("span", { class: "tile-base" }, said.filter(Boolean).join(", ")),
  );
}
