// A viewer is made: its scan is unpacked when it comes into view, and its parts put together.

async function autosegViewer(root, scene) {
  root.replaceChildren(make("p", {textContent: "Unpacking the scan ..."}));
  let images, volumes;
  try {
    images = await unpackAll(scene.channels.map((channel) => channel.image), scene.shape);
    volumes = await unpackAll(scene.layers.map((layer) => layer.labels), scene.shape);
  } catch (error) {
    const text = `This scan cannot be unpacked here (${error}); a browser of 2023 or later can.`;
    root.replaceChildren(make("p", {className: "failed", textContent: text}));
    throw error;
  }
  const viewer = makeViewer(scene, images, volumes);
  viewer.alone = root.parentElement.matches(".autoseg-viewer-page"); // nothing else is on the page
  const tools = make("div", {className: "tools"});
  viewer.controls = makeControls(viewer, tools);
  const body = make("div", {className: scene.layers.length ? "body" : "body bare"}, viewer.stage);
  if (scene.layers.length) body.append(makeLegend(viewer));
  viewer.box.append(make("h2", {textContent: scene.title}), tools, viewer.readout, viewer.key, body,
    ...remarks(scene).map((text) => make("p", {textContent: text})), viewer.help);
  root.replaceChildren(viewer.box); // with the box goes all that listens and remembers
  listenToKeys(viewer);
  setZoom(viewer, viewer.state.zoom, viewer.state.centre);
  setChannel(viewer, viewer.state.channel);
  arrange(viewer);
  if (viewer.alone) viewer.panes[0].canvas.focus({preventScroll: true});
  new ResizeObserver(() => fit(viewer)).observe(viewer.box);
}

// One after the other: each takes several times its own memory for a moment.
async function unpackAll(all, shape) {
  const volumes = [];
  for (const packed of all) volumes.push(await unpack(packed, shape));
  return volumes;
}

// Everything the parts share: what is shown, its numbers, and where it is shown.
function makeViewer(scene, images, volumes) {
  const {shape, targets} = scene;
  const present = targets.filter((t) => t.amounts.some((amount) => amount > 0));
  const planes = PLANES.filter((plane) => shape[plane.across] > 1 && shape[plane.down] > 1);
  const colours = present.map((target) => target.colour);
  return {
    scene, images, volumes, present, colours,
    planes: planes.length ? planes : PLANES.slice(0, 1),
    tables: {
      targets: Uint32Array.from([0, ...colours.map(packedColour)]),
      differences: Uint32Array.from([0, ...DIFFERENCES.map(([, colour]) => packedColour(colour))]),
    },
    state: newState(scene, present),
    box: make("div"),
    help: makeHelp(),
    stage: make("div", {className: "stage"}),
    readout: make("p", {className: "readout"}),
    key: make("ul", {className: "key"}),
    scratch: make("canvas"),
    panes: [],
    waiting: false, // for the next frame
    version: 0, // of what all slices are drawn with
  };
}

window.autosegViewer = autosegViewer;
// A page may have many scenes.
const opener = new IntersectionObserver((entries) => {
  for (const {target: root, isIntersecting} of entries) {
    if (!isIntersecting) continue;
    opener.unobserve(root);
    autosegViewer(root, JSON.parse(root.querySelector("script").textContent));
  }
}, {rootMargin: "200px"});
document.querySelectorAll(".autoseg-viewer[data-scene]").forEach((root) => opener.observe(root));
