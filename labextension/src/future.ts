/** Owns a request that is sent once more, unseen, when its subshell is gone. It knows neither cells nor subshells. */
import type { Kernel, KernelMessage } from '@jupyterlab/services';
import { PromiseDelegate } from '@lumino/coreutils';

type Request = KernelMessage.IExecuteRequestMsg;
type Reply = KernelMessage.IExecuteReplyMsg;
type Input = KernelMessage.IInputReplyMsg;
export type Future = Kernel.IShellFuture<Request, Reply>;
type Hook = (message: KernelMessage.IIOPubMessage) => boolean | PromiseLike<boolean>;
type Settable = 'onReply' | 'onIOPub' | 'onStdin';

/** The future that whoever ran the cell holds; it stands for the first request, then for the second. */
export class SecondChance implements Future {
  constructor(
    private _inner: Future,
    private readonly _again: () => Promise<Future>,
    private readonly _disposeOnDone: boolean
  ) {
    void this._done.promise.catch(() => undefined);
    this._follow(_inner, true);
  }

  get msg(): Request {
    return this._inner.msg;
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
    this._inner.registerMessageHook(hook);
  }

  removeMessageHook(hook: Hook): void {
    this._hooks = this._hooks.filter(other => other !== hook);
    this._inner.removeMessageHook(hook);
  }

  sendInputReply(content: Input['content'], parent: Input['parent_header']): void {
    this._inner.sendInputReply(content, parent);
  }

  dispose(): void {
    if (!this._isDisposed) {
      this._isDisposed = true;
      this._inner.dispose();
      this._handlers = nothing();
    }
  }

  private _follow(inner: Future, mayRepeat: boolean): void {
    this._inner = inner;
    let gone = false;
    inner.onReply = reply => {
      if (mayRepeat && isGone(reply)) {
        gone = true;
        return undefined;
      }
      return this._handlers.onReply(reply);
    };
    inner.onIOPub = message => this._handlers.onIOPub(message);
    inner.onStdin = message => this._handlers.onStdin(message);
    inner.done.then(
      reply => (gone ? this._repeat() : this._finish(reply)),
      reason => this._done.reject(reason)
    );
  }

  private async _repeat(): Promise<void> {
    this._inner.dispose();
    try {
      const next = await this._again();
      if (this._isDisposed) {
        next.dispose();
        return;
      }
      this._hooks.forEach(hook => next.registerMessageHook(hook));
      this._follow(next, false);
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
