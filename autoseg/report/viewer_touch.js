// What fingers do in a picture. One: a tap goes there, a drag to the side goes through the slices, and
// up or down the page scrolls (`touch-action` in viewer.css). Two: closer, and to another part.

const TREMBLE = 8; // pixels that a tap may move
const STEPS = [3, 20]; // pixels to the next slice: all slices are within the width, where there are few

function listenToFingers(viewer, pane) {
  const {canvas, plane} = pane, {state} = viewer;
  const fingers = new Map();
  let began = null; // what the gesture of so many fingers started from

  const middle = () => {
    const [a, b = a] = fingers.values();
    return {
      clientX: (a.clientX + b.clientX) / 2, clientY: (a.clientY + b.clientY) / 2,
      apart: Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY),
    };
  };

  function begin(tap) {
    if (!fingers.size) return;
    const point = middle();
    began = {
      ...point, tap, slice: state.voxel[plane.through],
      zoom: state.zoom, place: placeUnder(viewer, pane, point),
    };
  }

  function follow() {
    const point = middle();
    if (fingers.size === 2) {
      const zoom = began.zoom * point.apart / Math.max(1, began.apart);
      hold(viewer, pane, zoom, began.place, point);
      return;
    }
    const aside = point.clientX - began.clientX;
    if (began.tap && Math.abs(aside) < TREMBLE) return;
    began.tap = false;
    const slices = viewer.scene.shape[plane.through];
    const step = Math.max(STEPS[0], Math.min(STEPS[1], canvas.clientWidth / slices));
    move(viewer, plane.through, began.slice + Math.round(aside / step));
  }

  canvas.addEventListener("touchstart", (event) => {
    if (event.touches.length > 1) event.preventDefault(); // two fingers do not scroll the page
  }, {passive: false});
  canvas.addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "touch" || fingers.size === 2) return;
    fingers.set(event.pointerId, event);
    begin(fingers.size === 1);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!fingers.has(event.pointerId)) return;
    fingers.set(event.pointerId, event);
    follow();
  });
  for (const kind of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(kind, (event) => {
      if (!fingers.delete(event.pointerId)) return;
      if (kind === "pointerup" && began.tap) goTo(viewer, voxelUnder(viewer, pane, event));
      begin(false); // a finger that stays does not tap
    });
  }
}
