"use strict";
// Plotly draws and turns; here is what it has no controls for: what is shown where, views from the patient's
// sides, keys, scenes that move together. World axes in mm: x to the patient's left, y to the back, z to the head.

const GHOST = 0.35, TURN = 0.1; // opacity of the first source around the others; radians of an arrow key
const VIEWS = { // seen from where, and what is up
  front: [[0, -2, 0], [0, 0, 1]],
  back: [[0, 2, 0], [0, 0, 1]],
  left: [[2, 0, 0], [0, 0, 1]],
  right: [[-2, 0, 0], [0, 0, 1]],
  top: [[0, 0, 2], [0, -1, 0]],
};

const [plot, choice, opacity] = ["plot", "layout", "opacity"].map(id => document.getElementById(id));
const switches = [...document.querySelectorAll("tbody input")];
const { data, layout } = JSON.parse(document.getElementById("figure").textContent);
const sources = layout.meta, scenes = Object.keys(layout).filter(key => key.startsWith("scene"));
const point = ([x, y, z]) => ({ x, y, z });
let panes, shown, fit; // the scenes that are drawn, their layout, and how much smaller narrow ones are
let waiting = false, moving = false;
async function show() {
  const together = choice.value === "one over the other", alone = scenes[choice.value];
  const { camera, aspectratio } = shown[panes[0]]; // where Plotly keeps what was turned and zoomed
  const { clientWidth: width, clientHeight: height } = plot, wide = width > height, before = fit;
  panes = together ? [scenes[0]] : alone ? [alone] : scenes;
  fit = Math.min(1, width / height * (wide ? 1 / panes.length : panes.length)); // Plotly looks at heights only
  for (const axis of "xyz") aspectratio[axis] *= fit / before;
  const style = getComputedStyle(document.body), gridcolor = style.getPropertyValue("--line");
  shown = { ...layout, font: { color: style.color }, annotations: [] };
  for (const scene of scenes) delete shown[scene];
  panes.forEach((scene, place) => {
    const [from, to] = [place / panes.length, (place + 1) / panes.length];
    const domain = wide ? { x: [from, to], y: [0, 1] } : { x: [0, 1], y: [1 - to, 1 - from] };
    shown[scene] = structuredClone({ ...layout.scene, camera, aspectratio, domain });
    for (const axis of "xyz") shown[scene][`${axis}axis`].gridcolor = gridcolor;
    const text = together ? `${sources[0]} see-through, ${sources.slice(1).join(", ")}` : sources[scenes.indexOf(scene)];
    shown.annotations.push({
      text, x: domain.x[0], y: domain.y[1], xshift: 8, yshift: -4, xanchor: "left", yanchor: "top",
      xref: "paper", yref: "paper", showarrow: false, font: { size: 15 },
    });
  });
  for (const trace of data) {
    const [target, source] = trace.meta;
    trace.scene = together ? scenes[0] : scenes[source];
    trace.visible = switches[target].checked;
    trace.opacity = Number(opacity.value) * (together && source === 0 ? GHOST : 1);
  }
  // Plotly keeps no scene without a trace, nor lets go of one among others: each has a point that is nowhere.
  const anchors = panes.map(scene => ({ type: "scatter3d", mode: "markers", x: [null], y: [null], z: [null], scene }));
  const traces = [...data.filter(trace => panes.includes(trace.scene)), ...anchors], fresh = plot.dataset.panes !== panes.join();
  if (fresh) { Plotly.purge(plot); plot.dataset.panes = panes.join(); }
  await Plotly.react(plot, traces, shown, { displayModeBar: false, responsive: true, plotGlPixelRatio: devicePixelRatio });
  if (fresh) for (const event of ["plotly_relayouting", "plotly_relayout"]) plot.on(event, follow);
}

function redraw() { // once for all that changes until the next frame
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; show(); });
}

function begin() { // also again
  [panes, shown, fit] = [[scenes[0]], structuredClone(layout), 1];
  return show();
}

async function look(camera, but = null) { // from there, in every scene
  const others = panes.filter(scene => scene !== but);
  if (moving || !others.length) return;
  moving = true;
  await Plotly.relayout(plot, Object.fromEntries(others.map(scene => [`${scene}.camera`, structuredClone(camera)])));
  moving = false;
}

const follow = change => scenes.filter(name => `${name}.camera` in change).forEach(name => look(change[`${name}.camera`], name));

// In steps of Plotly's own, which wheels are; a new aspect ratio would build all surfaces anew.
function zoom(deltaY, but = null) {
  for (const canvas of plot.querySelectorAll("canvas")) {
    if (canvas !== but) canvas.dispatchEvent(new WheelEvent("wheel", { deltaY, bubbles: true, cancelable: true }));
  }
}

function turn(right, up) { // radians
  const camera = shown[panes[0]].camera;
  const [eye, above, centre] = ["eye", "up", "center"].map(name => Object.values(camera[name]));
  const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
  const unit = a => a.map(part => part / Math.hypot(...a));
  const away = eye.map((part, axis) => part - centre[axis]), length = Math.hypot(...away);
  const side = unit(cross(above, away)), upwards = unit(cross(away, side));
  const near = unit(unit(away).map((part, axis) => part - Math.tan(right) * side[axis] - Math.tan(up) * upwards[axis]));
  look({ ...camera, eye: point(near.map((part, axis) => part * length + centre[axis])), up: point(upwards) });
}

function listen() {
  const keys = {
    ArrowLeft: () => turn(-TURN, 0), ArrowRight: () => turn(TURN, 0),
    ArrowUp: () => turn(0, TURN), ArrowDown: () => turn(0, -TURN),
    "+": () => zoom(-1), "=": () => zoom(-1), "-": () => zoom(1), "0": begin,
  };
  const on = (selector, act) => document.querySelectorAll(selector).forEach(each => { each.onclick = () => act(each.dataset); });
  on("[data-view]", ({ view }) => look({ ...layout.scene.camera, eye: point(VIEWS[view][0]), up: point(VIEWS[view][1]) }));
  on("[data-zoom]", ({ zoom: deltaY }) => zoom(Number(deltaY)));
  on("[data-all]", ({ all }) => { switches.forEach(each => { each.checked = all === "on"; }); redraw(); });
  plot.addEventListener("keydown", event => { if (keys[event.key]) { event.preventDefault(); keys[event.key](); } });
  plot.addEventListener("wheel", event => { if (event.isTrusted) zoom(event.deltaY, event.target); }, { passive: true });
  for (const control of [choice, opacity, ...switches]) control.addEventListener("input", redraw);
  for (const query of ["(prefers-color-scheme: dark)", "(orientation: portrait)"]) matchMedia(query).addEventListener("change", redraw);
}

async function start() {
  Plotly.setPlotConfig({ logging: 0 }); // else it warns of its own zoom steps
  if (document.createElement("canvas").getContext("webgl")) await begin().then(listen);
  else document.getElementById("trouble").hidden = false;
  document.body.dataset.ready = "true";
}

start();
