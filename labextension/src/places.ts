/** Where things are in the application: a task's notebook, its cells, its kernel. It knows no card widget. */
import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import type { TranslationBundle } from '@jupyterlab/translation';

import type { NotebookModel } from './model';
import { hasEnded } from './model';
import type { ICard } from './protocol';

export const LOAD_LINE = '%load_ext jupyter_orchestra';

/** What the metadata of a result cell say of it, as far as the page minds. */
interface IMark {
  task?: string;
  kind?: string;
  pinned?: boolean;
}

export function panelOf(tracker: INotebookTracker, notebook: NotebookModel): NotebookPanel | null {
  const byId = tracker.find(panel => panel.id === notebook.id);
  return byId ?? tracker.find(panel => panel.context.path === notebook.path) ?? null;
}

/** The cells that a task may be found at, the best first. */
function cellsOf(card: ICard): string[] {
  return (hasEnded(card) ? [card.result_cell, card.cell] : [card.cell]).filter(id => id !== '');
}

export function hasCell(card: ICard): boolean {
  return cellsOf(card).length > 0;
}

/** Bring the result cell of an ended task, else the dispatching cell, to the front. Says whether there is one. */
export async function goToCell(
  app: JupyterFrontEnd,
  tracker: INotebookTracker,
  notebook: NotebookModel,
  card: ICard
): Promise<boolean> {
  const panel = panelOf(tracker, notebook);
  if (panel === null) {
    return false;
  }
  app.shell.activateById(panel.id);
  await panel.revealed;
  const index = cellsOf(card)
    .map(id => panel.content.widgets.findIndex(cell => cell.model.id === id))
    .find(found => found >= 0);
  if (index === undefined) {
    return false;
  }
  panel.content.mode = 'command';
  panel.content.deselectAll();
  panel.content.activeCellIndex = index;
  await panel.content.scrollToItem(index, 'smart', 0.05);
  panel.content.activate();
  return true;
}

/** Load the extension into the notebook's kernel as the person would. The line says why that failed, or is empty. */
export async function loadExtension(
  tracker: INotebookTracker,
  notebook: NotebookModel,
  trans: TranslationBundle
): Promise<string> {
  const kernel = panelOf(tracker, notebook)?.sessionContext.session?.kernel ?? null;
  if (kernel === null) {
    return trans.__('This notebook has no kernel.');
  }
  const future = kernel.requestExecute({ code: LOAD_LINE, store_history: false });
  const { content } = await future.done;
  return content.status === 'error' ? `${content.ename}: ${content.evalue}` : '';
}

function markOf(tracker: INotebookTracker): IMark | null {
  const mark = tracker.activeCell?.model.getMetadata('orchestra') as IMark | undefined;
  // A cell in which the person spoke bears the mark of its reply, and is theirs.
  return mark?.task === undefined || mark.kind === 'reply' ? null : mark;
}

export function isResultCell(tracker: INotebookTracker): boolean {
  return markOf(tracker) !== null;
}

export function isPinned(tracker: INotebookTracker): boolean {
  return markOf(tracker)?.pinned === true;
}

/** Pin the active result cell, so that no later result takes its place; or let it go. */
export function togglePin(tracker: INotebookTracker): void {
  const mark = markOf(tracker);
  if (mark !== null) {
    const { pinned, ...rest } = mark;
    tracker.activeCell!.model.setMetadata('orchestra', pinned === true ? rest : { ...rest, pinned: true });
  }
}
