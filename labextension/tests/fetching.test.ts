import { fetchArtifact } from '../src/panel/fetching';
import { NotebookModel } from '../src/model';
import type { IFetch, ISnapshot, ToPage } from '../src/protocol';
import { golden } from './golden';
import { trans } from './ui/cards';

const snapshot = golden<ToPage>('to_page').find(({ type }) => type === 'Snapshot') as ISnapshot;

function start(): { notebook: NotebookModel; fetched: Promise<Uint8Array>; asked: IFetch; parts: number[] } {
  const notebook = new NotebookModel('n', 'a.ipynb');
  const asked: IFetch[] = [];
  const parts: number[] = [];
  notebook.connect(message => void asked.push(message as IFetch));
  notebook.take({ ...snapshot, cards: [] });
  const fetched = fetchArtifact(notebook, 'u', 'fig.png', part => void parts.push(part), trans);
  return { notebook, fetched, asked: asked[0]!, parts };
}

function say(notebook: NotebookModel, request: string, offset: number, data: string, last: boolean, size = 5): void {
  notebook.take({ type: 'Chunk', request, offset, size, data: btoa(data), last });
}

test('the pieces make the whole', async () => {
  const { notebook, fetched, asked, parts } = start();
  expect(asked).toMatchObject({ type: 'Fetch', task: 'u', artifact: 'fig.png' });
  say(notebook, 'of another', 0, 'xx', true, 2);
  say(notebook, asked.request, 0, 'a\xff', false);
  say(notebook, asked.request, 2, 'cde', true);
  expect([...(await fetched)]).toEqual([97, 255, 99, 100, 101]);
  expect(parts).toEqual([0.4, 1]);
});

test('an empty file is one empty piece', async () => {
  const { notebook, fetched, asked } = start();
  say(notebook, asked.request, 0, '', true, 0);
  expect((await fetched).length).toBe(0);
});

test('a refusal is passed on in its words', async () => {
  const { notebook, fetched, asked } = start();
  notebook.take({ type: 'Answer', request: asked.request, ok: false, message: 'it is gone', uids: [], names: [] });
  await expect(fetched).rejects.toThrow('it is gone');
});

test('a piece that is missing is no file', async () => {
  const { notebook, fetched, asked } = start();
  say(notebook, asked.request, 3, 'de', true);
  await expect(fetched).rejects.toThrow('a piece is missing');
});

test('a file that ends too early is no file', async () => {
  const { notebook, fetched, asked } = start();
  say(notebook, asked.request, 0, 'abc', true);
  await expect(fetched).rejects.toThrow('a piece is missing');
});

test('a kernel that goes away ends the waiting', async () => {
  const { notebook, fetched } = start();
  notebook.stand('lost', 'restarting');
  await expect(fetched).rejects.toThrow('the kernel went away');
});

test('where nobody listens nothing is waited for', async () => {
  const notebook = new NotebookModel('n', 'a.ipynb');
  await expect(fetchArtifact(notebook, 'u', 'x', () => undefined, trans)).rejects.toThrow('the kernel is not there');
});
