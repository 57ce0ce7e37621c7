/** Owns the future of a routed cell, whichever request stands behind it. It knows neither cells nor subshells. */
import type { Kernel, KernelMessage } from '@jupyterlab/services';
import { PromiseDelegate } from '@lumino/coreutils';

type Request = KernelMessage.IExecuteRequestMsg;
type Reply = KernelMessage.IExecuteReplyMsg;
type Input = KernelMessage.IInputReplyMsg;
export type Future = Kernel.IShellFuture<Request, Reply>;
type Hook = (message: KernelMessage.IIOPubMessage) => boolean | PromiseLike<boolean>;
type Settable = 'onReply' | 'onIOPub' | 'onStdin';

/**
 * What whoever ran the cell holds.
 *
 * It stands for nothing until it follows a request, which may be later; and where the subshell of that one is gone, for
 * the one that is sent in its place, unseen and once.
 */
export class CellFuture implements Future {
  constructor(
    private readonly _draft: Request,
    private readonly _disposeOnDone: boolean
  ) {
    void this._done.promise.catch(() => undefined);
  }

  /** Stand for this request; `again` sends it once more. */
  follow(inner: Future, again: (() => Promise<Future>) | null = null): this {
    this._inner = inner;
    this._hooks.forEach(hook => inner.registerMessageHook(hook));
    let gone = false;
    inner.onReply = reply => {
      if (again !== null && isGone(reply)) {
        gone = true;
        return undefined;
      }
      return this._handlers.onReply(reply);
    };
    inner.onIOPub = message => this._handlers.onIOPub(message);
    inner.onStdin = message => this._handlers.onStdin(message);
    inner.done.then(
      reply => (gone && again !== null ? this._repeat(inner, again) : this._finish(reply)),
      reason => this._done.reject(reason)
    );
    return this;
  }

  get msg(): Request {
    return this._inner?.msg ?? this._draft;
  }

  get done(): Promise<Reply> {
    return this._done.promise;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  get onReply(): Future['onReply'] {
    return this._handlers.onReply;
  }
  set onReply(handler: Future['onReply']) {
    this._handlers.onReply = handler;
  }

  get onIOPub(): Future['onIOPub'] {
    return this._handlers.onIOPub;
  }
  set onIOPub(handler: Future['onIOPub']) {
    this._handlers.onIOPub = handler;
  }

  get onStdin(): Future['onStdin'] {
    return this._handlers.onStdin;
  }
  set onStdin(handler: Future['onStdin']) {
    this._handlers.onStdin = handler;
  }

  registerMessageHook(hook: Hook): void {
    this._hooks.push(hook);
    this._inner?.registerMessageHook(hook);
  }

  removeMessageHook(hook: Hook): void {
    this._hooks = this._hooks.filter(other => other !== hook);
    this._inner?.removeMessageHook(hook);
  }

  sendInputReply(content: Input['content'], parent: Input['parent_header']): void {
    this._inner?.sendInputReply(content, parent);
  }

  dispose(): void {
    if (this._isDisposed) {
      return;
    }
    this._isDisposed = true;
    if (this._inner === null) {
      this._done.reject(new Error('Canceled: it was not sent yet'));
    } else {
      this._inner.dispose();
    }
    this._handlers = nothing();
  }

  private async _repeat(inner: Future, again: () => Promise<Future>): Promise<void> {
    inner.dispose();
    try {
      const next = await again();
      if (this._isDisposed) {
        next.dispose();
        return;
      }
      this.follow(next);
    } catch (reason) {
      this._done.reject(reason);
    }
  }

  private _finish(reply: Reply): void {
    this._done.resolve(reply);
    if (this._disposeOnDone) {
      this.dispose();
    }
  }

  private _done = new PromiseDelegate<Reply>();
  private _inner: Future | null = null;
  private _isDisposed = false;
  private _hooks: Hook[] = [];
  private _handlers: Pick<Future, Settable> = nothing();
}

function isGone(reply: Reply): boolean {
  return reply.content.status === 'error' && reply.content.ename === 'UnknownSubshellError';
}

function nothing(): Pick<Future, Settable> {
  return { onReply: () => undefined, onIOPub: () => undefined, onStdin: () => undefined };
}
