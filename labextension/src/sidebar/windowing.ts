/** Which rows of a long list are in view, from their heights alone. It knows neither tasks nor any DOM. */

/** Where each row begins; one more entry says where the last one ends. */
export function offsetsOf(heights: readonly number[]): Float64Array {
  const offsets = new Float64Array(heights.length + 1);
  heights.forEach((height, index) => {
    offsets[index + 1] = offsets[index]! + height;
  });
  return offsets;
}

/** The row at `y`; the nearest one where `y` is outside. */
export function rowAt(offsets: Float64Array, y: number): number {
  let low = 0;
  let high = offsets.length - 2;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (offsets[middle]! <= y) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return Math.max(0, low);
}

/** The rows from `first` up to, but without, `end` that touch the view, and `spare` more on either side. */
export function windowOf(
  offsets: Float64Array,
  top: number,
  height: number,
  spare: number
): { first: number; end: number } {
  const rows = offsets.length - 1;
  if (rows === 0) {
    return { first: 0, end: 0 };
  }
  const first = rowAt(offsets, top);
  const last = rowAt(offsets, top + Math.max(0, height - 1));
  return { first: Math.max(0, first - spare), end: Math.min(rows, last + 1 + spare) };
}

/** The least scrolling that brings a row into view. */
export function revealed(offsets: Float64Array, index: number, top: number, height: number): number {
  const begin = offsets[index]!;
  const end = offsets[index + 1]!;
  if (begin < top) {
    return begin;
  }
  return end > top + height ? end - height : top;
}
