// What keys do, and the list that tells what everything does.

const HELP = [
  ["click, drag, tap", "all planes go there"],
  ["wheel, Page Up, Page Down, slider", "through the slices; with one finger: to the side"],
  ["arrow keys", "to the next voxel"],
  ["Ctrl and wheel, Z, two fingers", "closer, up to 8 times, and back"],
  ["middle button, two fingers", "shift what is zoomed"],
  ["right button, or Shift and drag", "window (to the side) and level (up and down)"],
  ["1 to 9", "the windows of the list"],
  ["C", "the next channel"],
  ["L, X", "labels, crosshair on and off"],
  ["O", "outlines on and off"],
  ["+, -", "opacity"],
  ["a name of the legend", "go to that target"],
  ["?", "this list"],
  ["Escape", "wheel and keys are the page's again, until a click in a picture"],
];

function makeHelp() {
  return make("details", {}, make("summary", {textContent: "mouse, fingers and keys (?)"}),
    make("dl", {}, ...HELP.flatMap(([keys, what]) =>
      [make("dt", {textContent: keys}), make("dd", {textContent: what})])));
}

function explain({help}) {
  help.open = !help.open;
  if (help.open) help.scrollIntoView({block: "nearest"});
}

function zoomOn(viewer) {
  setZoom(viewer, ZOOMS.find((zoom) => zoom > viewer.state.zoom) ?? ZOOMS[0], viewer.state.voxel);
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
  const {box, scene, state} = viewer;
  box.addEventListener("keydown", (event) => {
    if (/^(INPUT|SELECT)$/.test(event.target.tagName) || event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.toLowerCase(); // with Caps Lock, too
    const window_ = scene.channels[state.channel].windows[Number(key) - 1];
    if (window_) setWindow(viewer, window_);
    else if (key === "?") explain(viewer);
    else if (key === "escape") event.target.blur();
    else if (key === "c") setChannel(viewer, (state.channel + 1) % scene.channels.length);
    else if (key === "l" && scene.layers.length) toggle(viewer, "labels");
    else if (key === "x") toggle(viewer, "cross");
    else if (key === "z") zoomOn(viewer);
    else if (key === "o") cycleOutlines(viewer);
    else if ((key === "+" || key === "-") && scene.layers.length) {
      setOpacity(viewer, state.opacity + (key === "+" ? 0.1 : -0.1));
    }
  });
}
