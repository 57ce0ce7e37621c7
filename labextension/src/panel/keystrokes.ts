/** Carries what is typed into a terminal, in its order, one message on its way at a time. It knows no DOM. */

/** Bytes that one message types, at most: the kernel takes no more. */
export const MOST = 64 << 10;

/** Types into the terminal; answers with why not, or with nothing. */
export type Type = (text: string) => Promise<string>;

/** What is typed and not sent yet. It is kept nowhere else, for it may be a password. */
export class Keystrokes {
  /**
   * @param _say takes what went wrong with the last of it, empty when nothing did
   * @param _tooMuch says that a paste is too much
   */
  constructor(
    private _type: Type,
    private _say: (problem: string) => void,
    private _tooMuch: () => string
  ) {}

  /** A key, or something pasted. */
  add(text: string): void {
    const size = bytes(text);
    if (size > MOST) {
      this._say(this._tooMuch());
      return;
    }
    this._waiting.push({ text, size });
    void this._send();
  }

  private async _send(): Promise<void> {
    if (this._isBusy || this._waiting.length === 0) {
      return;
    }
    this._isBusy = true;
    const problem = await this._type(this._take());
    this._isBusy = false;
    if (problem !== '') {
      this._waiting = []; // it was meant to come after what did not arrive
    }
    this._say(problem);
    void this._send();
  }

  /** As much as one message holds. */
  private _take(): string {
    let size = 0;
    let count = 0;
    while (count < this._waiting.length && size + this._waiting[count]!.size <= MOST) {
      size += this._waiting[count]!.size;
      count += 1;
    }
    return this._waiting
      .splice(0, count)
      .map(({ text }) => text)
      .join('');
  }

  private _waiting: { text: string; size: number }[] = [];
  private _isBusy = false;
}

function bytes(text: string): number {
  return text.length * 3 <= MOST ? text.length * 3 : new Blob([text]).size;
}

const REPORT = /^\x1b(\[[?>=]?[\d;]*(\$y|[cnRtuy])|[\]P].*)$/s;

/** Whether a terminal said this by itself, when a program asked for its kind, its state or its cursor. */
export function isReport(text: string): boolean {
  return REPORT.test(text);
}
