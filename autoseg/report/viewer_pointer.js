// What pointer, wheel and keys do in a viewer.

const HELP = [
  "Click or drag in a picture: all planes go there. Wheel, Page Up, Page Down or the slider: through the slices. Arrow keys: to the next voxel.",
  "Ctrl and wheel, or Z: closer to the crosshair, up to 8 times, and back.",
  "Drag with the right button, or with Shift: window (to the side) and level (up and down). Keys 1 to 9: the windows of the list.",
  "L: labels on and off. X: crosshair. O: outlines. + and -: opacity. A name of the legend: go to that target.",
];

function voxelUnder(viewer, {plane, canvas}, event) {
  const {scene: {shape}, state} = viewer;
  const box = canvas.getBoundingClientRect();
  const inside = (place, count) => Math.max(0, Math.min(count - 1, Math.floor(place)));
  const voxel = [...state.voxel], seen = frame(viewer, plane);
  const x = seen.x + (event.clientX - box.left) / box.width * seen.columns;
  const y = seen.y + (event.clientY - box.top) / box.height * seen.rows;
  const row = inside(y, shape[plane.down]);
  voxel[plane.across] = inside(x, shape[plane.across]);
  voxel[plane.down] = plane.upwards ? shape[plane.down] - 1 - row : row;
  return voxel;
}

function listenToPointer(viewer, pane) {
  const {canvas, plane} = pane, {state} = viewer;
  let dragged = null; // where a drag for the window began
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("pointerenter", () => {
    // Keys and wheel belong to the pane under the pointer, unless something is being typed.
    if (!document.activeElement?.matches("select, input[type=number], input[type=search]")) {
      canvas.focus({preventScroll: true});
    }
  });
  canvas.addEventListener("pointerdown", (event) => {
    canvas.focus({preventScroll: true});
    canvas.setPointerCapture(event.pointerId);
    if (event.button === 2 || event.shiftKey) {
      dragged = {x: event.clientX, y: event.clientY, low: state.low, high: state.high};
    } else {
      goTo(viewer, voxelUnder(viewer, pane, event));
    }
  });
  canvas.addEventListener("pointermove", (event) => {
    if (dragged) {
      const unit = Math.max(dragged.high - dragged.low, 1e-6) / 200;
      const half = (dragged.high - dragged.low) / 2 * Math.exp((event.clientX - dragged.x) / 200);
      const level = (dragged.low + dragged.high) / 2 + (event.clientY - dragged.y) * unit;
      setWindow(viewer, level - half, level + half);
    } else if (event.buttons & 1) {
      goTo(viewer, voxelUnder(viewer, pane, event));
    } else {
      tell(viewer, voxelUnder(viewer, pane, event));
    }
  });
  for (const kind of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(kind, () => { dragged = null; });
  }
  canvas.addEventListener("pointerleave", () => tell(viewer, state.voxel));
  canvas.addEventListener("wheel", (event) => {
    if (document.activeElement !== canvas) return; // the page scrolls
    event.preventDefault();
    if (event.ctrlKey) {
      const next = ZOOMS[ZOOMS.indexOf(state.zoom) - Math.sign(event.deltaY)];
      if (next) setZoom(viewer, next, voxelUnder(viewer, pane, event));
      return;
    }
    move(viewer, plane.through, state.voxel[plane.through] - Math.sign(event.deltaY));
  }, {passive: false});
}

function listenToArrows(viewer, {canvas, plane}) {
  canvas.addEventListener("keydown", (event) => {
    const upwards = plane.upwards ? 1 : -1;
    const steps = {
      ArrowLeft: [plane.across, -1], ArrowRight: [plane.across, 1],
      ArrowUp: [plane.down, upwards], ArrowDown: [plane.down, -upwards],
      PageUp: [plane.through, 1], PageDown: [plane.through, -1],
    };
    if (!steps[event.key]) return;
    const [axis, step] = steps[event.key];
    event.preventDefault();
    move(viewer, axis, viewer.state.voxel[axis] + step);
  });
}

function listenToKeys(viewer) {
  const {root, scene, state} = viewer;
  root.addEventListener("keydown", (event) => {
    if (/^(INPUT|SELECT)$/.test(event.target.tagName) || event.ctrlKey || event.metaKey || event.altKey) return;
    const window_ = scene.windows[Number(event.key) - 1];
    if (window_) setWindow(viewer, window_.low, window_.high);
    else if (event.key === "l") toggle(viewer, "labels");
    else if (event.key === "x") toggle(viewer, "cross");
    else if (event.key === "z") setZoom(viewer, ZOOMS[ZOOMS.indexOf(state.zoom) + 1], state.voxel);
    else if (event.key === "o") cycleOutlines(viewer);
    else if (event.key === "+" || event.key === "-") {
      setOpacity(viewer, state.opacity + (event.key === "+" ? 0.1 : -0.1));
    }
  });
}
