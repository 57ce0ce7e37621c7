/** The badge before the title of the document. It knows only that others write that title too. */
import type { IDisposable } from '@lumino/disposable';

import type { Group } from '../model';

/** How many need the person, else how many run; empty when none does. */
export function badgeOf(counts: Record<Group, number>): string {
  if (counts['needs-you'] > 0) {
    return `(${counts['needs-you']}!) `;
  }
  return counts.running > 0 ? `(${counts.running}) ` : '';
}

/** The title with `badge` in the place of the badge that it shows now. */
export function rebadged(title: string, shown: string, badge: string): string {
  return badge + (shown !== '' && title.startsWith(shown) ? title.slice(shown.length) : title);
}

/** Keeps a badge before the title, whoever writes the title, and takes away no more than it put there. */
export class TitleBadge implements IDisposable {
  constructor(private _document: Document) {
    this._observer = new MutationObserver(() => this._write(this._badge));
    this._observer.observe(_document.head, { childList: true, subtree: true, characterData: true });
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  show(badge: string): void {
    if (badge !== this._badge) {
      this._write(badge);
    }
  }

  dispose(): void {
    this._isDisposed = true;
    this._observer.disconnect();
    this._write('');
  }

  private _write(badge: string): void {
    const title = this._document.title;
    const wanted = rebadged(title, this._badge, badge);
    this._badge = badge;
    if (wanted !== title) {
      this._document.title = wanted;
      this._observer.takeRecords();
    }
  }

  private _badge = '';
  private _isDisposed = false;
  private _observer: MutationObserver;
}
