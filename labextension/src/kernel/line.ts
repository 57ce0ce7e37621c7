/** Owns the two comms between one page and one kernel. It knows what neither message means. */
import type { Kernel } from '@jupyterlab/services';
import { CommsOverSubshells, KernelMessage } from '@jupyterlab/services';
import type { JSONObject } from '@lumino/coreutils';

import { sendAhead } from './ahead';
import type { IHello, ToKernel, ToPage } from '../protocol';
import { DOWN, UP } from '../protocol';

/** What a line tells its owner. */
export interface IListener {
  onMessage(message: ToPage): void;
  /** The kernel closed the line. */
  onClose(): void;
}

/** Both comms, open; every message goes to the given subshell. */
export class Line {
  constructor(
    private readonly _kernel: Kernel.IKernelConnection,
    private readonly _subshell: string | null,
    private readonly _listener: IListener
  ) {
    this._down = this._comm(DOWN);
    this._up = this._comm(UP);
    this._down.onMsg = message => this._listener.onMessage(message.content.data as unknown as ToPage);
  }

  /** Open both, `down` first: the kernel answers the hello there. */
  open(hello: Omit<IHello, 'down'>): void {
    this._post(this._down, 'comm_open', { client: hello.client });
    this._post(this._up, 'comm_open', { ...hello, down: this._down.commId } as unknown as JSONObject);
  }

  send(message: ToKernel): void {
    if (!this._closed) {
      this._post(this._up, 'comm_msg', message as unknown as JSONObject);
    }
  }

  /** End it from this side; `tell` where the kernel is still the one that it was opened to. */
  close(tell: boolean): void {
    if (this._closed) {
      return;
    }
    this._closed = true;
    for (const comm of [this._up, this._down]) {
      if (tell && !this._kernel.isDisposed && !comm.isDisposed) {
        this._post(comm, 'comm_close', {});
      }
      comm.dispose();
    }
  }

  private _comm(target: string): Kernel.IComm {
    const comm = this._kernel.createComm(target);
    // JupyterLab would make a subshell for each target and delete it with the last comm; ours is shared and stays.
    comm.commsOverSubshells = CommsOverSubshells.Disabled;
    comm.onClose = () => {
      // The kernel closes both, and JupyterLab disposes of each as its close comes.
      if (!this._closed) {
        this._closed = true;
        this._listener.onClose();
      }
    };
    return comm;
  }

  /** A comm can't be told its subshell, so its messages are made here. */
  private _post(comm: Kernel.IComm, msgType: 'comm_open' | 'comm_msg' | 'comm_close', data: JSONObject): void {
    const { username, clientId: session } = this._kernel;
    const target = msgType === 'comm_open' ? { target_name: comm.targetName } : {};
    const message = KernelMessage.createMessage({
      msgType,
      channel: 'shell',
      username,
      session,
      subshellId: this._subshell,
      content: { comm_id: comm.commId, data, ...target }
    } as KernelMessage.IOptions<KernelMessage.ICommMsgMsg<'shell'>>);
    try {
      const send = (): unknown => this._kernel.sendShellMessage(message, false, true);
      if (this._subshell === null) {
        send();
      } else {
        sendAhead(this._kernel, send);
      }
    } catch (reason) {
      // The kernel is dead; its status says so to everybody.
      console.debug('jupyter_orchestra: not sent', reason);
    }
  }

  private readonly _down: Kernel.IComm;
  private readonly _up: Kernel.IComm;
  private _closed = false;
}
