import { listRows } from '../../src/sidebar/listing';
import { target } from '../../src/sidebar/roving';
import { card, notebook } from './cards';

const here = notebook('here', card({ uid: 'first' }), card({ uid: 'second' }));
const there = notebook('there', card({ uid: 'third' }));
const rows = listRows([here, there], here, '', () => false);

test('the rows are two heads, three cards and the path of a notebook', () => {
  expect(rows.map(row => row.key)).toEqual(['#running', 'first', 'second', '#others', '#notebook there', 'third']);
});

test.each([
  ['ArrowDown', 0, 1],
  ['ArrowUp', 2, 1],
  ['ArrowDown', 3, 5], // a path takes no focus
  ['ArrowUp', 5, 3],
  ['Home', 5, 0],
  ['End', 0, 5],
  ['PageDown', 1, 5],
  ['PageUp', 5, 2],
  ['ArrowUp', 0, 0],
  ['ArrowDown', 5, 5]
])('%s leads from row %d to row %d', (key, from, to) => {
  expect(target(key, from, rows, 3)).toBe(to);
});

test('any other key is not ours', () => {
  expect(target('Delete', 1, rows, 3)).toBeNull();
});
