// Packed volumes (packing.py) back to numbers, and slices of them.

const AXIS_Z = 0, AXIS_Y = 1, AXIS_X = 2;

// across: to the right of the picture; down: to its bottom, or its top where `upwards`.
const PLANES = [
  {name: "axial", through: AXIS_Z, across: AXIS_X, down: AXIS_Y, upwards: false},
  {name: "coronal", through: AXIS_Y, across: AXIS_X, down: AXIS_Z, upwards: true},
  {name: "sagittal", through: AXIS_X, across: AXIS_Y, down: AXIS_Z, upwards: true},
];
// Where the axes point: [start, end] of Z, Y, X.
const LETTERS = [["I", "S"], ["A", "P"], ["R", "L"]];

const PIECE = 1 << 20; // letters of base64 at a time (a multiple of four), to spare memory

function bytesOf(base64) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
  const text = atob(base64), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

// The inflated bytes, piece by piece.
async function* inflate(base64) {
  const {readable, writable} = new DecompressionStream("deflate");
  const writer = writable.getWriter(), reader = readable.getReader();
  const feed = async () => {
    for (let i = 0; i < base64.length; i += PIECE) await writer.write(bytesOf(base64.slice(i, i + PIECE)));
    await writer.close();
  };
  feed().catch((error) => writer.abort(error)).catch(() => {}); // then `read` fails
  for (;;) {
    const {done, value} = await reader.read();
    if (done) return;
    yield value;
  }
}

// The level of a voxel from that of the one before, and the number that is packed.
function after(level, number) {
  return (level + ((number >>> 1) ^ -(number & 1))) & 0xffff;
}

// {indices, values, beyond}: the value of voxel i is values[indices[i]], or beyond the first or last.
// The text is gone afterwards.
async function unpack(packed, shape) {
  const count = shape[0] * shape[1] * shape[2], two = packed.planes === 2;
  const indices = two || packed.values.length > 256 ? new Uint16Array(count) : new Uint8Array(count);
  const low = two ? count : 0, shift = two ? 8 : 0; // of two bytes the low ones come first
  let level = 0, seen = 0;
  for await (const piece of inflate(packed.data)) {
    const first = Math.min(piece.length, Math.max(0, low - seen));
    if (first) indices.set(piece.subarray(0, first), seen);
    for (let j = first, i = seen + first - low; j < piece.length; j++, i++) {
      indices[i] = level = after(level, indices[i] | (piece[j] << shift));
    }
    seen += piece.length;
  }
  if (seen !== packed.planes * count) throw new RangeError("it is cut short");
  packed.data = "";
  return {indices, values: packed.values, beyond: packed.beyond};
}

function strideOf(shape, axis) {
  return axis === AXIS_X ? 1 : axis === AXIS_Y ? shape[2] : shape[1] * shape[2];
}

// The indices of one slice, row by row as it is drawn.
function sliceOf(volume, shape, plane, position) {
  const width = shape[plane.across], height = shape[plane.down];
  const stepRight = strideOf(shape, plane.across);
  const stepDown = strideOf(shape, plane.down) * (plane.upwards ? -1 : 1);
  let row = position * strideOf(shape, plane.through);
  if (plane.upwards) row -= stepDown * (height - 1);
  const result = new volume.indices.constructor(width * height);
  for (let y = 0, to = 0; y < height; y++, row += stepDown) {
    for (let x = 0, from = row; x < width; x++, from += stepRight) {
      result[to++] = volume.indices[from];
    }
  }
  return result;
}

function indexAt(volume, shape, voxel) {
  return volume.indices[(voxel[0] * shape[1] + voxel[1]) * shape[2] + voxel[2]];
}

// How many millimetres (or, of a picture, pixels) towards head, back and left: [z, y, x].
function positionOf(scene, voxel) {
  return [0, 1, 2].map((world) => scene.origin[world] + [0, 1, 2].reduce(
    (sum, axis) => sum + scene.direction[3 * world + axis] * scene.spacing[axis] * voxel[axis], 0));
}

// A voxel of the slice that shows most of a target, in the first layer that has it.
function placeOf(volumes, shape, values) {
  for (const volume of volumes) {
    const wanted = volume.values.map((value) => values.includes(value));
    const size = shape[1] * shape[2];
    let best = -1, most = 0;
    for (let z = 0; z < shape[0]; z++) {
      let area = 0;
      for (let i = z * size; i < (z + 1) * size; i++) area += wanted[volume.indices[i]];
      if (area > most) [best, most] = [z, area];
    }
    if (best < 0) continue;
    for (let i = best * size, seen = 0; ; i++) {
      seen += wanted[volume.indices[i]];
      if (seen > most / 2) {
        const inside = i - best * size;
        return [best, Math.floor(inside / shape[2]), inside % shape[2]];
      }
    }
  }
  return null;
}
