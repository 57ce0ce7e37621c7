import type { YNotebook } from '@jupyter/ydoc';

import type { Notebook } from '../src/document/mark';
import { KEY } from '../src/document/mark';
import { isAnchored, standingOf } from '../src/document/results';
import type { IGrant, INewCell } from '../src/protocol';
import { at, cell, dispatched, granted, ids, open, text, uids } from './document';

describe('a reply of the master', () => {
  const spoken = 'jo-reply-m1';
  const output = (text: string, display = spoken): any => ({
    ...{ output_type: 'display_data', data: { 'text/markdown': text } },
    metadata: { orchestra: { reply: display } }
  });

  /** For the cell `d`, in which the person spoke. */
  function reply(text: string, uid = 'm1', changes: Partial<IGrant> = {}): IGrant {
    const mark = { task: '', uid, kind: 'reply', attempt: 1, part: 0, cell: 'd', cohort: '', at: 1 };
    const made: INewCell = {
      ...{ id: `jo-master-${uid}-1`, cell_type: 'code', source: '', metadata: { [KEY]: mark }, trusted: false },
      outputs: [output(text, `jo-reply-${uid}`)]
    };
    return granted('', uid, { into: 'd', last: false, cohort: '', cells: [made], ...changes });
  }

  const said = (doc: YNotebook): unknown[] => at(doc, 'd').getOutputs().map(each => (each as any).data ?? (each as any).text);

  test('takes the place of what has come of it, and leaves source, run and other outputs as they are', () => {
    const { doc, grant, hands } = open('d', 'x');
    const cell = at(doc, 'd');
    const stream = { output_type: 'stream', name: 'stdout', text: 'before\n' } as const;
    cell.setSource('%%chat\nwhat failed? (edited since)');
    cell.execution_count = 7;
    cell.setMetadata('tags', ['mine']);
    cell.setOutputs([stream, output('**two**'), output('other', 'jo-reply-m0')]);
    hands.trusted.add('d');
    expect(grant(reply('**two** failed'))).toEqual(['d']);
    expect(said(doc)).toEqual(['before\n', { 'text/markdown': '**two** failed' }, { 'text/markdown': 'other' }]);
    expect([cell.getSource(), cell.execution_count, cell.getMetadata('tags')]).toEqual([
      ...['%%chat\nwhat failed? (edited since)', 7, ['mine']]
    ]);
    expect(ids(doc)).toEqual(['d', 'x']);
    expect(standingOf(doc as unknown as Notebook, 'm1', 1)).toBe('present');
  });

  test('comes after the other outputs where nothing of it is there', () => {
    const { doc, grant } = open('d');
    at(doc, 'd').setOutputs([output('other', 'jo-reply-m0')]);
    grant(reply('new'));
    expect(said(doc)).toEqual([{ 'text/markdown': 'other' }, { 'text/markdown': 'new' }]);
  });

  test('that is shown whole is marked, and nothing is written anew', () => {
    const { doc, grant } = open('d');
    at(doc, 'd').setOutputs([output('whole')]);
    let changes = 0;
    at(doc, 'd').changed.connect((_, { outputsChange }) => void (changes += outputsChange === undefined ? 0 : 1));
    grant(reply('whole'));
    expect([changes, uids(doc)]).toEqual([0, ['m1']]);
  });

  test('makes no cell trusted', () => {
    const { doc, grant, hands } = open('d');
    grant(reply('new'));
    expect([at(doc, 'd').getMetadata('trusted'), hands.trusted.size]).toEqual([undefined, 0]);
  });

  test('waits while its cell runs once more', () => {
    const { doc, grant, hands } = open('d');
    hands.queued.add('d');
    expect(grant(reply('new'))).toEqual([]);
    expect(standingOf(doc as unknown as Notebook, 'm1', 1)).toBe('absent');
    hands.queued.clear();
    expect(grant(reply('new'))).toEqual(['d']);
  });

  test('of a second message in the same cell settles the first, too', () => {
    const { doc, grant } = open('d');
    grant(reply('one'));
    grant(reply('two', 'm2'));
    expect(said(doc)).toEqual([{ 'text/markdown': 'one' }, { 'text/markdown': 'two' }]);
    expect(standingOf(doc as unknown as Notebook, 'm1', 1)).toBe('deleted');
  });

  test('has its place only in a code cell, and not where that is gone', () => {
    const { doc } = open('d');
    const offer = { type: 'Offer', uid: 'm1', attempt: 1, cell: 'd', into: 'd', round: 1, cohort: '' } as const;
    const anchored = (): boolean => isAnchored(doc as unknown as Notebook, offer);
    expect(anchored()).toBe(true);
    doc.deleteCell(0);
    expect(anchored()).toBe(false);
    doc.insertCell(0, { id: 'd', cell_type: 'markdown', source: '', metadata: {} } as any);
    expect(anchored()).toBe(false);
  });

  test('never takes the place of a result, and no result takes its cell', () => {
    const { doc, grant } = open('d', 'x');
    grant(granted('a', '1', { cohort: 'h-1' }));
    grant(reply('one'));
    grant(granted('a', '2', { cohort: 'h-2', cells: [dispatched('a', '2', 5)] }));
    expect(ids(doc)).toEqual(['d', 'jo-a-1-0', 'x']);
    expect(uids(doc)).toEqual(['m1', '2', undefined]);
  });
});

describe('the words of the master in a cell of their own', () => {
  function words(uid: string, cohort: string, moment: number, changes: Partial<IGrant> = {}): IGrant {
    const mark = { task: '', uid, kind: 'master', attempt: 1, part: 0, at: moment };
    const made = cell('', uid, { ...text, id: `jo-master-${uid}`, source: `#### ${uid}`, metadata: { [KEY]: mark } });
    return granted('', uid, { cohort, cells: [made], ...changes });
  }

  test('stand below the results of which they speak', () => {
    const { doc, grant } = open('d', 'x');
    grant(granted('a', '1', { cohort: 'h' }));
    grant(words('w', 'h', 1));
    expect(ids(doc)).toEqual(['d', 'jo-a-1-0', 'jo-master-w', 'x']);
  });

  test('give their place to those of a later run, and results theirs to results', () => {
    const { doc, grant } = open('d', 'x');
    grant(granted('a', '1', { cohort: 'h1', cells: [dispatched('a', '1', 1)] }));
    grant(words('w1', 'h1', 1));
    grant(words('w2', 'h1', 1));
    grant(granted('a', '2', { cohort: 'h2', cells: [dispatched('a', '2', 2)] }));
    expect(uids(doc)).toEqual([undefined, '2', 'w1', 'w2', undefined]);
    grant(words('w3', 'h2', 2));
    expect(uids(doc)).toEqual([undefined, '2', 'w3', undefined]);
  });

  test('stay as they are once the person has changed them', () => {
    const { doc, grant } = open('d');
    grant(words('w1', 'h1', 1));
    at(doc, 'jo-master-w1').setSource('mine now');
    grant(words('w2', 'h2', 2));
    expect(uids(doc)).toEqual([undefined, 'w1', 'w2']);
  });

  test('come at the end when no cell is theirs', () => {
    const { doc, grant } = open('d', 'x');
    grant(words('w', '', 1, { cell: '' }));
    expect(ids(doc)).toEqual(['d', 'x', 'jo-master-w']);
  });
});
