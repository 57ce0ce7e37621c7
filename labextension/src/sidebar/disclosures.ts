/** Which questions show their action whole, and how much room a question takes. It draws nothing. */
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { IQuestion } from '../protocol';

/** What is no longer than this is shown whole from the first. */
const SHORT_LINES = 6;
const MOST_LINES = 9; // beyond that it scrolls
const WIDTH = 29; // characters of a line in a sidebar of the usual width

/** The lines that an action takes in a sidebar, as far as they are shown at once. */
export function linesOf(detail: string): number {
  let lines = 0;
  for (const line of detail.split('\n')) {
    lines += Math.max(1, Math.ceil(line.length / WIDTH));
    if (lines >= MOST_LINES) {
      return MOST_LINES;
    }
  }
  return lines;
}

/** The measures of a question, at the normal size of text, in pixels; the style sheet has the same ones. */
export function detailHeight(detail: string): number {
  return 16 * linesOf(detail) + 10;
}
/** Two lines where one would cut it. */
export function askingHeight(asking: string): number {
  return asking.length > 32 ? 32 : 16;
}
export function questionHeight(asking: string, detail: string, isOpen: boolean): number {
  return askingHeight(asking) + 30 + (detail === '' ? 0 : 20 + (isOpen ? detailHeight(detail) + 4 : 0));
}

/** What the person unfolded and folded, for as long as the page lives. */
export class Disclosures {
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  isOpen({ digest, detail }: IQuestion): boolean {
    return this._chosen.get(digest) ?? linesOf(detail) <= SHORT_LINES;
  }

  toggle(question: IQuestion): void {
    this._chosen.set(question.digest, !this.isOpen(question));
    this._changed.emit();
  }

  private _chosen = new Map<string, boolean>();
  private _changed = new Signal<this, void>(this);
}
