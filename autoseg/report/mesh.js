"use strict";
// Surfaces in world coordinates (x to the left of the patient, y to the back, z to the head; mm),
// seen without perspective, so that the scale bar is true everywhere.

const about = JSON.parse(document.getElementById("about").textContent);
const scene = document.getElementById("scene");
const canvas = document.getElementById("surfaces");
const marks = document.getElementById("marks");
const pen = marks.getContext("2d");
const gl = canvas.getContext("webgl", { antialias: true, alpha: true, preserveDrawingBuffer: true });

const WAYS = [["L", [1, 0, 0]], ["R", [-1, 0, 0]], ["P", [0, 1, 0]], ["A", [0, -1, 0]], ["H", [0, 0, 1]], ["F", [0, 0, -1]]];
const VIEWS = { // rows: what of (x, y, z) points right, up, and towards the viewer
  front: [[1, 0, 0], [0, 0, 1], [0, -1, 0]],
  back: [[-1, 0, 0], [0, 0, 1], [0, 1, 0]],
  left: [[0, 1, 0], [0, 0, 1], [1, 0, 0]],
  right: [[0, -1, 0], [0, 0, 1], [-1, 0, 0]],
  top: [[-1, 0, 0], [0, -1, 0], [0, 0, 1]],
};
const SIDE_BY_SIDE = "side by side", ON_TOP = "one over the other";
const GHOST = 0.35; // opacity of the reference around a prediction

const diameter = Math.max(1, Math.hypot(...about.size));
const start = () => ({ turn: VIEWS.front.map(row => [...row]), zoom: diameter / (1.15 * Math.max(1, ...about.size)), shift: [0, 0] });
let view = start();
const shown = about.targets.map(() => true);
let layout = about.sources.length > 1 ? SIDE_BY_SIDE : about.sources[0];
let opacity = 1;
let pieces = [];
let paint = null;

const VERTEX = `
attribute vec3 place; attribute vec3 normal;
uniform mat3 turn; uniform vec3 low, middle; uniform float span; uniform vec2 scale, shift;
varying vec3 facing;
void main() {
  vec3 seen = turn * (low + place * span - middle);
  facing = turn * normal;
  gl_Position = vec4(seen.xy * scale + shift, -seen.z * ${(1 / diameter).toFixed(8)}, 1.0);
}`;
const FRAGMENT = `
precision mediump float;
varying vec3 facing; uniform vec4 colour;
void main() {
  vec3 n = normalize(facing);
  float light = abs(dot(n, normalize(vec3(-0.35, 0.45, 0.82))));
  float shine = pow(max(dot(n, normalize(vec3(-0.2, 0.3, 0.93))), 0.0), 40.0);
  gl_FragColor = vec4(colour.rgb * (0.32 + 0.68 * light) + 0.18 * shine, 1.0) * colour.a;
}`;

function program() {
  const made = gl.createProgram();
  for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    gl.attachShader(made, shader);
  }
  gl.linkProgram(made);
  gl.useProgram(made);
  for (const name of ["place", "normal"]) gl.enableVertexAttribArray(gl.getAttribLocation(made, name));
  const at = name => gl.getUniformLocation(made, name);
  const names = ["turn", "low", "middle", "span", "scale", "shift", "colour"];
  return {
    ...Object.fromEntries(names.map(name => [name, at(name)])),
    place: gl.getAttribLocation(made, "place"), normal: gl.getAttribLocation(made, "normal"),
  };
}

async function unpack() {
  const text = document.getElementById("packed").textContent.trim();
  const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

function load(data) {
  let at = 0;
  const buffer = (kind, bytes) => {
    const made = gl.createBuffer();
    gl.bindBuffer(kind, made);
    gl.bufferData(kind, new Uint8Array(data, at, bytes), gl.STATIC_DRAW);
    at += bytes;
    return made;
  };
  pieces = about.surfaces.map(([source, target, vertices, triangles]) => ({
    source, target, count: 3 * triangles,
    place: buffer(gl.ARRAY_BUFFER, 6 * vertices),
    corners: buffer(gl.ELEMENT_ARRAY_BUFFER, 6 * triangles),
    normal: buffer(gl.ARRAY_BUFFER, 3 * vertices),
  }));
}

const rgb = text => [1, 3, 5].map(at => parseInt(text.slice(at, at + 2), 16) / 255);

function panes() { // what is drawn where: [x from the left, width, name, sources and their opacity]
  if (layout === SIDE_BY_SIDE) {
    const wide = canvas.width > canvas.height * 0.9;
    const share = 1 / about.sources.length;
    return about.sources.map((name, number) => wide
      ? { x: number * share, y: 0, width: share, height: 1, name, sources: [[number, 1]] }
      : { x: 0, y: number * share, width: 1, height: share, name, sources: [[number, 1]] });
  }
  const whole = { x: 0, y: 0, width: 1, height: 1 };
  if (layout === ON_TOP) {
    const order = about.sources.map((_, number) => [number, number ? 1 : GHOST]).reverse();
    return [{ ...whole, name: `${about.sources[0]} see-through, ${about.sources.slice(1).join(", ")}`, sources: order }];
  }
  return [{ ...whole, name: layout, sources: [[about.sources.indexOf(layout), 1]] }];
}

const pixelsPerMm = (width, height) => view.zoom * 0.92 * Math.min(width, height) / diameter;

function draw() {
  const density = window.devicePixelRatio || 1;
  for (const each of [canvas, marks]) {
    each.width = Math.round(scene.clientWidth * density);
    each.height = Math.round(scene.clientHeight * density);
  }
  gl.disable(gl.SCISSOR_TEST); // or only the last pane would be cleared
  gl.clearColor(0, 0, 0, 0);
  gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
  gl.enable(gl.DEPTH_TEST);
  gl.enable(gl.SCISSOR_TEST);
  gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  const turn = view.turn;
  gl.uniformMatrix3fv(paint.turn, false, [0, 1, 2].flatMap(column => turn.map(row => row[column])));
  gl.uniform3fv(paint.low, about.low);
  gl.uniform3fv(paint.middle, about.low.map((low, axis) => low + about.size[axis] / 2));
  gl.uniform1f(paint.span, about.step);
  for (const pane of panes()) {
    const [width, height] = [pane.width * canvas.width, pane.height * canvas.height];
    const [x, y] = [pane.x * canvas.width, (1 - pane.y - pane.height) * canvas.height];
    gl.viewport(x, y, width, height);
    gl.scissor(x, y, width, height);
    const scale = pixelsPerMm(width, height);
    gl.uniform2f(paint.scale, 2 * scale / width, 2 * scale / height);
    gl.uniform2f(paint.shift, 2 * scale * view.shift[0] / width, 2 * scale * view.shift[1] / height);
    for (const [source, share] of pane.sources) {
      const clear = opacity * share;
      gl[clear < 1 ? "enable" : "disable"](gl.BLEND);
      gl.depthMask(clear === 1);
      for (const piece of pieces) {
        if (piece.source !== source || !shown[piece.target]) continue;
        gl.uniform4f(paint.colour, ...rgb(about.targets[piece.target].colour), clear);
        gl.bindBuffer(gl.ARRAY_BUFFER, piece.place);
        gl.vertexAttribPointer(paint.place, 3, gl.UNSIGNED_SHORT, false, 6, 0);
        gl.bindBuffer(gl.ARRAY_BUFFER, piece.normal);
        gl.vertexAttribPointer(paint.normal, 3, gl.BYTE, true, 3, 0);
        gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, piece.corners);
        gl.drawElements(gl.TRIANGLES, piece.count, gl.UNSIGNED_SHORT, 0);
      }
      gl.depthMask(true);
    }
    annotate(pane, pane.x * canvas.width, pane.y * canvas.height, width, height, scale, density);
  }
}

function annotate(pane, x, y, width, height, scale, density) {
  const style = getComputedStyle(document.body);
  pen.fillStyle = pen.strokeStyle = style.color;
  pen.lineWidth = 1.5 * density;
  pen.font = `${14 * density}px ${style.fontFamily}`;
  pen.textAlign = "left";
  pen.textBaseline = "top";
  pen.fillText(pane.name, x + 12 * density, y + 10 * density);
  const wanted = 0.25 * width / scale; // mm
  const power = 10 ** Math.floor(Math.log10(wanted));
  const length = power * [5, 2, 1].find(step => step * power <= wanted);
  const [left, foot] = [x + 14 * density, y + height - 16 * density];
  pen.beginPath();
  pen.moveTo(left, foot - 5 * density);
  pen.lineTo(left, foot);
  pen.lineTo(left + length * scale, foot);
  pen.lineTo(left + length * scale, foot - 5 * density);
  pen.stroke();
  pen.textBaseline = "bottom";
  pen.fillText(`${length >= 1 ? length : length.toFixed(1)} mm`, left, foot - 7 * density);
  const arm = 26 * density;
  const [cx, cy] = [x + width - 2 * arm, y + height - 2 * arm];
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  for (const [letter, way] of WAYS) {
    const [right, up, near] = view.turn.map(row => row.reduce((sum, part, axis) => sum + part * way[axis], 0));
    pen.globalAlpha = near < -0.01 ? 0.35 : 1;
    pen.beginPath();
    pen.moveTo(cx, cy);
    pen.lineTo(cx + right * arm, cy - up * arm);
    pen.stroke();
    if (Math.hypot(right, up) > 0.25) pen.fillText(letter, cx + right * arm * 1.4, cy - up * arm * 1.4);
  }
  pen.globalAlpha = 1;
  if (pane.x + pane.y > 0) pen.fillRect(x, y, pane.x ? density : width, pane.x ? height : density);
}

let waiting = false;
function redraw() {
  if (waiting || !paint) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; draw(); });
}

function rotate(right, up) { // radians, about the axes of the screen
  const [c, s, d, t] = [Math.cos(right), Math.sin(right), Math.cos(up), Math.sin(up)];
  const [a, b, e] = view.turn;
  const near = e.map((part, axis) => c * part - s * a[axis]);
  view.turn = [
    a.map((part, axis) => c * part + s * e[axis]),
    b.map((part, axis) => d * part - t * near[axis]),
    near.map((part, axis) => d * part + t * b[axis]),
  ];
  redraw();
}

function zoom(factor) {
  view.zoom = Math.min(60, Math.max(0.2, view.zoom * factor));
  redraw();
}

function move(right, down) { // pixels of the page
  const pane = panes()[0];
  const scale = pixelsPerMm(pane.width * scene.clientWidth, pane.height * scene.clientHeight);
  view.shift = [view.shift[0] + right / scale, view.shift[1] - down / scale];
  redraw();
}

function listen() {
  const fingers = new Map();
  scene.addEventListener("pointerdown", event => {
    scene.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, event);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    scene.addEventListener(end, event => fingers.delete(event.pointerId));
  }
  const apart = () => { const [a, b] = fingers.values(); return Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY); };
  scene.addEventListener("pointermove", event => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const [right, down] = [event.clientX - before.clientX, event.clientY - before.clientY];
    const gap = fingers.size === 2 ? apart() : 0;
    fingers.set(event.pointerId, event);
    if (fingers.size === 2) { zoom(apart() / Math.max(gap, 1)); move(right / 2, down / 2); }
    else if (event.shiftKey || event.buttons & 6) move(right, down);
    else rotate(right * 0.008, -down * 0.008);
  });
  scene.addEventListener("contextmenu", event => event.preventDefault());
  scene.addEventListener("wheel", event => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY * 0.0015));
  }, { passive: false });
  const keys = {
    ArrowLeft: () => rotate(-0.1, 0), ArrowRight: () => rotate(0.1, 0),
    ArrowUp: () => rotate(0, 0.1), ArrowDown: () => rotate(0, -0.1),
    "+": () => zoom(1.15), "=": () => zoom(1.15), "-": () => zoom(1 / 1.15),
    "0": () => { view = start(); redraw(); },
  };
  scene.addEventListener("keydown", event => {
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
  new ResizeObserver(redraw).observe(scene);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
}

function element(kind, parent, text = "") {
  const made = parent.appendChild(document.createElement(kind));
  made.textContent = text;
  return made;
}

function controls() {
  for (const [name, turn] of Object.entries(VIEWS)) {
    const button = element("button", document.getElementById("views"), name);
    button.onclick = () => { view.turn = turn.map(row => [...row]); redraw(); };
    document.getElementById("views").append(" ");
  }
  const choice = document.getElementById("layout");
  const several = about.sources.length > 1 ? [SIDE_BY_SIDE, ON_TOP] : [];
  for (const name of [...several, ...about.sources]) element("option", choice, name);
  choice.hidden = !several.length;
  choice.onchange = () => { layout = choice.value; redraw(); };
  const slider = document.getElementById("opacity");
  slider.oninput = () => { opacity = Number(slider.value); redraw(); };
  const table = document.getElementById("targets");
  const head = element("tr", element("thead", table));
  element("th", head, "target");
  for (const source of about.sources) element("th", head, `${source}, mL`);
  const body = element("tbody", table);
  const boxes = about.targets.map((target, number) => {
    const row = element("tr", body);
    const label = element("label", element("td", row));
    const box = element("input", label);
    box.type = "checkbox";
    box.checked = true;
    box.onchange = () => { shown[number] = box.checked; redraw(); };
    const colour = element("span", label);
    colour.className = "colour";
    colour.style.background = target.colour;
    element("span", label, target.name);
    for (const ml of target.ml) element("td", row, ml ? format(ml) : "–");
    return box;
  });
  for (const [name, on] of [["all", true], ["none", false]]) {
    document.getElementById(name).onclick = () => {
      boxes.forEach((box, number) => { box.checked = shown[number] = on; });
      redraw();
    };
  }
}

const format = ml => ml.toLocaleString("en", { maximumSignificantDigits: 3, useGrouping: false });

async function begin() {
  controls();
  try {
    if (!gl) throw new Error("this browser draws no WebGL");
    load(await unpack());
    paint = program();
    listen();
    redraw();
  } catch (error) {
    const trouble = document.getElementById("trouble");
    trouble.textContent = `The surfaces cannot be shown: ${error.message}.`;
    trouble.hidden = false;
  }
  document.body.dataset.ready = "true";
}

begin();
