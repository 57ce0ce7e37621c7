import React from 'react';

import type { ITools } from '../../src/sidebar/card';
import type { IResourceRow } from '../../src/sidebar/listing';
import { Lacking } from '../../src/sidebar/lacking';
import { ResourceItem, resourceHeight } from '../../src/sidebar/resourceItem';
import type { NotebookModel } from '../../src/model';
import type { ILack, IResourceView } from '../../src/protocol';
import { amount, holding, lackWords } from '../../src/words';
import { golden } from '../golden';
import { card, holder, lease, notebook, resource, trans } from './cards';
import { drawn } from './drawn';

interface ISentence {
  now: number;
  lack: ILack;
  words: string;
}

test.each(golden<ISentence>('sentences'))('why someone waits is said as the kernel says it: $words', ({ now, lack, words }) => {
  expect(lackWords(lack, now, trans)).toBe(words);
});

test.each([
  [{}, '1 of 1 in use'],
  [{ used: 0, capacity: 4 }, '0 of 4 in use'],
  [{ used: 0, holders: [holder({ state: 'elsewhere' })] }, '0 of 1 in use here'],
  [{ name: 'mem', used: 2 ** 31, capacity: 33_285_996_544 }, '2.0 of 31.0 GiB'],
  [{ name: 'path', capacity: null, holders: [holder()], more_holders: 2 }, '3 held']
])('of %o it says %s', (changes, words) => {
  expect(amount(resource(changes), trans)).toBe(words);
});

test.each([
  [{ since: 90, state: 'held' }, 'for 10 s'],
  [{ since: 20, state: 'waiting' }, 'waits 1:20'],
  [{ since: 200, state: 'waiting' }, 'waits 0 s'],
  [{ since: null, state: 'elsewhere' }, 'elsewhere']
])('of %o it says %s', (changes, words) => {
  expect(holding(holder(changes), 100, trans)).toBe(words);
});

const shown: string[] = [];
const tools = { trans, show: (uid: string) => void shown.push(uid) } as unknown as ITools;

function draw(model: NotebookModel, found: IResourceView, reached = false): HTMLElement {
  const place = { kind: 'resource' as const, key: '#resource press', list: 'resources' as const, position: 1, size: 1 };
  const row: IResourceRow = { ...place, notebook: model, resource: found };
  return drawn(React.createElement(ResourceItem, { row, tools, style: {}, reached }));
}

function lines(node: HTMLElement, list: 'ul' | 'ol'): string[] {
  return [...node.querySelectorAll(`${list} li`)].map(item => [...item.children].map(part => part.textContent).join(' | '));
}

test('a resource shows its holders, and who waits in order', () => {
  const fit = card({ uid: 'a', name: 'fit' });
  const plot = card({ uid: 'b', name: 'plot', state: 'queued' });
  const model = notebook('n', fit, plot);
  jest.spyOn(model, 'now').mockReturnValue(100);
  const found = resource({
    holders: [holder({ uid: 'a', since: 88 }), holder({ name: 'x of other.ipynb', since: null, state: 'elsewhere' })],
    waiting: [holder({ uid: 'b', name: 'plot', since: 95, what: 'press=2' }), holder({ name: '', since: 99 })].map(one => ({
      ...one,
      state: 'waiting'
    }))
  });
  const node = draw(model, found);
  expect(lines(node, 'ul')).toEqual(['fit | for 12 s', 'x of other.ipynb | elsewhere']);
  expect(lines(node, 'ol')).toEqual(['plot | press=2 | waits 5 s', 'your own code | waits 1 s']);
});

test('a task leads to its card, by the name that it has now; nobody else leads anywhere', () => {
  const model = notebook('n', card({ uid: 'a', name: 'fit@1' }));
  const found = resource({ holders: [holder({ uid: 'a', name: 'fit' }), holder({ uid: 'gone', name: 'gone' }), holder({ name: '' })] });
  const buttons = draw(model, found).querySelectorAll('button');
  expect([...buttons].map(button => button.textContent)).toEqual(['fit@1']);
  buttons[0]!.dispatchEvent(new MouseEvent('click', { bubbles: true }));
  expect(shown).toEqual(['a']);
  expect(buttons[0]!.getAttribute('aria-label')).toContain('fit@1');
});

test('only the row that Tab reaches has buttons that Tab reaches', () => {
  const model = notebook('n', card({ uid: 'a' }));
  const found = resource({ holders: [holder({ uid: 'a' })] });
  expect(draw(model, found, false).querySelector('button')!.tabIndex).toBe(-1);
  expect(draw(model, found, true).querySelector('button')!.tabIndex).toBe(0);
});

test('what is left out is counted, and has its room', () => {
  const found = resource({ holders: [holder()], waiting: [holder()], more_holders: 4, more_waiting: 180 });
  const node = draw(notebook('n'), found);
  expect([...node.querySelectorAll('.jp-mod-more')].map(more => more.textContent)).toEqual(['+ 4 more hold it', '+ 180 more wait']);
  expect(resourceHeight(found) - resourceHeight(resource())).toBe(4 * 18);
});

test('a card says why it waits, and no more than for what where that is not known', () => {
  const queued = card({ uid: 'a', state: 'queued', lacks: 'waits for press' });
  const model = notebook('n', queued);
  jest.spyOn(model, 'now').mockReturnValue(100);
  const text = (): string =>
    drawn(React.createElement(Lacking, { card: queued, lack: model.lackOf('a'), notebook: model, trans })).textContent!;
  expect(text()).toBe('waits for press');
  const lack = { uid: 'a', missing: 'press', holders: [{ name: 'fit', since: 70 }], more: 0, elsewhere: '', ahead: 1 };
  lease(model, [], [lack]);
  expect(text()).toBe('waits for press, held by fit (for 30 s); 1 ahead of it');
});
