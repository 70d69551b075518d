// Draws each chart of the page in its element, in the colours of the page, and lets arms be switched on and off.
// The page holds:
//   <script type="application/json" id="charts-data">      what charts_json() returns
//   <div data-chart="NAME"></div>                          where a chart is drawn
//   <input type="checkbox" data-arm="NUMBER">              switches an arm in all charts
//   <select data-choose="NAME">                            chooses what a chart shows
// The nearest element around a chart with the role img has its finding as aria-label, and a figcaption may say it too.
const page = JSON.parse(document.getElementById("charts-data").textContent);
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const views = new Map();

// data sets come by columns, which is half as long
function rowsOf(columns) {
  const names = Object.keys(columns);
  const length = names.length ? columns[names[0]].length : 0;
  return Array.from({ length }, (_, row) => Object.fromEntries(names.map((name) => [name, columns[name][row]])));
}
const datasets = Object.fromEntries(Object.entries(page.datasets).map(([name, columns]) => [name, rowsOf(columns)]));

function hiddenArms() {
  const boxes = document.querySelectorAll("input[data-arm]");
  return Array.from(boxes).filter((box) => !box.checked).map((box) => Number(box.dataset.arm));
}

function say(name, number) {
  const finding = page.findings[name]?.[number];
  if (!finding) return;
  const element = document.querySelector(`[data-chart="${name}"]`);
  element.closest("[role=img]")?.setAttribute("aria-label", finding);
  const caption = element.closest("figure")?.querySelector("figcaption");
  if (caption) caption.textContent = finding;
}

// a view keeps its data, so each gets its own copy
function specOf(name) {
  const spec = structuredClone(page.specs[name]);
  spec.datasets = Object.fromEntries(page.used[name].map((each) => [each, structuredClone(datasets[each])]));
  for (const param of spec.params) {
    if (param.name === "hidden") param.value = hiddenArms();
    const select = document.querySelector(`select[data-choose="${name}"]`);
    if (param.name === "chosen" && select) param.value = Number(select.value);
  }
  return spec;
}

async function draw(element) {
  const name = element.dataset.chart;
  views.get(name)?.finalize();
  const result = await vegaEmbed(element, specOf(name), {
    actions: false,
    ast: true, // expressions are interpreted, so that the page needs no right to compile code
    config: dark.matches ? page.themes.dark : page.themes.light,
    logLevel: 1, // errors only: an axis without data, when all arms are switched off, is no matter for a warning
    renderer: "svg",
    tooltip: { theme: dark.matches ? "dark" : "light" },
  });
  views.set(name, result);
}

async function drawAll() {
  for (const element of document.querySelectorAll("[data-chart]")) await draw(element);
  document.documentElement.dataset.charts = "drawn";
}

function signal(name, key, value) {
  const view = views.get(name)?.view;
  if (view && page.specs[name].params.some((param) => param.name === key)) view.signal(key, value).runAsync();
}

document.addEventListener("change", (event) => {
  if (event.target.matches("input[data-arm]")) {
    const hidden = hiddenArms();
    for (const name of views.keys()) signal(name, "hidden", hidden);
  } else if (event.target.matches("select[data-choose]")) {
    signal(event.target.dataset.choose, "chosen", Number(event.target.value));
    say(event.target.dataset.choose, event.target.value);
  }
});
dark.addEventListener("change", drawAll);
drawAll();
