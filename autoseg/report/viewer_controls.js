// The controls above the pictures; `state` is changed by viewer_state.js.

function make(tag, attributes = {}, ...children) {
  const element = Object.assign(document.createElement(tag), attributes);
  element.append(...children);
  return element;
}

function swatch(colour) {
  const element = make("span", {className: "swatch"});
  element.style.background = colour;
  return element;
}

function offer(select, options) {
  select.replaceChildren(...options.map(
    ([name, text]) => make("option", {value: name, textContent: text})));
}

function choice(tools, title, options, value, change) {
  const select = make("select");
  offer(select, options);
  select.value = value;
  select.addEventListener("change", () => change(select.value));
  tools.append(make("label", {}, title, select));
  return select;
}

function number(tools, title, change) {
  const input = make("input", {type: "number", step: "any"});
  input.addEventListener("change", change);
  tools.append(make("label", {}, title, input));
  return input;
}

function tick(tools, title, change) {
  const input = make("input", {type: "checkbox", checked: true});
  input.addEventListener("change", change);
  tools.append(make("label", {className: "tick"}, input, title));
  return input;
}

const plain = (names) => names.map((name) => [name, name]);

// Fills `tools`; what is returned is kept in step with the state.
function makeControls(viewer, tools) {
  const {planes, scene: {channels, layers}, state} = viewer;
  const controls = {};
  if (layers.length > 1) {
    choice(tools, "label maps", plain([OVERLAID, BESIDE, DIFFERENT]), OVERLAID, (value) => {
      state.arrangement = value;
      controls.styles.forEach((select) => { select.disabled = value !== OVERLAID; });
      arrange(viewer);
    });
  }
  if (planes.length > 1) {
    choice(tools, "planes", plain(["all", ...planes.map((p) => p.name)]), "all",
      (value) => { state.plane = value; arrange(viewer); });
  }
  controls.zoom = choice(tools, "zoom", [], "",
    (value) => setZoom(viewer, Number(value), state.voxel));
  if (channels.length > 1) {
    controls.channel = choice(tools, "channel", channels.map((c, i) => [String(i), c.name]), "0",
      (value) => setChannel(viewer, Number(value)));
  }
  controls.window = choice(tools, "window", [], "", (value) => setWindow(viewer,
    channels[state.channel].windows[Number(value)] ?? state.windows[state.channel]));
  const typed = () => {
    const level = Number(controls.level.value), half = Math.abs(Number(controls.width.value)) / 2;
    setWindow(viewer, {low: level - half, high: level + half});
  };
  controls.level = number(tools, "level", typed);
  controls.width = number(tools, "width", typed);
  controls.styles = layers.map((layer, i) => choice(tools, layer.name, plain(STYLES), state.styles[i],
    (value) => { state.styles[i] = value; repaint(viewer); }));
  if (layers.length) {
    controls.opacity = make("input", {type: "range", min: 0, max: 1, step: 0.05, value: state.opacity});
    controls.opacity.addEventListener(
      "input", () => setOpacity(viewer, Number(controls.opacity.value)));
    tools.append(make("label", {}, "opacity", controls.opacity));
    controls.labels = tick(tools, "labels", () => toggle(viewer, "labels"));
  }
  controls.cross = tick(tools, "crosshair", () => toggle(viewer, "cross"));
  return controls;
}
