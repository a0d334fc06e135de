// Why a method needs what it needs: its peak beside the baseline's, part by part.

function why(group, row) {
  if (!row) return [make("p", { class: "empty" }, "No run here ended with a measured peak.")];
  const base = group.baseOf(row);
  const title = base ? `Why: ${row.method} against ${base.method}` : `What holds ${row.method}`;
  return [
    make("h3", {}, badgeOf(row), title),
    make("p", { class: "verdict" }, verdict(group, row, base)),
    partBars(row.split, base?.split, group.unit),
    make("p", { class: "hint" }, "Point at a method to see its split; click it to see its runs."),
  ];
}

function verdict(group, row, base) {
  const size = `${bytes(row.peak, group.unit)} ${group.unit}`;
  if (!row.split) return `${size}; its split is not recorded.`;
  const order = row.split
    .map((part, i) => [DATA.parts[i], part - (base?.split?.[i] ?? 0)])
    .filter(([, part]) => Math.abs(part) >= 0.005 * row.peak)
    .sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]))
    .slice(0, 3);
  const show = (value) => bytes(value, group.unit);
  const write = base?.split ? (part) => signed(part, show) : show;
  const parts = order.map(([name, part]) => `${name} ${write(part)}`).join(", ");
  const said = base?.split ? `${size}, ${compared(row.peak, base.peak)}` : size;
  const last = row.last ? ` Its last phase peaks at ${show(row.last)} ${group.unit}.` : "";
  return `${said}${parts ? `: ${parts}` : ""}.${last}`;
}

// A bar for each part; above it, thin, the other's. Sizes in bytes; `other` may be missing.
function partBars(split, other, unit) {
  if (!split) return make("p", { class: "empty" }, "Its split is not recorded.");
  const most = Math.max(...split, ...(other ?? [])) || 1;
  const worth = (i) => Math.max(split[i], other?.[i] ?? 0) >= 0.0005 * most;
  const rows = DATA.parts.flatMap((name, i) =>
    worth(i)
      ? [
          make(
            "tr",
            {},
            make("th", { scope: "row" }, swatch(name), name),
            make(
              "td",
              { class: "bars" },
              other ? bar(other[i] / most, "var(--muted)", "thin") : null,
              bar(split[i] / most, partColor(name)),
            ),
            make("td", { class: "number" }, bytes(split[i], unit)),
            other
              ? make("td", { class: "number change" }, change(split[i] - other[i], unit))
              : null,
          ),
        ]
      : [],
  );
  const head = make(
    "tr",
    {},
    make("th", { scope: "col" }, "part"),
    make("td"),
    make("th", { scope: "col", class: "number" }, unit),
    other ? make("th", { scope: "col", class: "number" }, "change") : null,
  );
  return make("table", { class: "parts" }, make("thead", {}, head), make("tbody", {}, rows));
}

function change(difference, unit) {
  const text = bytes(Math.abs(difference), unit);
  return Number(text.replaceAll(",", "")) === 0
    ? "="
    : signed(difference, (value) => bytes(value, unit));
}

function bar(share, color, kind = "") {
  const element = make("i", { class: `bar ${kind}` });
  element.style.width = percentOf(share);
  element.style.background = color;
  return element;
}
