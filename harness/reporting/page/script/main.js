// The whole page: groups behind tabs, the theme, redrawing when the width changes.

const made = new Map();

function showGroup(number) {
  DATA.groups.forEach((data, i) => {
    const section = document.getElementById(`group-${i}`);
    section.hidden = i !== number;
    if (DATA.groups.length > 1) section.setAttribute("role", "tabpanel");
    if (i === number && !made.has(i)) made.set(i, makeGroup(data, section));
  });
  for (const tab of document.querySelectorAll("#tabs [role=tab]")) {
    const chosen = Number(tab.dataset.group) === number;
    tab.setAttribute("aria-selected", chosen);
    tab.tabIndex = chosen ? 0 : -1;
  }
}

function makeTabs() {
  const place = document.getElementById("tabs");
  if (DATA.groups.length < 2) return;
  if (DATA.groups.length > 6) {
    place.append(
      select(
        "Comparison",
        DATA.groups.map((data, i) => [i, data.name]),
        0,
        (i) => showGroup(Number(i)),
      ),
    );
    return;
  }
  place.setAttribute("role", "tablist");
  place.setAttribute("aria-label", "Comparisons");
  DATA.groups.forEach((data, i) =>
    place.append(
      make(
        "button",
        {
          type: "button",
          role: "tab",
          "data-group": i,
          "aria-controls": `group-${i}`,
          onclick: () => showGroup(i),
        },
        data.name,
      ),
    ),
  );
  place.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const tabs = [...place.children];
    const next =
      tabs[(tabs.indexOf(document.activeElement) + (step ?? 0) + tabs.length) % tabs.length];
    if (!step) return;
    next.focus();
    next.click();
  });
}

function cycleTheme() {
  const root = document.documentElement;
  const next = { undefined: "light", light: "dark" }[root.dataset.theme];
  if (next) root.dataset.theme = next;
  else delete root.dataset.theme;
  document.getElementById("theme").textContent = `Theme: ${next ?? "system"}`;
}

let drawnWidth = window.innerWidth;
window.addEventListener("resize", () => {
  if (window.innerWidth === drawnWidth) return;
  drawnWidth = window.innerWidth;
  window.requestAnimationFrame(() => {
    for (const group of made.values()) plot(group);
    for (const place of document.querySelectorAll("dialog [data-plot]"))
      place.plot(place.clientWidth);
  });
});
document.getElementById("theme").addEventListener("click", cycleTheme);
document.getElementById("record").addEventListener("click", (event) => {
  if (event.target === event.currentTarget) event.target.close();
});
document.addEventListener("scroll", tip.hide, { passive: true });
makeTabs();
showGroup(0);
