// Elements. Whatever is put into them is text: nothing here parses HTML.

const DATA = JSON.parse(document.getElementById("data").textContent);

// A run's path is task/model/method[/setting ...]/seed; a run is ok where no outcome is named.
for (const run of DATA.groups.flatMap((group) => group.runs)) {
  const [task, model, ...rest] = run.path.split("/");
  const seed = rest.pop();
  Object.assign(run, {
    task,
    model,
    seed: Number(seed.slice(1)),
    method: run.method ?? rest.join(" "),
    outcome: run.outcome ?? "ok",
  });
}
const pooled = (number) => (Number.isInteger(number) ? DATA.pool[number] : null);

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

// make("p", {class: "note"}, "text", element, ...) -> HTML element
function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

// The same for SVG.
function draw(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

// A labelled control: select(label, [[value, text], ...], value, change) -> [label, select]
function select(label, options, value, change) {
  const control = make("select", { onchange: () => change(control.value) });
  for (const [each, text] of options) control.append(make("option", { value: each }, text));
  control.value = value;
  return make("label", { class: "control" }, make("span", {}, label), control);
}

function percentOf(share) {
  return `${(100 * share).toFixed(2)}%`;
}

// The box beside the pointer.
const tip = {
  show(event, lines) {
    const box = document.getElementById("tip");
    box.replaceChildren(...lines.map((line, i) => make(i ? "span" : "strong", {}, line)));
    box.hidden = false;
    const { clientWidth: width, clientHeight: height } = document.documentElement;
    const left = Math.min(event.clientX + 14, width - box.offsetWidth - 8);
    const below = event.clientY + 16 + box.offsetHeight < height;
    box.style.left = `${Math.max(8, left)}px`;
    box.style.top = `${below ? event.clientY + 16 : event.clientY - box.offsetHeight - 12}px`;
  },
  hide() {
    document.getElementById("tip").hidden = true;
  },
};
