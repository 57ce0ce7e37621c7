/** Puts a reply of the master into the cell in which the person spoke. It takes nothing else of that cell away. */
import type { ISharedCodeCell } from '@jupyter/ydoc';
import type { IOutput } from '@jupyterlab/nbformat';
import { JSONExt } from '@lumino/coreutils';

import type { Cell, IMark, Notebook } from './mark';
import { KEY, markOf, succeed, sumOf } from './mark';
import type { INewCell } from '../protocol';

/** Whether a cell can take a reply. */
export function takesReply(cell: Cell | undefined): boolean {
  return cell?.cell_type === 'code';
}

/** The cell's source, run and other outputs stay; an earlier state of the same reply goes. */
export function putReply(notebook: Notebook, cell: Cell, next: INewCell, mark: IMark): void {
  const code = cell as ISharedCodeCell;
  const reply = next.outputs[0] as unknown as IOutput;
  const outputs = code.getOutputs();
  const at = outputs.findIndex(output => replyOf(output) === replyOf(reply));
  const before = markOf(cell);
  const whole = { ...(before === null ? mark : succeed(mark, before)), sum: sumOf(cell.getSource()) };
  const isShown = at >= 0 && JSONExt.deepEqual(outputs[at]!['data'] as any, reply['data'] as any);
  if (!isShown && at >= 0 && at < outputs.length - 1) {
    // A page shows what is put in between at the end, unless all of them come anew.
    code.setOutputs([]);
    outputs[at] = reply;
  }
  notebook.transact(() => {
    code.setMetadata(KEY, whole);
    if (isShown) {
      return;
    }
    if (code.getOutputs().length < outputs.length) {
      code.setOutputs(outputs);
    } else {
      code.updateOutputs(at < 0 ? outputs.length : at, outputs.length, [reply]);
    }
  }, false);
}

/** The display that an output is a reply of; the kernel says it while the reply comes, too. */
function replyOf(output: IOutput): unknown {
  return ((output['metadata'] as any)?.[KEY] as { reply?: unknown } | undefined)?.reply;
}
