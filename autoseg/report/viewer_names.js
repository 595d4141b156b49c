// What a viewer says in words: what is at a voxel; names, switches and volumes of the targets.

// Values, place, and the targets of each layer, whether they are switched on or not. Each has its own
// cell, so that nothing below moves with the length of the words.
function tell({images, readout, scene, state, volumes}, voxel) {
  const {channels, layers, shape, targets} = scene;
  const values = channels.map((channel, i) => {
    const text = [channel.name, valueAt(images[i], shape, voxel), channel.unit].filter(Boolean).join(" ");
    return make(i === state.channel ? "b" : "span", {textContent: text});
  });
  const [z, y, x] = voxel.map((v, axis) => v * scene.steps[axis]);
  const digits = Math.max(1, -Math.floor(Math.log10(Math.min(...scene.spacing)))); // of a millimetre
  const place = scene.patient
    ? positionOf(scene, voxel).map((mm, axis) =>
        `${LETTERS[axis][mm < 0 ? 0 : 1]} ${Math.abs(mm).toFixed(digits)}`).reverse().join(" · ") + " mm"
    : `x ${x} · y ${y}` + (shape[0] > 1 ? ` · z ${z}` : "");
  const named = layers.map((layer, i) => {
    const value = volumes[i].values[indexAt(volumes[i], shape, voxel)];
    const names = targets.filter((t) => t.values.includes(value)).map((t) => t.name);
    return `${layer.name}: ${names.join(" + ") || (value ? `value ${value}` : "none")}`;
  });
  readout.replaceChildren(...values, ...[place, ...named].map(
    (text) => make("span", {textContent: text, title: text})));
}

function valueAt(image, shape, voxel) {
  const index = indexAt(image, shape, voxel), {beyond, values} = image;
  const near = index + 1 < values.length ? index + 1 : index - 1;
  const apart = near < 0 ? 0 : Math.abs(values[near] - values[index]);
  const word = beyond[0] && index === 0 ? "at most "
    : beyond[1] && index === values.length - 1 ? "at least " : apart > 1 ? "about " : "";
  return word + rounded(values[index], apart);
}

// As many digits as values that lie so far apart tell, and one more of hundreds and above.
function rounded(value, apart) {
  const digits = apart ? -Math.floor(Math.log10(apart)) : 0; // behind the point
  if (!apart || (Number.isInteger(value) && digits >= -1)) return String(value);
  if (digits >= -1) return value.toFixed(Math.max(0, Math.min(100, digits)));
  const before = 1 + Math.floor(Math.log10(Math.abs(value)));
  return String(Number(value.toPrecision(Math.max(1, before + digits + 1))));
}

function amountsOf(scene, {amounts}) {
  const text = amounts.map((n) => scene.patient && n && n < 999 ? n.toPrecision(3) : n.toFixed(0));
  return `${text.join(" | ")} ${scene.patient ? "ml" : "pixels"}`;
}

const LEVEL = 2; // degrees that nobody needs to be told of

// Sentences on what is not as one would take it for: a scan too large for a page, or not upright.
function remarks({direction, patient, shape, steps, whole}) {
  const told = [];
  if (steps.some((step) => step > 1)) {
    told.push(`Shown are ${shape.join(" x ")} of ${whole.join(" x ")} voxels, so that a browser can open it.`
      + " Volumes are counted in all of them.");
  }
  const tilt = Math.max(...[0, 4, 8].map((i) => Math.acos(Math.min(1, Math.abs(direction[i]))))) * 180 / Math.PI;
  if (patient && tilt > LEVEL) {
    told.push(`The scan is tilted by ${tilt.toFixed(0)}°: planes and letters are those of the scan,`
      + " places in mm those of the scanner's room.");
  }
  return told;
}

function makeLegend(viewer) {
  const {present, scene, state, volumes} = viewer, {layers, shape, targets} = scene;
  const items = present.map((target, t) => {
    const box = make("input", {type: "checkbox", checked: true, ariaLabel: `show ${target.name}`});
    const name = make("button", {type: "button", textContent: target.name, title: "go there"});
    box.addEventListener("change", () => { state.on[t] = box.checked; refresh(viewer); });
    name.addEventListener("click", () =>
      goTo(viewer, placeOf(volumes, shape, target.values) ?? state.voxel));
    const amount = make("small", {
      textContent: amountsOf(scene, target), title: layers.map((l) => l.name).join(" | "),
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
