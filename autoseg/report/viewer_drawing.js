// Slices to pixels: greys, coloured labels, outlines along the edges of voxels, differences.

// What a voxel is when two label maps are compared.
const SAME = 1, MISSED = 2, ADDED = 3, OTHER = 4;
const DIFFERENCES = [
  [SAME, "#009E73", () => "same"],
  [MISSED, "#56B4E9", (base) => `only in ${base}`],
  [ADDED, "#E69F00", (base, other) => `only in ${other}`],
  [OTHER, "#CC79A7", () => "different targets"],
];

// Colours as ImageData has them in a Uint32Array: alpha, blue, green, red.
function packedColour(hex) {
  const rgb = parseInt(hex.slice(1), 16);
  return (0xff000000 | ((rgb & 255) << 16) | (rgb & 0xff00) | (rgb >>> 16)) >>> 0;
}

function greysOf(values, low, high) {
  const scale = 255 / Math.max(high - low, NARROWEST);
  return Uint32Array.from(values, (value) => {
    const grey = Math.max(0, Math.min(255, Math.round((value - low) * scale)));
    return (0xff000000 | (grey << 16) | (grey << 8) | grey) >>> 0;
  });
}

// Number of the target (1, 2, ...; 0: none) that each index of a volume is drawn as: the last one
// in writing order that is switched on.
function targetNumbers(volume, targets, on) {
  return Uint16Array.from(volume.values, (value) => {
    for (let t = targets.length; t > 0; t--) {
      if (on[t - 1] && targets[t - 1].values.includes(value)) return t;
    }
    return 0;
  });
}

function through(indices, table) {
  const result = new table.constructor(indices.length);
  for (let i = 0; i < indices.length; i++) result[i] = table[indices[i]];
  return result;
}

function compared(base, other) {
  const result = new Uint8Array(base.length);
  for (let i = 0; i < base.length; i++) {
    const a = base[i], b = other[i];
    result[i] = a === b ? (a && SAME) : !b ? MISSED : !a ? ADDED : OTHER;
  }
  return result;
}

// Draw numbers through a table of packed colours; the canvas has as many pixels as the slice.
function paint(canvas, width, numbers, table) {
  const height = numbers.length / width;
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const data = context.createImageData(width, height);
  const pixels = new Uint32Array(data.data.buffer);
  for (let i = 0; i < numbers.length; i++) pixels[i] = table[numbers[i]];
  context.putImageData(data, 0, 0);
}

// One path for each target number in a slice; sx, sy: pixels of the screen per voxel.
function outlines(numbers, width, sx, sy, dotted) {
  const height = numbers.length / width;
  const paths = new Map();
  const edge = (number, x0, y0, x1, y1) => {
    if (!paths.has(number)) paths.set(number, new Path2D());
    const path = paths.get(number);
    path.moveTo(x0 * sx, y0 * sy);
    path.lineTo(x1 * sx, y1 * sy);
  };
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const here = numbers[y * width + x];
      const right = x + 1 < width ? numbers[y * width + x + 1] : 0;
      const below = y + 1 < height ? numbers[(y + 1) * width + x] : 0;
      if (!(here | right | below)) continue;
      if (dotted && ((x + y) >> 1) & 1) continue;
      if (here !== right) edge(Math.max(here, right), x + 1, y, x + 1, y + 1);
      if (here !== below) edge(Math.max(here, below), x, y + 1, x + 1, y + 1);
      if (x === 0 && here) edge(here, 0, y, 0, y + 1);
      if (y === 0 && here) edge(here, x, 0, x + 1, 0);
    }
  }
  return paths;
}

function strokeOutlines(context, paths, colours, thickness) {
  context.lineCap = "round";
  context.lineWidth = 2.4 * thickness; // a dark edge, to be seen on a fill of the same colour
  context.strokeStyle = "rgba(0, 0, 0, 0.45)";
  for (const path of paths.values()) context.stroke(path);
  context.lineWidth = thickness;
  for (const [number, path] of paths) {
    context.strokeStyle = colours[number - 1];
    context.stroke(path);
  }
}

// Letters on the edges and the two lines of the crosshair, which leave a gap around the voxel.
function drawCross(context, x, y, width, height, gap) {
  context.strokeStyle = "rgba(255, 236, 130, 0.8)";
  context.lineWidth = Math.max(1, gap / 8);
  context.beginPath();
  for (const [x0, y0, x1, y1] of [
    [0, y, x - gap, y], [x + gap, y, width, y], [x, 0, x, y - gap], [x, y + gap, x, height],
  ]) {
    context.moveTo(x0, y0);
    context.lineTo(x1, y1);
  }
  context.stroke();
}

function drawLetters(context, plane, width, height, size) {
  const [left, right] = LETTERS[plane.across];
  const [start, end] = LETTERS[plane.down];
  const [top, bottom] = plane.upwards ? [end, start] : [start, end];
  context.font = `600 ${size}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.lineWidth = size / 5;
  context.strokeStyle = "#000";
  context.fillStyle = "#fff";
  for (const [letter, x, y] of [
    [left, size * 0.8, height / 2], [right, width - size * 0.8, height / 2],
    // Of a thin slab there is no room for them.
    ...(height > 4 * size ? [[top, width / 2, size * 0.8], [bottom, width / 2, height - size * 0.8]] : []),
  ]) {
    context.strokeText(letter, x, y);
    context.fillText(letter, x, y);
  }
}
