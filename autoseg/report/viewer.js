// A viewer is made: its scan is unpacked when it comes into view, and its parts put together.

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
  const viewer = makeViewer(root, scene, image, volumes);
  const tools = make("div", {className: "tools"});
  viewer.controls = makeControls(viewer, tools);
  const body = make("div", {className: scene.layers.length ? "body" : "body bare"}, viewer.stage);
  if (scene.layers.length) body.append(makeLegend(viewer));
  root.replaceChildren(make("h2", {textContent: scene.title}), tools, viewer.readout, viewer.key, body,
    make("details", {}, make("summary", {textContent: "mouse and keys"}),
      ...HELP.map((text) => make("p", {textContent: text}))));
  listenToKeys(viewer);
  setWindow(viewer, viewer.state.low, viewer.state.high);
  arrange(viewer);
  new ResizeObserver(() => fit(viewer)).observe(root);
}

// Everything the parts share: what is shown, its numbers, and where it is shown.
function makeViewer(root, scene, image, volumes) {
  const {shape, targets} = scene;
  const present = targets.filter((t) => volumes.some((v) => v.values.some((x) => t.values.includes(x))));
  const planes = PLANES.filter((plane) => shape[plane.across] > 1 && shape[plane.down] > 1);
  const colours = present.map((target) => target.colour);
  return {
    root, scene, image, volumes, present, colours,
    counts: volumes.map(countsOf),
    planes: planes.length ? planes : PLANES.slice(0, 1),
    tables: {
      targets: Uint32Array.from([0, ...colours.map(packedColour)]),
      differences: Uint32Array.from([0, ...DIFFERENCES.map(([, colour]) => packedColour(colour))]),
    },
    state: newState(scene, present),
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
