import type { YNotebook } from '@jupyter/ydoc';
import * as Y from 'yjs';

import { Keeper } from '../src/document/keeper';
import type { Notebook } from '../src/document/mark';
import { DELETED_LIMIT, deletedIn, KEY, keyOf, markOf, setDeleted } from '../src/document/mark';
import { insert, standingOf } from '../src/document/results';
import { granted, Hands, ids, merge, notebook, open, settled, twin } from './document';

describe('what the person deletes', () => {
  const standing = (doc: YNotebook, uid: string): string => standingOf(doc as unknown as Notebook, uid, 1);

  test('stays deleted', async () => {
    const { doc, grant } = open('d');
    grant(granted('a', '1'));
    expect(standing(doc, '1')).toBe('present');
    doc.deleteCell(1);
    await settled();
    expect([standing(doc, '1'), deletedIn(doc as any)]).toEqual(['deleted', ['1/1/0']]);
    expect(grant(granted('a', '1'))).toEqual([]);
    expect(ids(doc)).toEqual(['d']);
  });

  test('comes back with an undo, and its tombstone goes', async () => {
    const { doc, grant } = open('d');
    grant(granted('a', '1'));
    doc.deleteCell(1);
    await settled();
    doc.undo();
    await settled();
    expect([standing(doc, '1'), deletedIn(doc as any)]).toEqual(['present', []]);
    expect(doc.getMetadata(KEY)).toBeUndefined();
  });

  test('or cuts comes back with a paste, under another id', async () => {
    const { doc, grant } = open('d');
    grant(granted('a', '1'));
    const { id: _, ...cut } = doc.cells[1]!.toJSON();
    doc.deleteCell(1);
    await settled();
    doc.insertCells(0, [cut as any]);
    await settled();
    expect([standing(doc, '1'), deletedIn(doc as any)]).toEqual(['present', []]);
  });

  test('is not what they move, nor what is missing after the file was read anew', async () => {
    const { doc, grant } = open('d', 'x');
    grant(granted('a', '1'));
    doc.moveCell(1, 2);
    await settled();
    expect(deletedIn(doc as any)).toEqual([]);
    doc.setSource(notebook('d', 'x').getSource());
    await settled();
    expect([standing(doc, '1'), deletedIn(doc as any)]).toEqual(['absent', []]);
  });

  test('with all other cells is remembered too', async () => {
    const { doc, grant } = open('d');
    grant(granted('a', '1'));
    doc.transact(() => {
      doc.deleteCellRange(0, 2);
      doc.insertCell(0, { cell_type: 'code', metadata: {} });
    });
    await settled();
    expect(deletedIn(doc as any)).toEqual(['1/1/0']);
  });

  test('is not what a later result replaced', async () => {
    const { doc, grant } = open('d', 'x');
    grant(granted('a', '1'));
    grant(granted('a', '2'));
    doc.deleteCell(2);
    await settled();
    expect(deletedIn(doc as any)).toEqual([]);
  });

  test('on another page is left to that page', async () => {
    const { doc, grant } = open('d');
    grant(granted('a', '1'));
    const other = twin(doc);
    other.deleteCell(1);
    Y.applyUpdate(doc.ydoc, Y.encodeStateAsUpdate(other.ydoc));
    await settled();
    expect([ids(doc), deletedIn(doc as any)]).toEqual([['d'], []]);
  });

  test('is forgotten when it is very old, and the rest of our metadata is kept', () => {
    const doc = notebook('d');
    doc.setMetadata(KEY, { other: 1 });
    setDeleted(doc as any, Array.from({ length: DELETED_LIMIT + 1 }, (_, index) => keyOf({ uid: `${index}`, attempt: 1, part: 0 })));
    expect(deletedIn(doc as any)[0]).toBe('1/1/0');
    expect(doc.getMetadata(KEY)).toMatchObject({ other: 1 });
  });
});

describe('doubles', () => {
  test('of two pages that inserted at once: one stays, the same on both', async () => {
    const { doc, grant } = open('d', 'x');
    const other = twin(doc);
    const keeper = new Keeper(other as unknown as Notebook);
    grant(granted('a', '1'));
    keeper.own(() => insert(other as unknown as Notebook, granted('a', '1'), new Hands()));
    merge(doc, other);
    expect(ids(doc)).toHaveLength(4);
    await settled();
    merge(doc, other);
    expect(ids(doc)).toEqual(['d', 'jo-a-1-0', 'x']);
    expect(ids(other)).toEqual(ids(doc));
    expect(deletedIn(doc as any)).toEqual([]);
  });

  test.each([0, 2])('that the person made by copying to %d stay, as cells of their own', async index => {
    const { doc, grant } = open('d');
    grant(granted('a', '1'));
    const { id: _, ...copy } = doc.cells[1]!.toJSON();
    doc.insertCells(index, [copy as any]);
    await settled();
    expect(doc.cells).toHaveLength(3);
    expect(doc.cells.filter(each => markOf(each) !== null).map(({ id }) => id)).toEqual(['jo-a-1-0']);
  });
});
