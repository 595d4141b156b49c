// What a viewer shows: the voxel it is at, how grey, how close, in which styles; and what changes it.

const STYLES = ["fill", "outline", "fill and outline", "hidden"];
const OVERLAID = "overlaid", BESIDE = "side by side", DIFFERENT = "differences";
const NARROWEST = 1e-12; // width of a window
const ZOOMS = [1, 2, 4, 8]; // of the list; fingers and wheel stop in between, too

function newState(scene, present) {
  const {channels, layers, start} = scene;
  return {
    voxel: [...start],
    channel: 0, windows: channels.map(({windows: [{low, high}]}) => ({low, high})), // each its own
    arrangement: OVERLAID, plane: "all", zoom: 1, centre: [...start], opacity: 0.45, cross: true, labels: true,
    on: present.map(() => true),
    styles: layers.map((_, i) => layers.length === 1 ? STYLES[2] : STYLES[[1, 0][i] ?? 3]),
  };
}

// Greys and targets are looked up anew.
function refresh(viewer) {
  const {images, volumes, present, state} = viewer;
  const {low, high} = state.windows[state.channel];
  viewer.greys = greysOf(images[state.channel].values, low, high);
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
    viewer.panes.forEach((pane) => draw(viewer, pane));
    tell(viewer, viewer.state.voxel);
  });
}

// The part of an axis that is shown: first voxel and how many, in fractions.
function visible({scene: {shape}, state}, axis) {
  const count = shape[axis] / state.zoom;
  const first = state.centre[axis] + 0.5 - count / 2;
  return [Math.max(0, Math.min(shape[axis] - count, first)), count];
}

// What is zoomed to stays where it is until the crosshair leaves it.
function follow(viewer) {
  const {state} = viewer;
  state.voxel.forEach((v, axis) => {
    const [first, count] = visible(viewer, axis);
    if (v + 0.5 >= first && v + 0.5 <= first + count) return;
    state.centre[axis] = v;
    viewer.version++;
  });
}

// The same in columns and rows of a plane's picture.
function frame(viewer, {across, down, upwards}) {
  const [x, columns] = visible(viewer, across), [first, rows] = visible(viewer, down);
  return {x, y: upwards ? viewer.scene.shape[down] - first - rows : first, columns, rows};
}

function move(viewer, axis, position) {
  viewer.state.voxel[axis] = Math.max(0, Math.min(viewer.scene.shape[axis] - 1, position));
  follow(viewer);
  redraw(viewer);
}

function goTo(viewer, voxel) {
  viewer.state.voxel = [...voxel];
  follow(viewer);
  redraw(viewer);
}

function setChannel(viewer, channel) {
  const {controls, scene, state} = viewer;
  state.channel = channel;
  if (controls.channel) controls.channel.value = String(channel);
  offer(controls.window, [
    ...scene.channels[channel].windows.map((w, i) => [String(i), `${i + 1}: ${w.name}`]), ["own", "own"],
  ]);
  setWindow(viewer, state.windows[channel]);
}

// Of the channel that is shown.
function setWindow(viewer, {low, high}) {
  const {controls, scene, state} = viewer;
  state.windows[state.channel] = {low, high};
  controls.level.value = Number(((low + high) / 2).toPrecision(4));
  controls.width.value = Number((high - low).toPrecision(4));
  const chosen = scene.channels[state.channel].windows.findIndex((w) => w.low === low && w.high === high);
  controls.window.value = chosen < 0 ? "own" : String(chosen);
  refresh(viewer);
}

function setZoom(viewer, zoom, centre) {
  const {controls, scene: {shape}, state} = viewer;
  state.zoom = Math.max(ZOOMS[0], Math.min(ZOOMS[ZOOMS.length - 1], zoom));
  state.centre = centre.map((place, axis) => {
    const half = shape[axis] / state.zoom / 2;
    return Math.max(half - 0.5, Math.min(shape[axis] - half - 0.5, place));
  });
  const own = ZOOMS.includes(state.zoom) ? [] : [state.zoom];
  offer(controls.zoom, [...ZOOMS, ...own].map((value) => [String(value), `${+value.toFixed(1)} x`]));
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
