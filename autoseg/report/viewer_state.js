// What a viewer shows: the voxel it is at, how grey, how close, in which styles; and what changes it.

const STYLES = ["fill", "outline", "fill and outline", "hidden"];
const OVERLAID = "overlaid", BESIDE = "side by side", DIFFERENT = "differences";
const ZOOMS = [1, 2, 4, 8];

function newState(scene, present) {
  const {layers, start, windows} = scene;
  return {
    voxel: [...start], low: windows[0].low, high: windows[0].high,
    arrangement: OVERLAID, plane: "all", zoom: 1, centre: [...start], opacity: 0.45, cross: true, labels: true,
    on: present.map(() => true),
    styles: layers.map((_, i) => layers.length === 1 ? STYLES[2] : STYLES[[1, 0][i] ?? 3]),
  };
}

// Greys and targets are looked up anew.
function refresh(viewer) {
  const {image, volumes, present, state} = viewer;
  viewer.greys = greysOf(image.values, state.low, state.high);
  viewer.numbers = volumes.map((volume) => targetNumbers(volume, present, state.on));
  repaint(viewer);
}

// Everything is drawn anew; `redraw` alone keeps the slices that have not changed.
function repaint(viewer) {
  viewer.version++;
  redraw(viewer);
}

function redraw(viewer) {
  if (viewer.waiting) return;
  viewer.waiting = true;
  requestAnimationFrame(() => {
    viewer.waiting = false;
    follow(viewer);
    viewer.panes.forEach((pane) => draw(viewer, pane));
    tell(viewer, viewer.state.voxel);
  });
}

// What is zoomed to stays where it is until the crosshair leaves it.
function follow(viewer) {
  const {state} = viewer;
  const lost = state.voxel.some((v, axis) => {
    const [first, count] = visible(viewer, axis);
    return v + 0.5 < first || v + 0.5 > first + count;
  });
  if (!lost) return;
  state.centre = [...state.voxel];
  viewer.version++;
}

// The part of an axis that is shown: first voxel and how many, in fractions.
function visible({scene: {shape}, state}, axis) {
  const count = shape[axis] / state.zoom;
  const first = state.centre[axis] + 0.5 - count / 2;
  return [Math.max(0, Math.min(shape[axis] - count, first)), count];
}

// The same in columns and rows of a plane's picture.
function frame(viewer, {across, down, upwards}) {
  const [x, columns] = visible(viewer, across), [first, rows] = visible(viewer, down);
  return {x, y: upwards ? viewer.scene.shape[down] - first - rows : first, columns, rows};
}

function move(viewer, axis, position) {
  viewer.state.voxel[axis] = Math.max(0, Math.min(viewer.scene.shape[axis] - 1, position));
  redraw(viewer);
}

function goTo(viewer, voxel) {
  viewer.state.voxel = [...voxel];
  redraw(viewer);
}

function setWindow(viewer, low, high) {
  const {controls, scene, state} = viewer;
  [state.low, state.high] = [low, Math.max(high, low + 1e-6)];
  controls.level.value = Number(((low + high) / 2).toPrecision(4));
  controls.width.value = Number((high - low).toPrecision(4));
  const chosen = scene.windows.findIndex((w) => w.low === low && w.high === high);
  controls.window.value = chosen < 0 ? "own" : String(chosen);
  refresh(viewer);
}

function setZoom(viewer, zoom, centre) {
  const {controls, state} = viewer;
  state.zoom = zoom ?? ZOOMS[0];
  state.centre = [...centre];
  controls.zoom.value = String(state.zoom);
  repaint(viewer);
}

function toggle(viewer, name) {
  const {controls, state} = viewer;
  state[name] = !state[name];
  controls[name].checked = state[name];
  repaint(viewer);
}

// Outlines of all layers that are not hidden, on; or off where all have them.
function cycleOutlines(viewer) {
  const {controls, state} = viewer;
  const shown = state.styles.filter((style) => style !== "hidden");
  const next = shown.every((style) => style.endsWith("outline")) ? STYLES[0] : STYLES[2];
  state.styles = state.styles.map((style) => style === "hidden" ? style : next);
  controls.styles.forEach((select, i) => { select.value = state.styles[i]; });
  repaint(viewer);
}

function setOpacity(viewer, opacity) {
  viewer.state.opacity = Math.max(0, Math.min(1, opacity));
  viewer.controls.opacity.value = viewer.state.opacity;
  repaint(viewer);
}
