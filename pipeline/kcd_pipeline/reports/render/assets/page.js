// Tables that sort and say that they scroll. Without this script, the page still has all its numbers.
(() => {
  "use strict";

  const worth = (row, column) => {
    const cell = row.cells[column];
    const value = cell.dataset.value;
    return value === undefined ? cell.textContent.trim() : value === "" ? null : Number(value);
  };

  // Missing values stay at the end in either direction.
  const compare = (one, other, sign) => {
    if (one === null || other === null) return (one === null) - (other === null);
    if (typeof one === "number" && typeof other === "number") return sign * (one - other);
    return sign * String(one).localeCompare(String(other), undefined, { numeric: true });
  };

  const sortBy = (table, heading, column) => {
    const sign = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of table.tHead.querySelectorAll("th")) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    const rows = [...table.tBodies[0].rows];
    rows.sort((one, other) => compare(worth(one, column), worth(other, column), sign));
    table.tBodies[0].append(...rows);
  };

  const makeSortable = (table) => {
    if (table.tBodies[0].rows.length < 2) return;
    [...table.tHead.rows[0].cells].forEach((heading, column) => {
      if (!heading.textContent.trim()) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      button.addEventListener("click", () => sortBy(table, heading, column));
      heading.append(button);
    });
  };

  const showCue = (region) => {
    const hidden = region.scrollWidth - region.clientWidth;
    const cue = region.nextElementSibling;
    region.classList.toggle("more-right", hidden - region.scrollLeft > 2);
    if (hidden > 2) region.tabIndex = 0;
    else region.removeAttribute("tabindex");
    if (cue && cue.classList.contains("cue")) cue.classList.toggle("shown", hidden > 2);
  };

  const watchScroll = (region) => {
    const update = () => showCue(region);
    region.addEventListener("scroll", update, { passive: true });
    new ResizeObserver(update).observe(region);
    update();
  };

  const numbers = JSON.parse(document.getElementById("numbers-data").textContent);

  const cellOf = (tag, text, attributes = {}) => {
    const cell = document.createElement(tag);
    cell.textContent = text;
    for (const [name, value] of Object.entries(attributes)) cell.setAttribute(name, value);
    return cell;
  };

  const numbersTable = (columns, caption) => {
    const table = document.createElement("table");
    table.className = "sortable";
    table.append(cellOf("caption", caption));
    const head = table.createTHead().insertRow();
    head.append(...columns.map((column) => cellOf("th", column.heading, { scope: "col" })));
    const body = table.createTBody();
    columns[0].rows.forEach((_, place) => {
      const texts = columns.map((column) => column.texts[column.rows[place]]);
      const cells = texts.map((text, at) => (at ? cellOf("td", text) : cellOf("th", text, { scope: "row" })));
      body.insertRow().append(...cells);
    });
    return table;
  };

  // A table is made when its numbers are asked for: ready tables of many runs would be most of the page.
  const showNumbers = (details) => {
    if (!details.open || details.querySelector("table")) return;
    const caption = `Numbers of the chart: ${details.dataset.caption}`;
    const region = document.createElement("div");
    region.className = "scroll";
    region.setAttribute("role", "region");
    region.setAttribute("aria-label", caption);
    region.append(numbersTable(numbers[details.dataset.numbers], caption));
    details.append(region);
    makeSortable(region.firstChild);
    watchScroll(region);
  };

  // Switches all arms at once, by the event that each switch has
  const switchArms = (shown) => {
    const boxes = [...document.querySelectorAll("input[data-arm]")];
    boxes.forEach((box) => { box.checked = shown; });
    boxes[0].dispatchEvent(new Event("change", { bubbles: true }));
  };

  for (const button of document.querySelectorAll("button[data-arms]")) {
    button.addEventListener("click", () => switchArms(button.dataset.arms === "all"));
  }
  for (const details of document.querySelectorAll("details[data-numbers]")) {
    details.addEventListener("toggle", () => showNumbers(details));
  }
  document.querySelectorAll("table.sortable").forEach(makeSortable);
  document.querySelectorAll(".scroll").forEach(watchScroll);
})();
