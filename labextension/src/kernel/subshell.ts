/** Owns the subshells of one kernel: makes them, finds them again. It knows not what is said on them. */
import type { Kernel } from '@jupyterlab/services';
import { KernelMessage } from '@jupyterlab/services';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import { sendAhead } from './ahead';
import type { IShelf } from './shelf';
import { shelf } from './shelf';

/** What a subshell is for: the comms of all pages of this browser, or the conversation cells. */
export type Purpose = 'comms' | 'cells';

/** A kernel that does not know the request never answers. */
const PATIENCE = 8000;

type Reply = { status: string; subshell_id?: unknown };
type Request = 'create_subshell_request' | 'list_subshell_request';

const owners = new WeakMap<Kernel.IKernelConnection, Subshells>();
const queues = new Map<string, Promise<unknown>>();

/** The subshells of a kernel, which all pages of this browser share and none deletes: a page may be reloaded. */
export class Subshells {
  /** The one owner for this connection. */
  static of(kernel: Kernel.IKernelConnection): Subshells {
    let owner = owners.get(kernel);
    if (owner === undefined) {
      owner = new Subshells(kernel, shelf);
      owners.set(kernel, owner);
    }
    return owner;
  }

  constructor(
    private readonly _kernel: Kernel.IKernelConnection,
    private readonly _shelf: IShelf
  ) {
    _kernel.anyMessage.connect(this._watch, this);
    _kernel.statusChanged.connect(this._onStatus, this);
  }

  /** Whether the kernel has subshells; null while unknown. */
  supported: boolean | null = null;

  /** A message came back from a subshell that is no longer there. */
  get vanished(): ISignal<this, Purpose> {
    return this._vanished;
  }

  /** The id of a subshell that is known to be there. */
  known(purpose: Purpose): string | null {
    return this._ids.get(purpose) ?? null;
  }

  /** Find the subshell, or make it; null where the kernel has none. Works while the main shell is busy. */
  find(purpose: Purpose): Promise<string | null> {
    const known = this.known(purpose);
    if (known !== null || this.supported === false) {
      return Promise.resolve(known);
    }
    let search = this._searches.get(purpose);
    if (search === undefined) {
      search = alone(this._kernel.id, () => this._search(purpose)).finally(() => this._searches.delete(purpose));
      this._searches.set(purpose, search);
    }
    return search;
  }

  /** The subshell was seen to be gone. */
  lose(purpose: Purpose): void {
    this._ids.delete(purpose);
  }

  private async _search(purpose: Purpose): Promise<string | null> {
    const kept = this._shelf.get(this._kernel.id, purpose);
    if (kept !== null) {
      const listed = (await this._ask('list_subshell_request'))?.subshell_id;
      if (Array.isArray(listed) && listed.includes(kept)) {
        return this._keep(purpose, kept);
      }
    }
    let made = await this._ask('create_subshell_request');
    if (made === null && (await this._hasSubshells())) {
      made = await this._ask('create_subshell_request');
    }
    if (made === null || typeof made.subshell_id !== 'string') {
      this.supported = await this._hasSubshells();
      return null;
    }
    return this._keep(purpose, made.subshell_id);
  }

  private _keep(purpose: Purpose, id: string): string {
    this.supported = true;
    this._ids.set(purpose, id);
    this._shelf.set(this._kernel.id, purpose, id);
    return id;
  }

  private async _hasSubshells(): Promise<boolean> {
    await this._kernel.info;
    return this._kernel.supportsSubshells;
  }

  /** The content of the reply on the control channel, or null where it was refused or never came. */
  private _ask(msgType: Request): Promise<Reply | null> {
    const { username, clientId: session } = this._kernel;
    const message = KernelMessage.createMessage({
      msgType,
      channel: 'control',
      username,
      session,
      content: {}
    } as KernelMessage.IOptions<KernelMessage.ICreateSubshellRequestMsg>);
    const future = sendAhead(this._kernel, () => this._kernel.sendControlMessage(message, true, true));
    return new Promise(resolve => {
      const settle = (reply: Reply | null): void => {
        clearTimeout(timer);
        resolve(reply);
      };
      const timer = setTimeout(() => future.dispose(), PATIENCE);
      // The reply alone counts: the idle message is lost while the server does not yet listen to the kernel's output.
      future.onReply = reply => {
        const content = reply.content as Reply;
        settle(content.status === 'ok' ? content : null);
      };
      future.done.then(
        () => undefined,
        () => settle(null)
      );
      void this._lacksSubshells().then(() => settle(null));
    });
  }

  /** Resolves only when the kernel has said that it has no subshells. */
  private async _lacksSubshells(): Promise<void> {
    const has = await this._hasSubshells().catch(() => true);
    return has ? new Promise(() => undefined) : undefined;
  }

  private _watch(_: unknown, { msg, direction }: Kernel.IAnyMessageArgs): void {
    if (direction !== 'recv' || msg.channel !== 'shell') {
      return;
    }
    const lost = (msg.parent_header as { subshell_id?: string }).subshell_id;
    if (lost === undefined || lost === null || (msg.content as { ename?: string }).ename !== 'UnknownSubshellError') {
      return;
    }
    for (const [purpose, id] of [...this._ids]) {
      if (id === lost) {
        this.lose(purpose);
        this._vanished.emit(purpose);
      }
    }
  }

  private _onStatus(_: unknown, status: KernelMessage.Status): void {
    if (status === 'restarting' || status === 'autorestarting' || status === 'dead') {
      this._ids.clear();
    }
  }

  private _ids = new Map<Purpose, string>();
  private _searches = new Map<Purpose, Promise<string | null>>();
  private _vanished = new Signal<this, Purpose>(this);
}

/** Run one search after the other for one kernel, so that two tabs or two views do not both make a subshell. */
async function alone<T>(kernelId: string, work: () => Promise<T>): Promise<T> {
  if (typeof navigator !== 'undefined' && navigator.locks !== undefined) {
    return (await navigator.locks.request(`jupyter-orchestra:${kernelId}`, work)) as T;
  }
  // Pages that were not served safely (plain http from another machine) have no locks: there only this page is serial.
  const before = queues.get(kernelId) ?? Promise.resolve();
  const mine = before.then(work, work);
  const settled = mine.catch(() => undefined);
  queues.set(kernelId, settled);
  void settled.then(() => {
    if (queues.get(kernelId) === settled) {
      queues.delete(kernelId);
    }
  });
  return mine;
}
