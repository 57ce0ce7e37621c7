import type { Notebook } from '../src/document/mark';
import { deletedIn, KEY, markOf, sumOf } from '../src/document/mark';
import { isAnchored, standingOf } from '../src/document/results';
import { at, cell, dispatched, granted, ids, notebook, open, outputs, text, uids } from './document';

describe('a granted result', () => {
  test('comes below its dispatching cell, after its earlier results', () => {
    const { doc, grant } = open('d', 'x');
    grant(granted('a', '1', { cohort: 'h', last: false }));
    grant(granted('b', '2', { cohort: 'h' }));
    expect(ids(doc)).toEqual(['d', 'jo-a-1-0', 'jo-b-2-0', 'x']);
    expect(outputs(doc, 'jo-a-1-0')).toContain('1\\n');
  });

  test('stops before the results of another cell', () => {
    const { doc, grant } = open('e', 'd');
    grant(granted('a', '1', { cell: 'd' }));
    doc.moveCell(0, 1);
    grant(granted('b', '2', { cell: 'd', cohort: 'h-1' }));
    expect(ids(doc)).toEqual(['d', 'jo-b-2-0', 'e', 'jo-a-1-0']);
  });

  test.each(['gone', ''])('comes at the end when its cell is %j', missing => {
    const { doc, grant } = open('d', 'x');
    grant(granted('a', '1', { cell: missing }));
    expect(ids(doc)).toEqual(['d', 'x', 'jo-a-1-0']);
  });

  test('of several parts keeps their order', () => {
    const { doc, grant } = open('d', 'x');
    grant(granted('a', '1', { cells: [cell('a', '1'), cell('a', '1', text, 1)] }));
    expect(ids(doc)).toEqual(['d', 'jo-a-1-0', 'jo-a-1-1', 'x']);
  });

  test('that is there is not put in again', () => {
    const { doc, grant } = open('d');
    grant(granted('a', '1'));
    expect(grant(granted('a', '1'))).toEqual([]);
    expect(ids(doc)).toEqual(['d', 'jo-a-1-0']);
  });

  test('cannot be undone, and what the person did can', () => {
    const { doc, grant } = open('d', 'x');
    at(doc, 'x').setSource('typed');
    grant(granted('a', '1'));
    doc.undo();
    expect(ids(doc)).toEqual(['d', 'jo-a-1-0', 'x']);
    expect(at(doc, 'x').getSource()).toBe('x');
  });

  test('is marked trusted only when it says so, whatever its metadata hold', () => {
    const { doc, grant } = open('d');
    const forged = { ...cell('b', '2').metadata, trusted: true };
    grant(granted('a', '1', { cohort: 'h', last: false }));
    grant(granted('b', '2', { cohort: 'h', cells: [cell('b', '2', { trusted: false, metadata: forged })] }));
    expect(at(doc, 'jo-a-1-0').getMetadata('trusted')).toBe(true);
    expect(at(doc, 'jo-b-2-0').getMetadata('trusted')).toBeUndefined();
  });

  test('asks the page for none of the cells that are not to give it their place', () => {
    const { grant, hands } = open('d', 'x', 'y');
    grant(granted('a', '1', { cohort: 'h', last: false }));
    const asked = jest.fn(() => false);
    hands.isQueued = hands.isTouched = hands.isTrusted = asked;
    grant(granted('b', '2', { cohort: 'h' }));
    expect(asked).not.toHaveBeenCalled();
  });
});

describe('running a dispatching cell again', () => {
  test('puts the new result in the place of the old one, which keeps its id', () => {
    const { doc, grant } = open('d', 'x');
    grant(granted('a', '1'));
    grant(granted('a', '2'));
    expect(ids(doc)).toEqual(['d', 'jo-a-1-0', 'x']);
    expect(uids(doc)).toEqual([undefined, '2', undefined]);
    expect(outputs(doc, 'jo-a-1-0')).toContain('2\\n');
    expect(deletedIn(doc as any)).toEqual([]);
  });

  test('takes the old outputs away before the new ones come: pages run texts together otherwise', () => {
    const { doc, grant } = open('d', 'x');
    grant(granted('a', '1'));
    const steps: string[] = [];
    at(doc, 'jo-a-1-0').changed.connect((_, { outputsChange }) => {
      const found = outputsChange?.flatMap(change => Object.keys(change)) ?? [];
      steps.push(found.filter(each => each !== 'retain').join());
    });
    grant(granted('a', '2'));
    expect(steps.filter(step => step !== '')).toEqual(['delete', 'insert']);
  });

  test('finds the old one by name first', () => {
    const { doc, grant } = open('d');
    grant(granted('a', '1', { cohort: 'h', last: false }));
    grant(granted('b', '2', { cohort: 'h' }));
    grant(granted('b', '3', { cohort: 'k', last: false }));
    expect(uids(doc)).toEqual([undefined, '1', '3']);
    grant(granted('c', '4', { cohort: 'k' }));
    expect(uids(doc)).toEqual([undefined, '4', '3']);
  });

  test('takes away what is left over with the last result', () => {
    const { doc, grant } = open('d', 'x');
    grant(granted('a', '1', { cohort: 'h', last: false }));
    grant(granted('b', '2', { cohort: 'h' }));
    grant(granted('b', '3', { cohort: 'k', last: true }));
    expect(uids(doc)).toEqual([undefined, '3', undefined]);
  });

  test.each(['edited', 'pinned', 'in hand'])('leaves an old result that is %s', why => {
    const { doc, grant, hands } = open('d');
    grant(granted('a', '1'));
    const old = at(doc, 'jo-a-1-0');
    if (why === 'edited') {
      old.setSource('%task a  # mine');
    } else if (why === 'pinned') {
      old.setMetadata(KEY, { ...(old.getMetadata(KEY) as object), pinned: true });
    } else {
      hands.touched.add(old.id);
    }
    grant(granted('a', '2'));
    expect(uids(doc)).toEqual([undefined, '1', '2']);
  });

  test('fills an old result that waits in the queue and never takes it away', () => {
    const { doc, grant, hands } = open('d');
    grant(granted('a', '1', { cohort: 'h', last: false }));
    grant(granted('b', '2', { cohort: 'h' }));
    hands.queued.add('jo-a-1-0').add('jo-b-2-0');
    grant(granted('a', '3', { cohort: 'k', last: true }));
    expect(ids(doc)).toEqual(['d', 'jo-a-1-0', 'jo-b-2-0']);
    expect(uids(doc)).toEqual([undefined, '3', '2']);
  });

  test('changes code into text in the same place', () => {
    const { doc, grant } = open('d', 'x');
    grant(granted('a', '1'));
    grant(granted('a', '2', { cells: [cell('a', '2', text)] }));
    expect(ids(doc)).toEqual(['d', 'jo-a-1-0', 'x']);
    expect([doc.cells[1]?.cell_type, doc.cells[1]?.getSource()]).toEqual(['markdown', '**found**']);
  });

  test('never shows untrusted outputs in a cell that was trusted', () => {
    const { doc, grant, hands } = open('d');
    grant(granted('a', '1'));
    const before = doc.cells[1];
    hands.trusted.add('jo-a-1-0');
    grant(granted('a', '2', { cells: [cell('a', '2', { trusted: false })] }));
    expect(doc.cells[1]).not.toBe(before);
    expect(at(doc, 'jo-a-1-0').getMetadata('trusted')).toBeUndefined();
  });

  test('of another dispatching cell replaces nothing', () => {
    const { doc, grant } = open('d', 'e');
    grant(granted('a', '1', { cell: 'd' }));
    grant(granted('a', '2', { cell: 'e' }));
    expect(ids(doc)).toEqual(['d', 'jo-a-1-0', 'e', 'jo-a-2-0']);
  });

  test('ends the old results that were replaced or taken away: offered again, they are not wanted', () => {
    const { doc, grant } = open('d');
    grant(granted('a', '1', { cohort: 'h', last: false }));
    grant(granted('b', '2', { cohort: 'h' }));
    grant(granted('a', '3'));
    grant(granted('a', '4'));
    const standings = ['1', '2', '3', '4'].map(uid => standingOf(doc as unknown as Notebook, uid, 1));
    expect(standings).toEqual(['deleted', 'deleted', 'deleted', 'present']);
    expect(uids(doc)).toEqual([undefined, '4']);
  });

  test('keeps its new result from the late one of its earlier run, and takes that away at its own end', () => {
    const { doc, grant } = open('d', 'x');
    const [early, late] = [dispatched('a', '1', 10), dispatched('a', '2', 20)];
    grant(granted('a', '2', { cells: [late], last: false }));
    grant(granted('a', '1', { cells: [early] }));
    expect(uids(doc)).toEqual([undefined, '2', '1', undefined]);
    grant(granted('b', '3', { cells: [dispatched('b', '3', 21)], cohort: 'h-2' }));
    expect(uids(doc)).toEqual([undefined, '2', '3', undefined]);
  });

  test('is not needed: a task that is tried again puts its new result in the place of the old one', () => {
    const { doc, grant } = open('d', 'x');
    grant(granted('a', '1', { cohort: 'h', last: false }));
    grant(granted('b', '2', { cohort: 'h' }));
    grant(granted('a', '1', { cohort: 'h', attempt: 2 }));
    expect(uids(doc)).toEqual([undefined, '1', '2', undefined]);
    expect(markOf(doc.cells[1] as any)?.attempt).toBe(2);
  });

  test('words that no cell asked for replace nothing', () => {
    const { doc, grant } = open('d');
    grant(granted('', '1', { cell: '' }));
    grant(granted('', '2', { cell: '' }));
    expect(uids(doc)).toEqual([undefined, '1', '2']);
  });
});

describe('a cell that a result is meant for', () => {
  test('gets the outputs and the mark, and keeps its source', () => {
    const { doc, grant } = open('d', 'x');
    at(doc, 'x').setSource('%task a\n');
    at(doc, 'x').execution_count = 5;
    grant(granted('a', '1', { into: 'x' }));
    expect(ids(doc)).toEqual(['d', 'x']);
    expect([at(doc, 'x').getSource(), markOf(at(doc, 'x') as any)?.uid]).toEqual(['%task a\n', '1']);
    expect(outputs(doc, 'x')).toContain('1\\n');
    expect(at(doc, 'x').execution_count).toBe(5);
    expect(markOf(at(doc, 'x') as any)?.sum).toBe(sumOf('%task a\n'));
  });

  test('that shows the outputs gets the mark alone', () => {
    const { doc, grant } = open('d', 'x');
    at(doc, 'x').setOutputs([{ output_type: 'stream', name: 'stdout', text: 'live\n' }] as any);
    grant(granted('a', '1', { into: 'x', filled: true }));
    expect(markOf(at(doc, 'x') as any)?.uid).toBe('1');
    expect(outputs(doc, 'x')).toContain('live');
  });

  test('is left when it holds another result that the person edited', () => {
    const { doc, grant } = open('d', 'x');
    grant(granted('a', '1', { into: 'x' }));
    at(doc, 'x').setSource('mine');
    grant(granted('b', '2', { into: 'x', cohort: 'h-1' }));
    expect(uids(doc)).toEqual([undefined, '1', '2']);
  });

  test('that is gone gives way to a new cell', () => {
    const { doc, grant } = open('d');
    grant(granted('a', '1', { into: 'gone', filled: true }));
    expect(ids(doc)).toEqual(['d', 'jo-a-1-0']);
  });
});

test('an offer is anchored by its dispatching cell or by the cell that it is meant for', () => {
  const doc = notebook('d') as unknown as Notebook;
  const offer = { type: 'Offer', uid: '1', attempt: 1, round: 1, cohort: '' } as const;
  expect(isAnchored(doc, { ...offer, cell: 'd', into: 'x' })).toBe(true);
  expect(isAnchored(doc, { ...offer, cell: 'x', into: 'd' })).toBe(true);
  expect(isAnchored(doc, { ...offer, cell: '', into: '' })).toBe(false);
});
