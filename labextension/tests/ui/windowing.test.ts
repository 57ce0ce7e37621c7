import { offsetsOf, revealed, rowAt, windowOf } from '../../src/sidebar/windowing';

const offsets = offsetsOf([10, 20, 30, 40]);

test('each row begins where the one before it ends', () => {
  expect([...offsets]).toEqual([0, 10, 30, 60, 100]);
});

test.each([
  [-5, 0],
  [0, 0],
  [9.9, 0],
  [10, 1],
  [59, 2],
  [60, 3],
  [1000, 3]
])('the row at %d is %d', (y, row) => {
  expect(rowAt(offsets, y)).toBe(row);
});

test('the window holds the rows in view and the spare ones, never any outside', () => {
  expect(windowOf(offsets, 10, 20, 0)).toEqual({ first: 1, end: 2 });
  expect(windowOf(offsets, 10, 21, 0)).toEqual({ first: 1, end: 3 });
  expect(windowOf(offsets, 10, 20, 1)).toEqual({ first: 0, end: 3 });
  expect(windowOf(offsets, 90, 500, 9)).toEqual({ first: 0, end: 4 });
});

test('a window over nothing is empty', () => {
  expect(windowOf(offsetsOf([]), 0, 500, 6)).toEqual({ first: 0, end: 0 });
});

test('a row in view needs no scrolling, one outside the least', () => {
  expect(revealed(offsets, 1, 5, 30)).toBe(5);
  expect(revealed(offsets, 0, 5, 30)).toBe(0);
  expect(revealed(offsets, 3, 5, 50)).toBe(50);
});
