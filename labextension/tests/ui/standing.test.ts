import { NotebookModel } from '../../src/model';
import { canLoad, notesOf } from '../../src/sidebar/standing';
import { card, notebook, trans } from './cards';

function said(model: NotebookModel): string[] {
  return notesOf(model, trans).map(({ weight, text }) => `${weight}: ${text}`);
}

test('a kernel without the extension can be told to load it', () => {
  const model = new NotebookModel('n', 'n.ipynb');
  model.stand('unloaded');
  expect([said(model), canLoad(model)]).toEqual([['note: Orchestra is not loaded in this kernel.'], true]);
});

test('a kernel of another language is not offered what it can not load', () => {
  const model = new NotebookModel('n', 'n.ipynb');
  model.stand('unloaded', 'Orchestra works in Python kernels only.');
  expect([said(model), canLoad(model)]).toEqual([['note: Orchestra works in Python kernels only.'], false]);
});

test('a kernel that restarts, dies or is cut off says which, gravely', () => {
  const model = notebook('n', card());
  model.stand('lost', 'The kernel is dead.');
  expect(said(model)).toEqual(['alert: The kernel is dead.']);
  model.stand('lost');
  expect(said(model)).toEqual(['alert: The kernel is restarting, dead or disconnected.']);
});

test('other versions are told of in the words of the kernel', () => {
  const model = notebook('n');
  model.take({ type: 'Mismatch', protocol: 2, version: '9', message: 'The kernel has version 9.' });
  expect(said(model)).toEqual(['alert: The kernel has version 9.']);
});

test('of a kernel that is there only what is unusual is said', () => {
  const model = notebook('n');
  expect(said(model)).toEqual([]);
  Object.assign(model, { subshells: false, isPrivate: true, blocked: 'disk full' });
  expect(said(model).map(text => text.slice(0, 25))).toEqual([
    'alert: The journal cannot ',
    'note: This kernel has no s',
    'note: This kernel has a jo'
  ].map(text => text.slice(0, 25)));
});
