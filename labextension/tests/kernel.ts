/** A kernel connection that a test plays by hand. */
import type { Kernel, KernelMessage } from '@jupyterlab/services';
import { PromiseDelegate } from '@lumino/coreutils';
import { Signal } from '@lumino/signaling';

type Sent = { header: { msg_type: string; subshell_id?: string }; content: any };

export class FakeKernel {
  readonly id: string;
  readonly username = '';
  readonly clientId = 'client';
  readonly anyMessage = new Signal<this, Kernel.IAnyMessageArgs>(this);
  readonly statusChanged = new Signal<this, KernelMessage.Status>(this);
  readonly connectionStatusChanged = new Signal<this, Kernel.ConnectionStatus>(this);
  readonly known = new PromiseDelegate<void>();
  readonly info = this.known.promise;
  supportsSubshells = false;
  connectionStatus = 'connected';
  isDisposed = false;
  sent: Sent[] = [];
  comms: FakeComm[] = [];
  /** The content of the reply to each request; undefined where none ever comes. */
  replies: Record<string, () => object | undefined> = {};

  constructor(id = 'k') {
    this.id = id;
  }

  sendControlMessage(message: Sent): unknown {
    this.sent.push(message);
    const done = new PromiseDelegate<void>();
    void done.promise.catch(() => undefined);
    const future = { done: done.promise, onReply: (_: unknown) => undefined, dispose: () => done.reject(new Error('Canceled')) };
    const content = this.replies[message.header.msg_type]?.();
    if (content !== undefined) {
      queueMicrotask(() => future.onReply({ content }));
    }
    return future;
  }

  sendShellMessage(message: Sent): void {
    this.sent.push(message);
  }

  createComm(targetName: string): FakeComm {
    const comm = new FakeComm(targetName);
    this.comms.push(comm);
    return comm;
  }

  /** A reply that says that the subshell of the request is gone. */
  refuse(subshell: string): void {
    const msg = { channel: 'shell', parent_header: { subshell_id: subshell }, content: { ename: 'UnknownSubshellError' } };
    this.anyMessage.emit({ msg, direction: 'recv' } as unknown as Kernel.IAnyMessageArgs);
  }

  kinds(): string[] {
    return this.sent.map(({ header }) => header.msg_type);
  }
}

export class FakeComm {
  readonly commId: string;
  commsOverSubshells: unknown;
  isDisposed = false;
  onClose: () => void = () => undefined;
  onMsg: (message: unknown) => void = () => undefined;

  constructor(readonly targetName: string) {
    this.commId = `id of ${targetName}`;
  }

  dispose(): void {
    this.isDisposed = true;
  }
}

export function asKernel(kernel: FakeKernel): Kernel.IKernelConnection {
  return kernel as unknown as Kernel.IKernelConnection;
}
