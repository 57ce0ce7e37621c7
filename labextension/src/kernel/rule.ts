/** Decides which cells are conversation cells and on which shell a cell runs. It knows no kernel connection. */

const MAGICS = 'chat|tasks|task|steer|pause|resume|cancel|approve|decline|orchestra';
const LINE = new RegExp(`^\\s*%(?:${MAGICS})(?![\\w.])`);
const CELL = /^%%(chat|dispatch)(?![\w.])(.*)/;
/** The flag of `%%dispatch` that waits, alone or among other short ones. */
const WAITS = /(?:^|\s)(?:-[a-zA-Z]*b[a-zA-Z]*|--bl\w*)(?=\s|$)/;

/** Whether a cell holds nothing but our magics that return at once. */
export function isConversation(code: string): boolean {
  const lines = code.split('\n').filter(line => line.trim() !== '');
  const head = CELL.exec(lines[0] ?? '');
  if (head !== null) {
    return head[1] === 'chat' || !WAITS.test(head[2] ?? '');
  }
  const said = lines.filter(line => !line.trimStart().startsWith('#'));
  return said.length > 0 && said.every(line => LINE.test(line));
}

/** What a cell meets at the moment when it is sent. */
export interface ISituation {
  conversation: boolean;
  silent: boolean;
  /** Tagged `orchestra-in-order`. */
  inOrder: boolean;
  /** The kernel has the extension loaded, and there is a subshell for cells. */
  ready: boolean;
  busy: boolean;
  /** An ordinary cell was sent earlier in the same batch. */
  batch: boolean;
}

export function route(at: ISituation): 'main' | 'subshell' {
  const free = at.conversation && !at.silent && !at.inOrder && at.ready;
  return free && at.busy && !at.batch ? 'subshell' : 'main';
}

/** As much of a message as tells what the main shell does. */
export interface ISeen {
  channel: string;
  header: { msg_id: string; msg_type: string; subshell_id?: string | null };
  parent_header: { msg_id?: string; msg_type?: string; subshell_id?: string | null };
  content: unknown;
}

/** What the main shell was asked to run and has not ended. The kernel's status tells nothing: subshells set it too. */
export class MainShell {
  /** Until the main shell has answered anything on this connection, it may be running a cell of before. */
  get busy(): boolean {
    return this._open.size > 0 || !this._heard;
  }

  sent(message: ISeen): void {
    if (message.header.msg_type === 'execute_request' && !message.header.subshell_id) {
      this._open.add(message.header.msg_id);
    }
  }

  received(message: ISeen): void {
    const { msg_id: id, msg_type: type, subshell_id: subshell } = message.parent_header;
    if (id === undefined || subshell) {
      return;
    }
    if (message.channel === 'shell') {
      this._heard = true;
    }
    if (type !== 'execute_request' || message.header.msg_type !== 'status') {
      return;
    }
    if ((message.content as { execution_state: string }).execution_state === 'idle') {
      this._open.delete(id);
    } else {
      this._open.add(id);
    }
  }

  /** The connection was cut: what happened meanwhile is unknown. */
  doubt(): void {
    this._open.clear();
    this._heard = false;
  }

  /** The kernel starts anew: nothing runs. */
  clear(): void {
    this._open.clear();
    this._heard = true;
  }

  private _open = new Set<string>();
  private _heard = false;
}
