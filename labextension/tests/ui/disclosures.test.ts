import { detailHeight, Disclosures, linesOf, questionHeight } from '../../src/sidebar/disclosures';
import { question } from './cards';

test('a short action is shown whole at once, a long one when the person wants it', () => {
  const all = new Disclosures();
  expect(all.isOpen(question({ detail: 'ls' }))).toBe(true);
  expect(all.isOpen(question({ detail: 'x\n'.repeat(30) }))).toBe(false);
  expect(all.isOpen(question({ detail: 'x'.repeat(1000) }))).toBe(false);
});

test('what was folded stays so for that question, and another is as it is', () => {
  const all = new Disclosures();
  let changes = 0;
  all.changed.connect(() => void (changes += 1));
  all.toggle(question());
  expect([all.isOpen(question()), all.isOpen(question({ digest: 'd2' })), changes]).toEqual([false, true, 1]);
  all.toggle(question());
  expect(all.isOpen(question())).toBe(true);
});

test.each([
  ['', 1],
  ['a\nb', 2],
  ['x'.repeat(100), 4],
  ['x\n'.repeat(1_000_000), 9]
])('an action takes only so many lines of a card (%#)', (detail, lines) => {
  expect(linesOf(detail)).toBe(lines);
});

test('a question has the height of what is shown of it', () => {
  const folded = questionHeight('It asks: run', 'pytest -q', false);
  expect(questionHeight('It asks: run', 'pytest -q', true)).toBe(folded + detailHeight('pytest -q') + 4);
  expect(questionHeight('It asks: run', '', true)).toBeLessThan(folded);
  expect(questionHeight('It asks: '.repeat(9), 'pytest -q', false)).toBe(folded + 16);
});
