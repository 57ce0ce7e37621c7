/** Tells which cell was run by a request that the server sent, which names none. It knows no task and no document. */
import type { INotebookCellExecutor } from '@jupyterlab/notebook';
import type { Kernel } from '@jupyterlab/services';

import type { IShelf } from './shelf';
import { serverRuns } from './shelf';

interface IRun {
  cell: string;
  code: string;
  /** The server has run it. */
  isOver: boolean;
}

const all = new WeakMap<Kernel.IKernelConnection, ServerRuns>();

/** The cells that this page had the server run; what it knew before a reload it knows still. */
export class ServerRuns {
  static of(kernel: Kernel.IKernelConnection): ServerRuns {
    let runs = all.get(kernel);
    if (runs === undefined) {
      runs = new ServerRuns(kernel);
      all.set(kernel, runs);
    }
    return runs;
  }

  constructor(
    private readonly _kernel: Kernel.IKernelConnection,
    private readonly _shelf: IShelf = serverRuns
  ) {
    _kernel.anyMessage.connect(this._watch, this);
    _kernel.connectionStatusChanged.connect(this._onConnection, this);
  }

  /** The server was asked to run this cell; `done` when it has, false or an error when it will not. */
  async begin(cell: string, code: string, done: Promise<boolean>): Promise<void> {
    const run = { cell, code, isOver: false };
    this._waiting.push(run);
    run.isOver = await done.catch(() => false);
    // That it has begun may be heard after its end: the kernel's words come another way than the server's.
    if (!run.isOver) {
      this._waiting = this._waiting.filter(other => other !== run);
    }
  }

  /** The cell of a request, empty where unknown. */
  cellOf(request: string): string {
    return this._cells.get(request) ?? this._shelf.get(this._kernel.id, request) ?? '';
  }

  /** The kernel repeats the code of each request that it begins; the server sends them in the order of asking. */
  private _watch(_: unknown, { msg, direction }: Kernel.IAnyMessageArgs): void {
    const { msg_id: request, session } = msg.parent_header as { msg_id?: string; session?: string };
    if (direction !== 'recv' || msg.header.msg_type !== 'execute_input' || session === this._kernel.clientId) {
      return;
    }
    const { code } = msg.content as { code?: string };
    const index = this._waiting.findIndex(run => run.code === code);
    if (index >= 0 && request !== undefined) {
      const { cell } = this._waiting[index] as IRun;
      // What was asked for before and is over has begun before, unheard.
      this._waiting = this._waiting.filter((run, other) => other > index || (other < index && !run.isOver));
      this._cells.set(request, cell);
      this._shelf.set(this._kernel.id, request, cell);
    }
  }

  /** What began while the connection was cut is not told again. */
  private _onConnection(_: unknown, status: Kernel.ConnectionStatus): void {
    if (status !== 'connected') {
      this._waiting = this._waiting.filter(run => !run.isOver);
    }
  }

  private _waiting: IRun[] = [];
  private readonly _cells = new Map<string, string>();
}

/** Note what an executor has the server run. The default ones are frozen, and send from the page. */
export function noteServerRuns(executor: INotebookCellExecutor): void {
  if (Object.isFrozen(executor)) {
    return;
  }
  const onServer = executor.runCell.bind(executor);
  executor.runCell = options => {
    const done = onServer(options);
    const { cell, sessionContext } = options;
    const kernel = sessionContext?.session?.kernel;
    if (kernel && cell.model.type === 'code') {
      void ServerRuns.of(kernel).begin(cell.model.id, cell.model.sharedModel.getSource(), done);
    }
    return done;
  };
}
