/** Owns how cells reach a kernel: conversation cells by a subshell while the main shell is busy. It knows no comm. */
import type { NotebookPanel } from '@jupyterlab/notebook';
import { runCell } from '@jupyterlab/notebook';
import type { INotebookCellExecutor } from '@jupyterlab/notebook';
import type { Kernel } from '@jupyterlab/services';
import { KernelMessage } from '@jupyterlab/services';

import { sendAhead } from './kernel/ahead';
import type { Future } from './kernel/future';
import { CellFuture } from './kernel/future';
import type { NotebookModel } from './model';
import type { ISeen } from './kernel/rule';
import { isConversation, MainShell, route } from './kernel/rule';
import { Subshells } from './kernel/subshell';

/** A tag of cells that always run on the main shell, in order. */
export const IN_ORDER = 'orchestra-in-order';

type Request = KernelMessage.IExecuteRequestMsg;
type Content = Request['content'];
type Metadata = Parameters<Kernel.IKernelConnection['requestExecute']>[2];

/** As JupyterLab's connection has them. */
const DEFAULTS = { silent: false, store_history: true, user_expressions: {}, stop_on_error: false };

/** How long a cell waits at most until it is known which shell is free. */
const PATIENCE = 8000;

const routers = new WeakMap<Kernel.IKernelConnection, Router>();

/** Routes what is run over one kernel connection. */
export class Router {
  constructor(
    private readonly _kernel: Kernel.IKernelConnection,
    private readonly _model: NotebookModel
  ) {
    this._subshells = Subshells.of(_kernel);
    this._onMain = _kernel.requestExecute.bind(_kernel);
    _kernel.requestExecute = (content, disposeOnDone = true, metadata) =>
      this._execute(content, disposeOnDone, metadata);
    _kernel.anyMessage.connect(this._watch, this);
    _kernel.statusChanged.connect(this._onStatus, this);
    _kernel.connectionStatusChanged.connect(this._onConnection, this);
    _model.changed.connect(this._prepare, this);
    _kernel.disposed.connect(() => {
      _model.changed.disconnect(this._prepare, this);
      this._release();
    });
    this._prepare();
  }

  /** The shell for a cell that is sent now; to be asked once for each, in the order of sending. */
  choose(code: string, silent: boolean, tags: unknown): 'main' | 'subshell' {
    const conversation = isConversation(code);
    if (!conversation && !silent) {
      this._release();
    }
    const chosen = route({
      conversation,
      silent,
      inOrder: isInOrder(tags),
      ready: this._model.standing === 'ready' && this._subshells.known('cells') !== null,
      busy: this._main.busy,
      batch: this._batch
    });
    if (!conversation && !silent) {
      this._beginBatch();
    }
    return chosen;
  }

  /** Whether nobody can say yet where a cell belongs: the page has just come back, or the extension was just loaded. */
  isEarly(code: string, silent: boolean, tags: unknown): boolean {
    return !silent && !this._batch && this._isUnsettled && isConversation(code) && !isInOrder(tags);
  }

  /** Run `send` when that is known, before any ordinary cell that is sent meanwhile, and soon in any case. */
  later(send: () => void): void {
    this._early.push(send);
    this._timer ??= setTimeout(() => this._release(), PATIENCE);
  }

  /** Whether a cell that goes to the main shell now overtakes nothing: a conversation cell, with nothing before it. */
  isFirst(code: string): boolean {
    return this._model.standing === 'ready' && !this._main.busy && !this._batch && isConversation(code);
  }

  /** Send what `run` sends, before it first waits, by the subshell. */
  force<T>(run: () => T): T {
    this._forced = true;
    try {
      return run();
    } finally {
      this._forced = false;
    }
  }

  private _execute(content: Content, disposeOnDone: boolean, metadata: Metadata): Future {
    if (this._forced || !this.isEarly(content.code, content.silent === true, metadata?.['tags'])) {
      return this._route(content, disposeOnDone, metadata);
    }
    const future = new CellFuture(this._message(null, content, metadata), disposeOnDone);
    this.later(() => {
      if (!future.isDisposed) {
        future.follow(this._route(content, false, metadata));
      }
    });
    return future;
  }

  private _route(content: Content, disposeOnDone: boolean, metadata: Metadata): Future {
    const forced = this._forced;
    if (forced || this.choose(content.code, content.silent === true, metadata?.['tags']) === 'subshell') {
      const subshell = this._subshells.known('cells');
      if (subshell !== null) {
        return this._onSubshell(subshell, content, disposeOnDone, metadata);
      }
    }
    return this._onMain(content, disposeOnDone, metadata);
  }

  private _onSubshell(subshell: string, content: Content, disposeOnDone: boolean, metadata: Metadata): Future {
    const again = async (): Promise<Future> => {
      const other = await this._subshells.find('cells');
      return other === null ? this._onMain(content, false, metadata) : this._send(other, content, metadata);
    };
    const first = this._send(subshell, content, metadata);
    return new CellFuture(first.msg, disposeOnDone).follow(first, again);
  }

  private _send(subshell: string, content: Content, metadata: Metadata): Future {
    const message = this._message(subshell, content, metadata);
    return sendAhead(this._kernel, () => this._kernel.sendShellMessage(message, true, false) as Future);
  }

  private _message(subshellId: string | null, content: Content, metadata: Metadata): Request {
    const { username, clientId: session } = this._kernel;
    return KernelMessage.createMessage<Request>({
      msgType: 'execute_request',
      channel: 'shell',
      username,
      session,
      subshellId,
      // A subshell can't ask the person anything.
      content: { ...DEFAULTS, ...content, allow_stdin: false },
      metadata
    });
  }

  /** The main shell may be busy, and the way past it is still being looked for. */
  private get _isUnsettled(): boolean {
    if (!this._main.busy || this._subshells.supported === false) {
      return false;
    }
    const { standing } = this._model;
    return standing === 'connecting' || (standing === 'ready' && this._subshells.known('cells') === null);
  }

  private _settle(): void {
    if (this._early.length > 0 && !this._isUnsettled) {
      this._release();
    }
  }

  private _release(): void {
    clearTimeout(this._timer);
    this._timer = undefined;
    this._early.splice(0).forEach(send => send());
  }

  /** Run All sends its cells in one go: those after an ordinary cell keep their place behind it. */
  private _beginBatch(): void {
    this._batch = true;
    queueMicrotask(() => {
      this._batch = false;
    });
  }

  private _prepare(): void {
    const settle = (): void => this._settle();
    if (this._model.standing === 'ready' && !this._kernel.isDisposed) {
      this._subshells.find('cells').then(settle, settle);
    }
    settle();
  }

  private _watch(_: unknown, { msg, direction }: Kernel.IAnyMessageArgs): void {
    const seen = msg as unknown as ISeen;
    if (direction === 'send') {
      this._main.sent(seen);
    } else {
      this._main.received(seen);
      this._settle();
    }
  }

  private _onStatus(_: unknown, status: KernelMessage.Status): void {
    if (status === 'restarting' || status === 'autorestarting') {
      this._main.clear();
    }
  }

  private _onConnection(_: unknown, status: Kernel.ConnectionStatus): void {
    if (status !== 'connected') {
      this._main.doubt();
    }
  }

  private readonly _main = new MainShell();
  private readonly _subshells: Subshells;
  private readonly _onMain: Kernel.IKernelConnection['requestExecute'];
  private _batch = false;
  private _forced = false;
  private _early: (() => void)[] = [];
  private _timer: ReturnType<typeof setTimeout> | undefined;
}

function isInOrder(tags: unknown): boolean {
  return Array.isArray(tags) && tags.includes(IN_ORDER);
}

/** Route the cells of a notebook, over whichever connection it has. */
export function routeCells(panel: NotebookPanel, model: NotebookModel): void {
  const context = panel.sessionContext;
  const attach = (): void => {
    const kernel = context.session?.kernel;
    if (kernel && !kernel.isDisposed && !routers.has(kernel)) {
      routers.set(kernel, new Router(kernel, model));
    }
  };
  context.kernelChanged.connect(attach);
  context.sessionChanged.connect(attach);
  attach();
}

/**
 * Take conversation cells past an executor that runs cells on the server.
 *
 * Such an executor never calls requestExecute. The default ones are frozen, and need nothing.
 */
export function wrapExecutor(executor: INotebookCellExecutor): void {
  if (Object.isFrozen(executor)) {
    return;
  }
  const onServer = executor.runCell.bind(executor);
  executor.runCell = options => {
    const { cell, sessionContext } = options;
    const kernel = sessionContext?.session?.kernel;
    const router = kernel ? routers.get(kernel) : undefined;
    if (router === undefined || cell.model.type !== 'code' || sessionContext?.pendingInput) {
      return onServer(options);
    }
    const code = cell.model.sharedModel.getSource();
    const tags = cell.model.getMetadata('tags');
    const run = (): Promise<boolean> => {
      if (router.choose(code, false, tags) === 'subshell') {
        return router.force(() => runCell(options));
      }
      // What the server sends names no cell, and a result finds its place by the cell that dispatched it.
      return router.isFirst(code) ? runCell(options) : onServer(options);
    };
    return router.isEarly(code, false, tags) ? new Promise(resolve => router.later(() => resolve(run()))) : run();
  };
}
