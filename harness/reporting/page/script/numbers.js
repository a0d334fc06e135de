// Numbers as people read them: the same digits as in the other tables of the report.

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const NONE = "–";

const known = (value) => value !== null && value !== undefined;

function grouped(value, digits = 0) {
  return value.toLocaleString("en-US", {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}

// Bytes in "GiB" or "MiB", without the unit.
function bytes(value, unit) {
  if (!known(value)) return NONE;
  if (unit === "MiB") return grouped(value / MIB, 1);
  return (value / GIB).toFixed(Math.abs(value) >= 10 * GIB ? 2 : 3);
}

// The unit that suits the largest of some numbers of bytes.
function unitOf(values) {
  return Math.max(0, ...values) >= 10 * GIB ? "GiB" : "MiB";
}

function score(value, task) {
  if (!known(value)) return NONE;
  if (!task || task.fraction !== false) return (100 * value).toFixed(2);
  return Math.abs(value) >= 10 ? value.toFixed(2) : value.toFixed(3);
}

// A number of parameters: in millions, whole where they are few.
function millions(value) {
  if (!known(value)) return NONE;
  if (value < 1e4) return grouped(value);
  return value >= 1e7 ? `${(value / 1e6).toFixed(1)}M` : `${(value / 1e6).toFixed(3)}M`;
}

function tera(value) {
  if (!known(value)) return NONE;
  return value >= 1e14 ? grouped(value / 1e12) : String(Number((value / 1e12).toPrecision(3)));
}

function seconds(value) {
  if (!known(value)) return NONE;
  if (value < 1) return `${(1000 * value).toFixed(value < 0.1 ? 1 : 0)} ms`;
  if (value < 120) return `${value.toFixed(1)} s`;
  const minutes = Math.round(value / 60);
  return minutes < 120 ? `${minutes} min` : `${(minutes / 60).toFixed(1)} h`;
}

const fixed = (digits) => (value) => (known(value) ? value.toFixed(digits) : NONE);

// A difference with its sign.
function signed(value, show) {
  return `${value < 0 ? "−" : "+"}${show(Math.abs(value))}`;
}

// "65 % less", "1.8 times as much"
function compared(value, base, less = "less", more = "more") {
  const ratio = value / base;
  if (Math.abs(ratio - 1) < 0.0005) return "the same";
  if (ratio >= 2) return `${ratio.toFixed(1)} times as ${more === "more" ? "much" : more}`;
  const share = 100 * Math.abs(1 - ratio);
  const digits = share < 10 || share >= 99.5 ? 1 : 0;
  return `${share.toFixed(digits)} % ${ratio < 1 ? less : more}`;
}

function plural(count, word) {
  return `${grouped(count)} ${word}${count === 1 ? "" : "s"}`;
}

// Names in a sentence; of many the first ones.
function named(names, most) {
  const more = names.length - most;
  return more > 0
    ? `${names.slice(0, most).join(", ")} and ${grouped(more)} more`
    : names.join(", ");
}
