// What a viewer says in words: what is at a voxel; names, switches and volumes of the targets.

// Place, value, and the targets of each layer, whether they are switched on or not.
function tell({image, readout, scene, volumes}, voxel) {
  const {layers, shape, targets} = scene;
  const index = indexAt(image, shape, voxel), values = image.values;
  const places = scene.patient
    ? positionOf(scene, voxel).map((mm, axis) =>
        `${LETTERS[axis][mm < 0 ? 0 : 1]} ${Math.abs(mm).toFixed(1)}`).reverse().join(" · ") + " mm"
    : `x ${voxel[2]} · y ${voxel[1]}` + (shape[0] > 1 ? ` · z ${voxel[0]}` : "");
  const coarse = index + 1 < values.length ? values[index + 1] - values[index] : 0;
  const digits = coarse >= 1 || Number.isInteger(values[index]) ? 0 : 3;
  const about = coarse > 1 ? "about " : "";
  const named = layers.map((layer, i) => {
    const value = volumes[i].values[indexAt(volumes[i], shape, voxel)];
    const names = targets.filter((t) => t.values.includes(value)).map((t) => t.name);
    return `${layer.name}: ${names.join(" + ") || (value ? `value ${value}` : "none")}`;
  });
  readout.replaceChildren(
    make("b", {textContent: `${about}${values[index].toFixed(digits)} ${scene.unit}`}),
    ` · ${places}`, ...named.map((text) => ` · ${text}`));
}

// How much of a target each label map holds: ml, or pixels.
function amounts({counts, scene, volumes}, target) {
  const each = scene.patient ? scene.spacing.reduce((a, b) => a * b, 1e-3) : 1;
  const found = volumes.map((volume, i) => each * volume.values.reduce(
    (sum, value, index) => sum + (target.values.includes(value) ? counts[i][index] : 0), 0));
  const text = found.map((n) => scene.patient && n < 999 ? n.toPrecision(3) : n.toFixed(0));
  return `${text.join(" | ")} ${scene.patient ? "ml" : "pixels"}`;
}

function makeLegend(viewer) {
  const {present, scene: {layers, shape, targets}, state, volumes} = viewer;
  const items = present.map((target, t) => {
    const box = make("input", {type: "checkbox", checked: true, ariaLabel: `show ${target.name}`});
    const name = make("button", {type: "button", textContent: target.name, title: "go there"});
    box.addEventListener("change", () => { state.on[t] = box.checked; refresh(viewer); });
    name.addEventListener("click", () =>
      goTo(viewer, placeOf(volumes, shape, target.values) ?? state.voxel));
    const amount = make("small", {
      textContent: amounts(viewer, target), title: layers.map((l) => l.name).join(" | "),
    });
    return make("li", {}, box, swatch(target.colour), make("span", {}, name, amount));
  });
  const all = (on) => make("button", {
    type: "button", textContent: on ? "all" : "none",
    onclick: () => {
      items.forEach((item, t) => {
        if (!item.hidden) state.on[t] = item.firstChild.checked = on;
      });
      refresh(viewer);
    },
  });
  const search = make("input", {type: "search", placeholder: "find a target", ariaLabel: "find a target"});
  search.addEventListener("input", () => items.forEach((item, t) => {
    item.hidden = !present[t].name.toLowerCase().includes(search.value.toLowerCase());
  }));
  search.hidden = items.length < 12;
  const absent = targets.length - present.length;
  const note = absent ? `${absent} more ${absent > 1 ? "targets do" : "target does"} not occur here.` : "";
  return make("div", {className: "legend"}, make("div", {className: "row"}, all(true), all(false)),
    search, make("ul", {}, ...items), make("p", {textContent: note, hidden: !absent}));
}
