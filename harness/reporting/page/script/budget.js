// "Fits on my card": a card or a number of GiB, and which methods need no more.

const STEPS = 1000;

function budgetControl(group) {
  const needs = group
    .allRows()
    .map((row) => row.need)
    .filter(known);
  if (!needs.length) return null;
  const low = Math.log(Math.min(...needs) * 0.8);
  const high = Math.log(Math.max(...needs) * 1.25);
  const cards = Object.entries(DATA.cards).sort((a, b) => a[1] - b[1]);
  const options = [
    ["", "any"],
    ...cards.map(([name, size]) => [name, `${name} · ${bytes(size, "GiB")} GiB`]),
    ["own", "as the slider says"],
  ];
  const said = make("output", { class: "fits", "aria-live": "polite" });
  const slider = make("input", {
    type: "range",
    min: 0,
    max: STEPS,
    step: 1,
    value: STEPS,
    "aria-label": "Memory of the card",
  });
  const hide = make("input", { type: "checkbox", onchange: () => set(group.state.budget) });
  const card = select("Fits on my card", options, "", (name) => {
    if (name === "own") return move();
    const size = name ? DATA.cards[name] : Infinity;
    slider.value = name ? Math.round(((Math.log(size) - low) / (high - low)) * STEPS) : STEPS;
    return set(size, name);
  });

  function move() {
    card.querySelector("select").value = "own";
    set(Math.exp(low + (slider.value / STEPS) * (high - low)), "own");
  }

  function set(budget, name) {
    group.state.budget = budget;
    group.state.hideUnfit = hide.checked;
    const rows = group.rows();
    const fit = rows.filter((row) => group.fits(row)).length;
    const size =
      budget === Infinity
        ? ""
        : `${bytes(budget, budget < GIB ? "MiB" : "GiB")} ${budget < GIB ? "MiB" : "GiB"}: `;
    said.textContent =
      budget === Infinity ? "no limit" : `${size}${grouped(fit)} of ${grouped(rows.length)} fit`;
    slider.setAttribute("aria-valuetext", said.textContent);
    if (name !== undefined) slider.classList.toggle("off", name === "");
    group.budgetChanged();
  }

  slider.addEventListener("input", move);
  set(Infinity, "");
  group.recount = () => set(group.state.budget);
  return make(
    "div",
    { class: "budget-control" },
    card,
    slider,
    said,
    make("label", { class: "check" }, hide, "hide the others"),
  );
}

// What the numbers of the control are, in words.
function budgetNote(group) {
  if (!group.allRows().some((row) => known(row.need))) return null;
  const forecast = group.data.kind === "forecast";
  const need = forecast
    ? "what training, evaluation and probe reserve at most"
    : "the most of training, evaluation and probe: reserved where the meter was CUDA's, else allocated";
  return make(
    "p",
    { class: "hint" },
    `Fits: ${need}, against the card's memory as torch sees it, ` +
      "less a CUDA context (0.3 to 0.75 GiB)." +
      (forecast ? "" : " It holds for the batch and length that were run."),
  );
}
