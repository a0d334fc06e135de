// A record: what it was, what was alive at its peak, how it went, how it was made.

function openRecord(group, run) {
  const dialog = document.getElementById("record");
  const others = group.data.runs.filter(
    (other) => other.method === run.method && other.model === run.model,
  );
  const { unit } = group;
  dialog.replaceChildren(
    make(
      "header",
      {},
      make("h2", { id: "record-title" }, badgeOf(run), run.method),
      make(
        "button",
        { type: "button", class: "close", "aria-label": "Close", onclick: () => dialog.close() },
        "×",
      ),
    ),
    ...(others.length > 1 ? [runPicker(group, run, others)] : []),
    make("p", { class: "path" }, run.path, " ", outcomeTag(run)),
    ...failure(run),
    facts(mainFacts(group, run)),
    ...atPeak(run, unit),
    ...overTraining(group, run),
    make("details", {}, make("summary", {}, "More figures"), facts(moreFacts(group, run))),
    ...madeBy(run),
  );
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  for (const log of dialog.querySelectorAll(".log")) log.scrollTop = log.scrollHeight;
  for (const place of dialog.querySelectorAll("[data-plot]")) place.plot(place.clientWidth || 520);
}

function runPicker(group, run, others) {
  const options = others.map((other, i) => [i, described(group, other)]);
  const open = (i) => openRecord(group, others[i]);
  return select(`Run (${others.length})`, options, others.indexOf(run), open);
}

function described(group, run) {
  const which = `${run.task}${known(run.seed) ? `, seed ${run.seed}` : ""}`;
  const value = known(run.score) ? ` ${score(run.score, group.taskOf(run))}` : "";
  const peak = run.peak ? `, ${size(group, run.peak)}` : "";
  return `${which}: ${MARKS[run.outcome] ?? run.outcome}${value}${peak}`;
}

function failure(run) {
  return [
    run.message ? make("p", { class: "message" }, run.message) : null,
    run.log
      ? make(
          "details",
          { open: true },
          make("summary", {}, "End of its log"),
          make("pre", { class: "log", tabindex: 0 }, run.log),
        )
      : null,
    run.attempts ? make("p", {}, `Earlier attempts: ${run.attempts.join("; ")}`) : null,
    ...(run.remarks ?? []).map((number) => make("p", { class: "remark" }, DATA.pool[number])),
  ].filter(Boolean);
}

function atPeak(run, unit) {
  if (!run.split) return [];
  const shown = run.holders ?? [];
  const most = Math.max(1, ...shown.map((holder) => holder[3]));
  const named = shown.reduce((sum, holder) => sum + holder[3], 0);
  const rows = shown.map(([category, path, op, size, blocks]) => {
    const kind = DATA.pool[category];
    return make(
      "li",
      {},
      bar(size / most, categoryColor(kind)),
      make("span", { class: "place" }, DATA.pool[path] || "(outside of modules)"),
      make(
        "span",
        { class: "what" },
        [kind, DATA.pool[op], blocks ? plural(blocks, "block") : ""].filter(Boolean).join(" · "),
      ),
      make(
        "span",
        { class: "number" },
        `${bytes(size, unit)} · ${((100 * size) / run.peak).toFixed(1)} %`,
      ),
    );
  });
  return [
    make("h3", {}, `Alive at its peak: ${bytes(run.peak, unit)} ${unit}`),
    partBars(run.split, null, unit),
    ...(rows.length
      ? [
          make("h4", {}, "The largest holders"),
          make("ol", { class: "holders" }, rows),
          make(
            "p",
            { class: "hint" },
            `They hold ${bytes(named, unit)} of ${bytes(run.peak, unit)} ${unit}; ` +
              "the rest is in smaller ones.",
          ),
        ]
      : []),
  ];
}

function overTraining(group, run) {
  const parts = [];
  const metric = pooled(run.metric);
  if (run.phases) {
    const title = `Over training: ${plural(run.phases_of ?? run.phases.length, "phase")}`;
    parts.push(
      make("h3", {}, title),
      later((width) => courseAreas(run, group.unit, width)),
    );
    if (run.phases_of)
      parts.push(
        make(
          "p",
          { class: "hint" },
          `${run.phases.length} of them are drawn, each until the next.`,
        ),
      );
  }
  const rows = (run.history ?? []).filter(([, loss]) => known(loss));
  if (rows.length) {
    const head = ["epoch", "loss", metric ?? "score"].map((name) =>
      make("th", { scope: "col" }, name),
    );
    parts.push(
      make(
        "details",
        {},
        make("summary", {}, "Loss and score by epoch"),
        make(
          "table",
          { class: "plain" },
          make("thead", {}, make("tr", {}, head)),
          make(
            "tbody",
            {},
            rows.map(([epoch, loss, value]) =>
              make(
                "tr",
                {},
                make("td", {}, String(epoch)),
                make("td", {}, String(loss)),
                make("td", {}, score(value, group.taskOf(run))),
              ),
            ),
          ),
        ),
      ),
    );
  }
  return parts;
}

function madeBy(run) {
  const groups = [
    ["Training settings", pooled(run.train)],
    ["Options of the method", pooled(run.options)],
    ["Environment", pooled(run.environment)],
    ["Model", pooled(run.base)],
    ["Data", pooled(run.data)],
  ].filter(([, values]) => values && Object.keys(values).length);
  const command = pooled(run.command);
  return [
    make("h3", {}, "How it was made"),
    command
      ? make("pre", { class: "command" }, command)
      : make("p", { class: "hint" }, "Its command is not recorded."),
    ...groups.map(([name, values]) =>
      make("details", {}, make("summary", {}, name), facts(pairs(values), "narrow")),
    ),
    run.key
      ? make(
          "p",
          { class: "hint" },
          "The whole record: ",
          make("code", {}, `records/${run.path}-${run.key}.json`),
        )
      : null,
  ].filter(Boolean);
}

// A place for a figure that is drawn when its width is known, and again when that changes.
function later(plot) {
  const place = make("div", { class: "figure", "data-plot": true });
  place.plot = (width) => place.replaceChildren(plot(Math.max(280, width)));
  return place;
}
