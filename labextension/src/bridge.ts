/** Owns the tie between a notebook and its kernel: when to attach, and how they stand. It knows no card and no cell. */
import type { NotebookPanel } from '@jupyterlab/notebook';
import type { Kernel, KernelMessage } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { IDisposable } from '@lumino/disposable';
import type { Message } from '@lumino/messaging';
import { MessageLoop } from '@lumino/messaging';
import { Signal } from '@lumino/signaling';

import { clientsOfPage } from './kernel/client';
import { Line } from './kernel/line';
import type { NotebookModel } from './model';
import type { IHello, ToPage } from './protocol';
import { ANNOUNCE, PROTOCOL } from './protocol';
import { Subshells } from './kernel/subshell';
import { VERSION } from './version';

/** How long a kernel with subshells may take to answer a hello. */
const PATIENCE = 10_000;
/** A tie that held this long was sound: what cuts it afterwards is new. */
const SOUND = 30_000;
const LONGEST_PAUSE = 60_000;

/** A notebook's path as the kernel's side knows it: real-time collaboration opens it through a drive of its own. */
export function localPath(path: string): string {
  return path.replace(/^RTC:/, '');
}

/** Keeps a notebook attached to whichever kernel it has. */
export class Bridge implements IDisposable {
  constructor(
    private readonly _panel: NotebookPanel,
    private readonly _model: NotebookModel,
    private readonly _trans: TranslationBundle
  ) {
    this._path = localPath(_panel.context.path);
    this._client = clientsOfPage().take(this._path);
    const context = _panel.sessionContext;
    context.kernelChanged.connect(this._onKernel, this);
    context.statusChanged.connect(this._onStatus, this);
    context.connectionStatusChanged.connect(this._onConnection, this);
    _panel.context.pathChanged.connect(this._onPath, this);
    MessageLoop.installMessageHook(_panel, this);
    document.addEventListener('visibilitychange', this._onSight);
    window.addEventListener('focus', this._onFront);
    this._onKernel();
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    if (this._isDisposed) {
      return;
    }
    this._isDisposed = true;
    Signal.clearData(this);
    MessageLoop.removeMessageHook(this._panel, this);
    document.removeEventListener('visibilitychange', this._onSight);
    window.removeEventListener('focus', this._onFront);
    this._model.tell({ type: 'Bye' });
    this._drop(true);
    this._leaveKernel();
    clientsOfPage().give(this._client);
  }

  /** The panel came to the front of its area, or left it. */
  messageHook(_: unknown, message: Message): boolean {
    if (message.type === 'after-show' || message.type === 'after-hide') {
      // The panel itself learns of it after this hook.
      queueMicrotask(this._onSight);
    }
    return true;
  }

  // --- the kernel comes, goes and comes back

  private _onKernel(): void {
    const kernel = this._panel.sessionContext.session?.kernel ?? null;
    if (kernel === this._kernel) {
      return;
    }
    this._drop(true);
    this._leaveKernel();
    this._kernel = kernel;
    this._failures = 0;
    if (kernel === null) {
      this._model.subshells = null;
      this._model.stand('none');
      return;
    }
    kernel.registerCommTarget(ANNOUNCE, this._onAnnounced);
    Subshells.of(kernel).vanished.connect(this._onVanished, this);
    this._attach();
  }

  private _leaveKernel(): void {
    if (this._kernel !== null && !this._kernel.isDisposed) {
      this._kernel.removeCommTarget(ANNOUNCE, this._onAnnounced);
      Subshells.of(this._kernel).vanished.disconnect(this._onVanished, this);
    }
    this._kernel = null;
  }

  private _onStatus(_: unknown, status: KernelMessage.Status): void {
    if (status === 'restarting' || status === 'autorestarting') {
      this._lose(this._trans.__('The kernel is restarting.'));
    } else if (status === 'dead') {
      this._lose(this._trans.__('The kernel is dead.'));
    } else if ((status === 'idle' || status === 'busy') && this._model.standing === 'lost') {
      this._attach();
    }
  }

  private _onConnection(_: unknown, status: Kernel.ConnectionStatus): void {
    if (status === 'connected') {
      this._attach();
    } else if (this._line !== null) {
      this._lose(this._trans.__('The connection to the kernel is cut.'));
    }
  }

  /** The kernel has loaded the extension. The announcing comm is left to the kernel, which closes it. */
  private _onAnnounced = (): void => {
    this._failures = 0;
    this._drop(true);
    this._attach();
  };

  private _onVanished(_: unknown, purpose: string): void {
    if (purpose === 'comms') {
      this._drop(false);
      this._attach();
    }
  }

  // --- attaching: whatever asks for it, one line is opened

  private _attach(): void {
    const kernel = this._kernel;
    if (kernel === null || this._isDisposed || this._line !== null || this._attaching === kernel) {
      return;
    }
    if (kernel.isDisposed || kernel.status === 'dead') {
      return;
    }
    this._attaching = kernel;
    this._cancelTimers();
    this._model.stand('connecting');
    const done = (): void => {
      if (this._attaching === kernel) {
        this._attaching = null;
      }
    };
    this._open(kernel).then(done, reason => {
      done();
      if (this._kernel === kernel && !this._isDisposed) {
        console.debug('jupyter_orchestra: not attached', reason);
        this._retry();
      }
    });
  }

  private async _open(kernel: Kernel.IKernelConnection): Promise<void> {
    // What is sent before the socket is open waits for the kernel's information, seconds while a cell runs.
    if (kernel.connectionStatus !== 'connected') {
      return;
    }
    const spec = await kernel.spec.catch(() => undefined);
    if (spec !== undefined && spec.language !== '' && spec.language !== 'python') {
      this._unload(kernel, this._trans.__('Orchestra works in Python kernels only.'));
      return;
    }
    const subshells = Subshells.of(kernel);
    const subshell = await subshells.find('comms');
    await this._panel.context.ready;
    if (this._kernel !== kernel || this._isDisposed || this._line !== null) {
      return;
    }
    this._model.subshells = subshells.supported;
    this._start(kernel, subshell);
  }

  private _start(kernel: Kernel.IKernelConnection, subshell: string | null): void {
    const line: Line = new Line(kernel, subshell, {
      onMessage: message => {
        if (this._line === line) {
          this._take(message);
        }
      },
      onClose: () => {
        if (this._line === line) {
          this._onClosed();
        }
      }
    });
    this._line = line;
    this._model.connect(message => line.send(message));
    line.open(this._hello(kernel));
    if (subshell !== null) {
      this._timer = setTimeout(() => this._onSilence(), PATIENCE);
    } else {
      this._model.stand('connecting', this._trans.__('The kernel answers when the running cell has ended.'));
    }
  }

  private _hello(kernel: Kernel.IKernelConnection): Omit<IHello, 'down'> {
    return {
      type: 'Hello',
      client: this._client,
      protocol: PROTOCOL,
      version: VERSION,
      session: kernel.clientId,
      path: this._path,
      visible: this._visible
    };
  }

  private _take(message: ToPage): void {
    this._cancelTimers();
    if (message.type === 'Ping') {
      this._model.tell({ type: 'Pong' });
    }
    if (message.type === 'Snapshot') {
      this._since = Date.now();
    }
    if (this._model.take(message)) {
      this._drop(true);
      this._attach();
    }
  }

  /** The kernel closed the line: it has no extension loaded, or has given this page up. */
  private _onClosed(): void {
    const before = this._model.standing;
    this._drop(false);
    if (before === 'mismatch' || this._kernel === null) {
      return;
    }
    if (before !== 'ready') {
      this._unload(this._kernel);
      return;
    }
    if (Date.now() - this._since > SOUND) {
      this._failures = 0;
    }
    this._retry();
  }

  private _onSilence(): void {
    this._drop(true);
    this._retry();
  }

  /** Attach again: at once the first time, then after ever longer pauses. */
  private _retry(): void {
    const pause = this._failures === 0 ? 0 : Math.min(LONGEST_PAUSE, 1000 * 2 ** this._failures);
    this._failures += 1;
    this._cancelTimers();
    this._model.stand('connecting');
    this._timer = setTimeout(() => this._attach(), pause);
  }

  private _unload(kernel: Kernel.IKernelConnection, message = ''): void {
    if (this._kernel === kernel && !this._isDisposed) {
      this._model.stand('unloaded', message);
    }
  }

  private _lose(message: string): void {
    this._drop(false);
    this._attaching = null;
    this._model.stand('lost', message);
  }

  private _drop(tell: boolean): void {
    this._cancelTimers();
    this._model.connect(null);
    const line = this._line;
    this._line = null;
    line?.close(tell);
  }

  private _cancelTimers(): void {
    clearTimeout(this._timer);
  }

  // --- what the kernel is told of the page

  private get _visible(): boolean {
    return this._panel.isVisible && document.visibilityState === 'visible';
  }

  private _onPath(): void {
    this._path = localPath(this._panel.context.path);
    this._model.rename(this._path);
    this._tell();
  }

  private _onSight = (): void => {
    if (!this._isDisposed && this._visible !== this._told) {
      this._tell();
    }
  };

  /** Of several windows the kernel prefers the one that was in front last. */
  private _onFront = (): void => {
    if (this._visible) {
      this._tell();
    }
  };

  private _tell(): void {
    this._told = this._visible;
    this._model.tell({ type: 'PageChanged', path: this._path, visible: this._told });
  }

  private readonly _client: string;
  private _path: string;
  private _told: boolean | null = null;
  private _kernel: Kernel.IKernelConnection | null = null;
  private _attaching: Kernel.IKernelConnection | null = null;
  private _line: Line | null = null;
  private _timer: ReturnType<typeof setTimeout> | undefined;
  private _failures = 0;
  private _since = 0;
  private _isDisposed = false;
}
