// What the mouse does in a picture: places, windows, slices, zoom.

const NOTCH = 50; // of a wheel, in pixels: less is a finger on a pad, and adds up

// Where a point of the screen lies on the two axes of a plane, in voxels from the edge of the first.
function placeUnder(viewer, {plane, canvas}, {clientX, clientY}) {
  const box = canvas.getBoundingClientRect(), seen = frame(viewer, plane);
  const x = seen.x + (clientX - box.left) / box.width * seen.columns;
  const y = seen.y + (clientY - box.top) / box.height * seen.rows;
  const down = plane.upwards ? viewer.scene.shape[plane.down] - y : y;
  return [[plane.across, x], [plane.down, down]];
}

function voxelUnder(viewer, pane, point) {
  const {scene: {shape}, state} = viewer, voxel = [...state.voxel];
  for (const [axis, place] of placeUnder(viewer, pane, point)) {
    voxel[axis] = Math.max(0, Math.min(shape[axis] - 1, Math.floor(place)));
  }
  return voxel;
}

// Zoom so that `place` (see `placeUnder`) comes to lie under a point of the screen.
function hold(viewer, pane, zoom, place, point) {
  const {state} = viewer, centre = [...state.centre];
  if (state.zoom === ZOOMS[0]) centre[pane.plane.through] = state.voxel[pane.plane.through];
  setZoom(viewer, zoom, centre);
  const there = placeUnder(viewer, pane, point);
  place.forEach(([axis, wanted], i) => { state.centre[axis] += wanted - there[i][1]; });
  setZoom(viewer, zoom, state.centre);
}

function listenToMouse(viewer, pane) {
  const {canvas, plane} = pane, {state} = viewer;
  let windowed = null, held = null; // what a drag with the right or the middle button began with
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("mousedown", (event) => {
    if (event.button === 1) event.preventDefault(); // the page would scroll by itself
  });
  canvas.addEventListener("pointerenter", () => {
    // Keys and wheel belong to the pane under the pointer, unless something is being typed. Where there is
    // more on the page, that scrolls under the pointer: first somebody must have begun with this viewer.
    const at = document.activeElement;
    if (!viewer.alone && !viewer.box.contains(at)) return;
    if (!at?.matches("select, input[type=number], input[type=search]")) canvas.focus({preventScroll: true});
  });
  canvas.addEventListener("pointerdown", (event) => {
    canvas.focus({preventScroll: true});
    if (event.pointerType === "touch") return;
    canvas.setPointerCapture(event.pointerId);
    if (event.button === 1) {
      held = placeUnder(viewer, pane, event);
    } else if (event.button === 2 || event.shiftKey) {
      windowed = {x: event.clientX, y: event.clientY, ...state.windows[state.channel]};
    } else {
      goTo(viewer, voxelUnder(viewer, pane, event));
    }
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerType === "touch") return;
    if (held) {
      hold(viewer, pane, state.zoom, held, event);
    } else if (windowed) {
      const width = Math.max(windowed.high - windowed.low, NARROWEST);
      const half = width / 2 * Math.exp((event.clientX - windowed.x) / 200);
      const level = (windowed.low + windowed.high) / 2 + (event.clientY - windowed.y) * width / 200;
      setWindow(viewer, {low: level - half, high: level + half});
    } else if (event.buttons & 1) {
      goTo(viewer, voxelUnder(viewer, pane, event));
    } else {
      tell(viewer, voxelUnder(viewer, pane, event));
    }
  });
  for (const kind of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(kind, () => { windowed = held = null; });
  }
  canvas.addEventListener("pointerleave", () => tell(viewer, state.voxel));
  let rolled = 0;
  canvas.addEventListener("wheel", (event) => {
    if (document.activeElement !== canvas) return; // the page scrolls
    event.preventDefault();
    const notch = event.deltaMode || Math.abs(event.deltaY) >= NOTCH;
    if (event.ctrlKey) { // or two fingers on a pad
      const share = notch ? Math.sign(event.deltaY) : event.deltaY / 100;
      hold(viewer, pane, state.zoom * 2 ** -share, placeUnder(viewer, pane, event), event);
      return;
    }
    rolled = notch ? Math.sign(event.deltaY) * NOTCH : rolled + event.deltaY;
    const slices = Math.trunc(rolled / NOTCH);
    rolled -= slices * NOTCH;
    if (slices) move(viewer, plane.through, state.voxel[plane.through] - slices);
  }, {passive: false});
}
