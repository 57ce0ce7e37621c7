/** Watches the cells of one notebook for a message to the master that is being typed. It knows no kernel. */
import type { Cell } from '@jupyterlab/cells';
import type { NotebookPanel } from '@jupyterlab/notebook';

import type { NotebookModel } from './model';

const CELL = 'cell';
const MESSAGE = /^\s*%%?chat(?![\w.])/;

/** Whether the cell is one in which the person speaks to the master. */
export function isMessage(source: string): boolean {
  return MESSAGE.test(source);
}

/** Tell the model while the person types into such a cell, for the life of the panel. */
export function watchTyping(panel: NotebookPanel, { composing }: NotebookModel): void {
  const { content } = panel;
  let active: Cell | null = null;
  const left = (): void => composing.left(CELL);
  const onChange = (): void => {
    // What others type in a shared document is not the person's.
    const own = content.mode === 'edit' && active?.node.contains(document.activeElement) === true;
    own && isMessage(active!.model.sharedModel.getSource()) ? composing.typed(CELL) : left();
  };
  const follow = (): void => {
    if (panel.isDisposed || content.activeCell === active) {
      return;
    }
    left();
    active?.isDisposed === false && active.model?.contentChanged.disconnect(onChange);
    active = content.activeCell;
    active?.model.contentChanged.connect(onChange);
  };
  // A cell that comes in above makes another one the active cell for a moment: the person does not leave theirs.
  content.activeCellChanged.connect(() => queueMicrotask(follow));
  content.stateChanged.connect((_, { name, newValue }) => {
    if (name === 'mode' && newValue === 'command') {
      left();
    }
  });
  content.node.addEventListener('focusout', left);
  panel.disposed.connect(left);
  follow();
}
