// One viewer: what is chosen (`state`), the controls that change it, the panes that show it.

const STYLES = ["fill", "outline", "fill and outline", "hidden"];
const HELP = [
  "Click or drag in a picture: all planes go there. Wheel, Page Up, Page Down or the slider: through the slices. Arrow keys: to the next voxel.",
  "Ctrl and wheel, or Z: closer to the crosshair, up to 8 times, and back.",
  "Drag with the right button, or with Shift: window (to the side) and level (up and down). Keys 1 to 9: the windows of the list.",
  "L: labels on and off. X: crosshair. O: outlines. + and -: opacity. A name of the legend: go to that target.",
];
const OVERLAID = "overlaid", BESIDE = "side by side", DIFFERENT = "differences";
const ZOOMS = [1, 2, 4, 8];
const TALLEST = 0.78; // of the window's height, for all panes of a column together

function make(tag, attributes = {}, ...children) {
  const element = Object.assign(document.createElement(tag), attributes);
  element.append(...children);
  return element;
}

async function autosegViewer(root, scene) {
  root.replaceChildren(make("p", {textContent: "Unpacking the scan ..."}));
  let image, volumes;
  try {
    [image, ...volumes] = await Promise.all(
      [scene.image, ...scene.layers.map((layer) => layer.labels)]
        .map((packed) => unpack(packed, scene.shape)));
  } catch (error) {
    const text = `This scan cannot be unpacked here (${error}); a browser of 2023 or later can.`;
    root.replaceChildren(make("p", {className: "failed", textContent: text}));
    throw error;
  }
  const {shape, layers, targets} = scene;
  const present = targets.filter((t) => volumes.some((v) => v.values.some((x) => t.values.includes(x))));
  const counts = volumes.map(countsOf);
  const planes = PLANES.filter((plane) => shape[plane.across] > 1 && shape[plane.down] > 1);
  const shownPlanes = planes.length ? planes : PLANES.slice(0, 1);
  const colours = present.map((target) => target.colour);
  const tables = {
    targets: Uint32Array.from([0, ...colours.map(packedColour)]),
    differences: Uint32Array.from([0, ...DIFFERENCES.map(([, colour]) => packedColour(colour))]),
  };
  const state = {
    voxel: [...scene.start], low: scene.windows[0].low, high: scene.windows[0].high,
    arrangement: OVERLAID, plane: "all", zoom: 1, centre: [...scene.start], opacity: 0.45, cross: true, labels: true,
    on: present.map(() => true),
    styles: layers.map((_, i) => layers.length === 1 ? STYLES[2] : STYLES[[1, 0][i] ?? 3]),
  };
  const stage = make("div", {className: "stage"});
  const readout = make("p", {className: "readout"});
  const key = make("ul", {className: "key"});
  const scratch = make("canvas");
  let panes = [], greys, numbers, waiting = false, version = 0;

  // --- what the panes show ------------------------------------------------------------------

  function refresh() {
    greys = greysOf(image.values, state.low, state.high);
    numbers = volumes.map((volume) => targetNumbers(volume, present, state.on));
    repaint();
  }

  // Everything is drawn anew; `redraw` alone keeps the slices that have not changed.
  function repaint() {
    version++;
    redraw();
  }

  function redraw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      follow();
      panes.forEach(draw);
      tell(state.voxel, "");
    });
  }

  // What is zoomed to stays where it is until the crosshair leaves it.
  function follow() {
    const lost = state.voxel.some((v, axis) => {
      const [first, count] = visible(axis);
      return v + 0.5 < first || v + 0.5 > first + count;
    });
    if (!lost) return;
    state.centre = [...state.voxel];
    version++;
  }

  // The part of an axis that is shown: first voxel and how many, in fractions.
  function visible(axis) {
    const count = shape[axis] / state.zoom;
    const first = state.centre[axis] + 0.5 - count / 2;
    return [Math.max(0, Math.min(shape[axis] - count, first)), count];
  }

  // The same in columns and rows of a plane's picture.
  function frame({across, down, upwards}) {
    const [x, columns] = visible(across), [first, rows] = visible(down);
    return {x, y: upwards ? shape[down] - first - rows : first, columns, rows};
  }

  // Which label maps a pane has, in one style or in that of each; or the one that is compared.
  function contents() {
    const all = layers.map((_, i) => i);
    if (state.arrangement === BESIDE) {
      return all.map((i) => ({title: layers[i].name, drawn: [i], style: STYLES[2]}));
    }
    if (state.arrangement === DIFFERENT) {
      return all.slice(1).map((i) => ({title: `${layers[i].name} and ${layers[0].name}`, compared: i}));
    }
    return [{title: "", drawn: all}];
  }

  function arrange() {
    const columns = contents();
    const rows = shownPlanes.filter((plane) => state.plane === "all" || plane.name === state.plane);
    const single = columns.length === 1 && rows.length > 1; // the first plane large, others beside
    stage.replaceChildren();
    stage.style.gridTemplateColumns = single ? "minmax(0, 1.6fr) minmax(0, 1fr)"
      : `repeat(${columns.length}, minmax(0, 1fr))`;
    panes = rows.flatMap((plane, row) => columns.map((content) => {
      const pane = makePane(plane, content);
      const large = single && row === 0;
      pane.figure.style.gridRow = large ? `span ${rows.length - 1}` : "";
      pane.share = single ? (large ? 1 : rows.length - 1) : rows.length === 1 ? 1 : 1.7;
      stage.append(pane.figure);
      return pane;
    }));
    key.replaceChildren(...(state.arrangement === DIFFERENT ? DIFFERENCES : []).map(
      ([, colour, name]) => make("li", {},
        swatch(colour), name(layers[0].name, layers.length === 2 ? layers[1].name : "the other"))));
    fit();
  }

  function makePane(plane, content) {
    const canvas = make("canvas", {tabIndex: 0});
    const slider = make("input", {
      type: "range", min: 0, max: shape[plane.through] - 1, ariaLabel: `${plane.name} slice`,
    });
    const caption = make("figcaption");
    const figure = make("figure", {}, caption, canvas, slider);
    const pane = {plane, content, canvas, slider, caption, figure, slice: make("canvas"), drawn: ""};
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${plane.name} ${content.title}`);
    slider.hidden = shape[plane.through] === 1;
    slider.addEventListener("input", () => move(plane.through, Number(slider.value)));
    listen(pane);
    return pane;
  }

  // Sizes follow the room there is; one voxel keeps its proportions in mm.
  function fit() {
    for (const pane of panes) {
      const {across, down} = pane.plane;
      const width = shape[across] * scene.spacing[across], height = shape[down] * scene.spacing[down];
      const room = pane.figure.clientWidth || stage.clientWidth || 300;
      const tallest = Math.max(160, window.innerHeight * TALLEST / pane.share - 50);
      const scale = Math.min(room / width, tallest / height);
      const dots = window.devicePixelRatio || 1;
      pane.canvas.style.width = `${width * scale}px`;
      pane.slider.style.width = pane.canvas.style.width;
      pane.canvas.style.height = `${height * scale}px`;
      pane.canvas.width = Math.max(1, Math.round(width * scale * dots));
      pane.canvas.height = Math.max(1, Math.round(height * scale * dots));
      [pane.slice.width, pane.slice.height] = [pane.canvas.width, pane.canvas.height];
    }
    repaint();
  }

  function draw(pane) {
    const {plane, canvas, content} = pane;
    const context = canvas.getContext("2d");
    const position = state.voxel[plane.through];
    const line = Math.max(1, 1.5 * (window.devicePixelRatio || 1));
    if (pane.drawn !== `${version} ${position}`) drawSlice(pane, position, line);
    pane.drawn = `${version} ${position}`;
    context.drawImage(pane.slice, 0, 0);
    const seen = frame(plane), voxel = state.voxel[plane.down];
    const row = plane.upwards ? shape[plane.down] - 1 - voxel : voxel;
    const x = (state.voxel[plane.across] + 0.5 - seen.x) * canvas.width / seen.columns;
    const y = (row + 0.5 - seen.y) * canvas.height / seen.rows;
    if (state.cross) drawCross(context, x, y, canvas.width, canvas.height, 8 * line);
    if (scene.patient) drawLetters(context, plane, canvas.width, canvas.height, 9 * line);
    pane.slider.value = position;
    const name = scene.patient ? plane.name : "picture";
    const counted = shape[plane.through] > 1 ? `${name} ${position + 1} of ${shape[plane.through]}` : name;
    pane.caption.textContent = [counted, content.title].filter(Boolean).join(" · ");
  }

  function drawSlice({plane, content, slice}, position, line) {
    const context = slice.getContext("2d");
    const columns = shape[plane.across], seen = frame(plane);
    const sx = slice.width / seen.columns, sy = slice.height / seen.rows;
    const numbered = (i) => through(sliceOf(volumes[i], shape, plane, position), numbers[i]);
    const place = (opacity) => {
      context.globalAlpha = opacity;
      context.drawImage(
        scratch, seen.x, seen.y, seen.columns, seen.rows, 0, 0, slice.width, slice.height);
      context.globalAlpha = 1;
    };
    context.imageSmoothingEnabled = sx < 6;
    paint(scratch, columns, sliceOf(image, shape, plane, position), greys);
    place(1);
    context.imageSmoothingEnabled = false;
    if (!state.labels) return;
    if (content.compared) {
      paint(scratch, columns, compared(numbered(0), numbered(content.compared)), tables.differences);
      place(state.opacity);
      return;
    }
    content.drawn.forEach((i, order) => {
      const style = content.style ?? state.styles[i];
      if (style === "hidden") return;
      const found = numbered(i);
      if (style.startsWith("fill")) {
        paint(scratch, columns, found, tables.targets);
        place(state.opacity);
      }
      if (style.endsWith("outline")) {
        context.setTransform(1, 0, 0, 1, -seen.x * sx, -seen.y * sy);
        strokeOutlines(context, outlines(found, columns, sx, sy, order > 0), colours, line);
        context.resetTransform();
      }
    });
  }

  // What is at a voxel: place, value, the targets of each layer that are switched on or not.
  function tell(voxel, note) {
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
      ` · ${places}`, ...named.map((text) => ` · ${text}`), note);
  }

  // --- what the user does -------------------------------------------------------------------

  function move(axis, position) {
    state.voxel[axis] = Math.max(0, Math.min(shape[axis] - 1, position));
    redraw();
  }

  function setWindow(low, high) {
    [state.low, state.high] = [low, Math.max(high, low + 1e-6)];
    controls.level.value = Number(((low + high) / 2).toPrecision(4));
    controls.width.value = Number((high - low).toPrecision(4));
    const chosen = scene.windows.findIndex((w) => w.low === low && w.high === high);
    controls.window.value = chosen < 0 ? "own" : String(chosen);
    refresh();
  }

  function setZoom(zoom, centre) {
    state.zoom = zoom ?? ZOOMS[0];
    state.centre = [...centre];
    controls.zoom.value = String(state.zoom);
    repaint();
  }

  function voxelUnder(pane, event) {
    const {plane, canvas} = pane;
    const box = canvas.getBoundingClientRect();
    const inside = (place, count) => Math.max(0, Math.min(count - 1, Math.floor(place)));
    const voxel = [...state.voxel], seen = frame(plane);
    const x = seen.x + (event.clientX - box.left) / box.width * seen.columns;
    const y = seen.y + (event.clientY - box.top) / box.height * seen.rows;
    const row = inside(y, shape[plane.down]);
    voxel[plane.across] = inside(x, shape[plane.across]);
    voxel[plane.down] = plane.upwards ? shape[plane.down] - 1 - row : row;
    return voxel;
  }

  function listen(pane) {
    const {canvas, plane} = pane;
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
        state.voxel = voxelUnder(pane, event);
        redraw();
      }
    });
    canvas.addEventListener("pointermove", (event) => {
      if (dragged) {
        const unit = Math.max(dragged.high - dragged.low, 1e-6) / 200;
        const half = (dragged.high - dragged.low) / 2 * Math.exp((event.clientX - dragged.x) / 200);
        const level = (dragged.low + dragged.high) / 2 + (event.clientY - dragged.y) * unit;
        setWindow(level - half, level + half);
      } else if (event.buttons & 1) {
        state.voxel = voxelUnder(pane, event);
        redraw();
      } else {
        tell(voxelUnder(pane, event), "");
      }
    });
    for (const kind of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(kind, () => { dragged = null; });
    }
    canvas.addEventListener("pointerleave", () => tell(state.voxel, ""));
    canvas.addEventListener("wheel", (event) => {
      if (document.activeElement !== canvas) return; // the page scrolls
      event.preventDefault();
      if (event.ctrlKey) {
        const next = ZOOMS[ZOOMS.indexOf(state.zoom) - Math.sign(event.deltaY)];
        if (next) setZoom(next, voxelUnder(pane, event));
        return;
      }
      move(plane.through, state.voxel[plane.through] - Math.sign(event.deltaY));
    }, {passive: false});
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
      move(axis, state.voxel[axis] + step);
    });
  }

  root.addEventListener("keydown", (event) => {
    if (/^(INPUT|SELECT)$/.test(event.target.tagName) || event.ctrlKey || event.metaKey || event.altKey) return;
    const window_ = scene.windows[Number(event.key) - 1];
    if (window_) setWindow(window_.low, window_.high);
    else if (event.key === "l") toggle("labels");
    else if (event.key === "x") toggle("cross");
    else if (event.key === "z") setZoom(ZOOMS[ZOOMS.indexOf(state.zoom) + 1], state.voxel);
    else if (event.key === "o") cycleOutlines();
    else if (event.key === "+" || event.key === "-") {
      setOpacity(state.opacity + (event.key === "+" ? 0.1 : -0.1));
    }
  });

  function toggle(name) {
    state[name] = !state[name];
    controls[name].checked = state[name];
    repaint();
  }

  // Outlines of all layers that are not hidden, on; or off where all have them.
  function cycleOutlines() {
    const shown = state.styles.filter((style) => style !== "hidden");
    const next = shown.every((style) => style.endsWith("outline")) ? STYLES[0] : STYLES[2];
    state.styles = state.styles.map((style) => style === "hidden" ? style : next);
    controls.styles.forEach((select, i) => { select.value = state.styles[i]; });
    repaint();
  }

  function setOpacity(opacity) {
    state.opacity = Math.max(0, Math.min(1, opacity));
    controls.opacity.value = state.opacity;
    repaint();
  }

  // --- controls -----------------------------------------------------------------------------

  function swatch(colour) {
    const element = make("span", {className: "swatch"});
    element.style.background = colour;
    return element;
  }

  function choice(title, options, value, change) {
    const select = make("select", {}, ...options.map(
      ([name, text]) => make("option", {value: name, textContent: text})));
    select.value = value;
    select.addEventListener("change", () => change(select.value));
    tools.append(make("label", {}, title, select));
    return select;
  }

  function number(title, change) {
    const input = make("input", {type: "number", step: "any"});
    input.addEventListener("change", change);
    tools.append(make("label", {}, title, input));
    return input;
  }

  function tick(title, name) {
    const input = make("input", {type: "checkbox", checked: true});
    input.addEventListener("change", () => toggle(name));
    tools.append(make("label", {className: "tick"}, input, title));
    return input;
  }

  const plain = (names) => names.map((name) => [name, name]);
  const controls = {};
  const tools = make("div", {className: "tools"});
  if (layers.length > 1) {
    choice("label maps", plain([OVERLAID, BESIDE, DIFFERENT]), OVERLAID, (value) => {
      state.arrangement = value;
      controls.styles.forEach((select) => { select.disabled = value !== OVERLAID; });
      arrange();
    });
  }
  if (shownPlanes.length > 1) {
    choice("planes", plain(["all", ...shownPlanes.map((p) => p.name)]), "all",
      (value) => { state.plane = value; arrange(); });
  }
  controls.zoom = choice("zoom", ZOOMS.map((zoom) => [String(zoom), `${zoom} x`]), "1",
    (value) => setZoom(Number(value), state.voxel));
  controls.window = choice("window", [
    ...scene.windows.map((w, i) => [String(i), `${i + 1}: ${w.name}`]), ["own", "own"],
  ], "0", (value) => {
    const chosen = scene.windows[Number(value)] ?? state;
    setWindow(chosen.low, chosen.high);
  });
  const typed = () => {
    const level = Number(controls.level.value), half = Math.abs(Number(controls.width.value)) / 2;
    setWindow(level - half, level + half);
  };
  controls.level = number("level", typed);
  controls.width = number("width", typed);
  controls.styles = layers.map((layer, i) => choice(layer.name, plain(STYLES), state.styles[i],
    (value) => { state.styles[i] = value; repaint(); }));
  if (layers.length) {
    controls.opacity = make("input", {type: "range", min: 0, max: 1, step: 0.05, value: state.opacity});
    controls.opacity.addEventListener("input", () => setOpacity(Number(controls.opacity.value)));
    tools.append(make("label", {}, "opacity", controls.opacity));
    controls.labels = tick("labels", "labels");
  }
  controls.cross = tick("crosshair", "cross");

  // How much of a target each label map holds: ml, or pixels.
  function amounts(target) {
    const each = scene.patient ? scene.spacing.reduce((a, b) => a * b, 1e-3) : 1;
    const found = volumes.map((volume, i) => each * volume.values.reduce(
      (sum, value, index) => sum + (target.values.includes(value) ? counts[i][index] : 0), 0));
    const text = found.map((n) => scene.patient && n < 999 ? n.toPrecision(3) : n.toFixed(0));
    return `${text.join(" | ")} ${scene.patient ? "ml" : "pixels"}`;
  }

  function legend() {
    const items = present.map((target, t) => {
      const box = make("input", {type: "checkbox", checked: true, ariaLabel: `show ${target.name}`});
      const name = make("button", {type: "button", textContent: target.name, title: "go there"});
      box.addEventListener("change", () => { state.on[t] = box.checked; refresh(); });
      name.addEventListener("click", () => {
        state.voxel = placeOf(volumes, shape, target.values) ?? state.voxel;
        redraw();
      });
      const amount = make("small", {textContent: amounts(target), title: layers.map((l) => l.name).join(" | ")});
      return make("li", {}, box, swatch(target.colour), make("span", {}, name, amount));
    });
    const all = (on) => make("button", {
      type: "button", textContent: on ? "all" : "none",
      onclick: () => {
        items.forEach((item, t) => {
          if (!item.hidden) state.on[t] = item.firstChild.checked = on;
        });
        refresh();
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

  const body = make("div", {className: layers.length ? "body" : "body bare"}, stage);
  if (layers.length) body.append(legend());
  root.replaceChildren(make("h2", {textContent: scene.title}), tools, readout, key, body,
    make("details", {}, make("summary", {textContent: "mouse and keys"}),
      ...HELP.map((text) => make("p", {textContent: text}))));
  setWindow(state.low, state.high);
  arrange();
  new ResizeObserver(fit).observe(root);
}

window.autosegViewer = autosegViewer;
// A page may have many scenes: each is unpacked when it comes into view.
const opener = new IntersectionObserver((entries) => {
  for (const {target: root, isIntersecting} of entries) {
    if (!isIntersecting) continue;
    opener.unobserve(root);
    autosegViewer(root, JSON.parse(root.querySelector("script").textContent));
  }
}, {rootMargin: "200px"});
document.querySelectorAll(".autoseg-viewer[data-scene]").forEach((root) => opener.observe(root));
