// The pictures: which planes and label maps stand where, how large, and how each is drawn.

const TALLEST = 0.78; // of the window's height, for all panes of a column together

// Which label maps a pane has, in one style or in that of each; or the one that is compared.
function contents({scene: {layers}, state}) {
  const all = layers.map((_, i) => i);
  if (state.arrangement === BESIDE) {
    return all.map((i) => ({title: layers[i].name, drawn: [i], style: STYLES[2]}));
  }
  if (state.arrangement === DIFFERENT) {
    return all.slice(1).map((i) => ({title: `${layers[i].name} and ${layers[0].name}`, compared: i}));
  }
  return [{title: "", drawn: all}];
}

function arrange(viewer) {
  const {key, scene: {layers}, stage, state} = viewer;
  const columns = contents(viewer);
  const rows = viewer.planes.filter((plane) => state.plane === "all" || plane.name === state.plane);
  const single = columns.length === 1 && rows.length > 1; // the first plane large, others beside
  stage.replaceChildren();
  stage.style.setProperty("--columns", single ? "minmax(0, 1.6fr) minmax(0, 1fr)"
    : `repeat(${columns.length}, minmax(0, 1fr))`);
  stage.style.gridTemplateRows = single ? "auto 1fr" : ""; // the others follow closely
  viewer.panes = rows.flatMap((plane, row) => columns.map((content) => {
    const pane = makePane(viewer, plane, content);
    const large = single && row === 0;
    pane.figure.style.setProperty("--rows", large ? `span ${rows.length - 1}` : "auto");
    pane.share = single ? (large ? 1 : rows.length - 1) : rows.length === 1 ? 1 : 1.7;
    stage.append(pane.figure);
    return pane;
  }));
  key.replaceChildren(...(state.arrangement === DIFFERENT ? DIFFERENCES : []).map(
    ([, colour, name]) => make("li", {},
      swatch(colour), name(layers[0].name, layers.length === 2 ? layers[1].name : "the other"))));
  fit(viewer);
}

function makePane(viewer, plane, content) {
  const slices = viewer.scene.shape[plane.through];
  const canvas = make("canvas", {tabIndex: 0});
  const slider = make("input", {
    type: "range", min: 0, max: slices - 1, ariaLabel: `${plane.name} slice ${content.title}`.trim(),
  });
  const caption = make("figcaption");
  const figure = make("figure", {}, caption, canvas, slider);
  const pane = {plane, content, canvas, slider, caption, figure, slice: make("canvas"), drawn: ""};
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `${plane.name} ${content.title}`.trim());
  slider.hidden = slices === 1;
  slider.addEventListener("input", () => move(viewer, plane.through, Number(slider.value)));
  listenToMouse(viewer, pane);
  listenToFingers(viewer, pane);
  listenToArrows(viewer, pane);
  return pane;
}

// Sizes follow the room there is; one voxel keeps its proportions in mm.
function fit(viewer) {
  const {scene: {shape, spacing}, stage} = viewer;
  for (const pane of viewer.panes) {
    const {across, down} = pane.plane;
    const width = shape[across] * spacing[across], height = shape[down] * spacing[down];
    const room = pane.figure.clientWidth || stage.clientWidth || 300;
    const tallest = Math.max(160, window.innerHeight * TALLEST / pane.share - 50);
    const scale = Math.min(room / width, tallest / height);
    const dots = window.devicePixelRatio || 1;
    pane.canvas.style.width = `${width * scale}px`;
    pane.slider.style.width = pane.caption.style.width = pane.canvas.style.width;
    pane.canvas.style.height = `${height * scale}px`;
    pane.canvas.width = Math.max(1, Math.round(width * scale * dots));
    pane.canvas.height = Math.max(1, Math.round(height * scale * dots));
    [pane.slice.width, pane.slice.height] = [pane.canvas.width, pane.canvas.height];
  }
  repaint(viewer);
}

function draw(viewer, pane) {
  const {scene, state, version} = viewer;
  const {plane, canvas, content} = pane, {shape} = scene;
  const context = canvas.getContext("2d");
  const position = state.voxel[plane.through];
  const line = Math.max(1, 1.5 * (window.devicePixelRatio || 1));
  if (pane.drawn !== `${version} ${position}`) drawSlice(viewer, pane, position, line);
  pane.drawn = `${version} ${position}`;
  context.drawImage(pane.slice, 0, 0);
  const seen = frame(viewer, plane), voxel = state.voxel[plane.down];
  const row = plane.upwards ? shape[plane.down] - 1 - voxel : voxel;
  const x = (state.voxel[plane.across] + 0.5 - seen.x) * canvas.width / seen.columns;
  const y = (row + 0.5 - seen.y) * canvas.height / seen.rows;
  if (state.cross) drawCross(context, x, y, canvas.width, canvas.height, 8 * line);
  if (scene.patient) drawLetters(context, plane, canvas.width, canvas.height, 9 * line);
  pane.slider.value = position;
  const name = scene.patient ? plane.name : "picture";
  const slice = position * scene.steps[plane.through] + 1, slices = scene.whole[plane.through];
  const counted = slices > 1 ? `${name} ${slice} of ${slices}` : name;
  pane.caption.textContent = [counted, content.title].filter(Boolean).join(" · ");
  pane.slider.ariaValueText = counted;
}

function drawSlice(viewer, {plane, content, slice}, position, line) {
  const {colours, greys, images, numbers, scene: {shape}, scratch, state, tables, volumes} = viewer;
  const context = slice.getContext("2d");
  const columns = shape[plane.across], seen = frame(viewer, plane);
  const sx = slice.width / seen.columns, sy = slice.height / seen.rows;
  const numbered = (i) => through(sliceOf(volumes[i], shape, plane, position), numbers[i]);
  const place = (opacity) => {
    context.globalAlpha = opacity;
    context.drawImage(
      scratch, seen.x, seen.y, seen.columns, seen.rows, 0, 0, slice.width, slice.height);
    context.globalAlpha = 1;
  };
  context.imageSmoothingEnabled = sx < 6;
  paint(scratch, columns, sliceOf(images[state.channel], shape, plane, position), greys);
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
