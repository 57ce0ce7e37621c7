import { Composing } from '../src/composing';
import { isMessage } from '../src/typing';

jest.mock('@jupyterlab/notebook', () => ({}));

beforeEach(() => void jest.useFakeTimers());
afterEach(() => void jest.useRealTimers());

function told(): { composing: Composing; said: boolean[] } {
  const said: boolean[] = [];
  return { said, composing: new Composing(on => void said.push(on)) };
}

test('typing is told once, and ends three seconds after the last key', () => {
  const { composing, said } = told();
  for (let key = 0; key < 20; key++) {
    composing.typed('composer');
    jest.advanceTimersByTime(2900);
  }
  expect(said).toEqual([true]);
  jest.advanceTimersByTime(200);
  expect(said).toEqual([true, false]);
  composing.typed('composer');
  expect(said).toEqual([true, false, true]);
});

test('what is sent, emptied or left is no longer typed', () => {
  const { composing, said } = told();
  composing.left('composer');
  composing.typed('composer');
  composing.left('composer');
  composing.left('composer');
  jest.advanceTimersByTime(10_000);
  expect(said).toEqual([true, false]);
});

test('a page types as long as it does in any place', () => {
  const { composing, said } = told();
  composing.typed('cell');
  composing.typed('composer');
  composing.left('cell');
  expect(said).toEqual([true]);
  composing.left('composer');
  expect(said).toEqual([true, false]);
});

test.each([
  ['%%chat', true],
  ['%%chat -t strong\nwhat failed?', true],
  ['\n  %chat hello', true],
  ['%chatter', false],
  ['%%dispatch\n%chat', false],
  ['x = 1', false]
])('%j is a message: %j', (source, expected) => {
  expect(isMessage(source)).toBe(expected);
});
