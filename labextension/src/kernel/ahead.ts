/** Sends past the queue in which JupyterLab holds messages until the main shell has answered. It knows no message. */
import type { Kernel } from '@jupyterlab/services';

/** Private to JupyterLab's connection; where it looks otherwise, messages wait their three seconds. */
interface IQueue {
  _pendingMessages?: unknown;
  _isRestarting?: unknown;
}

/**
 * Send at once over an open connection.
 *
 * A page that comes back while a cell runs gets no answer from the main shell. What is for the control channel or a
 * subshell need not wait for it.
 */
export function sendAhead<T>(kernel: Kernel.IKernelConnection, send: () => T): T {
  const queue = kernel as unknown as IQueue;
  const held = queue._pendingMessages;
  if (kernel.connectionStatus !== 'connected' || queue._isRestarting !== false || !Array.isArray(held)) {
    return send();
  }
  const sending: unknown[] = [];
  queue._pendingMessages = sending;
  try {
    return send();
  } finally {
    held.push(...sending);
    queue._pendingMessages = held;
  }
}
