// Draws every chart; draws again when the reader's screen turns dark or light, or goes to paper.
const dark = matchMedia("screen and (prefers-color-scheme: dark)");
const touch = matchMedia("(pointer: coarse)").matches;

function draw() {
  for (const chart of document.querySelectorAll("figure.chart")) {
    const text = chart.querySelector("script").textContent;
    const shaded = dark.matches ? text.replace(/#[0-9a-f]{6}/g, (colour) => DARK[colour] ?? colour) : text;
    const { data, layout } = JSON.parse(shaded);
    for (const trace of data) trace.x ??= data[0].x; // series that share their dates
    if (touch) layout.dragmode = false; // a finger on a chart scrolls the page
    Plotly.react(chart.querySelector(".drawing"), data, layout, { displayModeBar: false, responsive: true });
  }
}

dark.addEventListener("change", draw);
draw();
