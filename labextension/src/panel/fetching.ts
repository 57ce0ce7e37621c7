/** Gets the bytes of an artifact over the comm, piece by piece. It knows no widget. */
import type { TranslationBundle } from '@jupyterlab/translation';
import { UUID } from '@lumino/coreutils';

import type { NotebookModel } from '../model';
import type { ToPage } from '../protocol';

const PATIENCE = 30_000; // ms without any piece after which the kernel is taken for gone

/** The whole artifact; rejects with one line for the person. `onProgress` gets the part that is there, 0 to 1. */
export function fetchArtifact(
  notebook: NotebookModel,
  task: string,
  artifact: string,
  onProgress: (part: number) => void,
  trans: TranslationBundle
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const fetching = new Fetching(notebook, onProgress, resolve, reject, trans);
    fetching.start(task, artifact);
  });
}

class Fetching {
  constructor(
    private _notebook: NotebookModel,
    private _onProgress: (part: number) => void,
    private _resolve: (bytes: Uint8Array) => void,
    private _reject: (error: Error) => void,
    private _trans: TranslationBundle
  ) {}

  start(task: string, artifact: string): void {
    this._notebook.said.connect(this._hear, this);
    this._notebook.changed.connect(this._look, this);
    this._wait();
    if (!this._notebook.tell({ type: 'Fetch', request: this._request, task, artifact })) {
      this._fail(this._trans.__('the kernel is not there'));
    }
  }

  private _hear(_: NotebookModel, message: ToPage): void {
    if (message.type === 'Answer' && message.request === this._request && !message.ok) {
      this._fail(message.message);
    } else if (message.type === 'Chunk' && message.request === this._request) {
      this._wait();
      if (message.offset !== this._length) {
        this._fail(this._trans.__('a piece is missing: try again'));
        return;
      }
      const piece = decode(message.data);
      this._pieces.push(piece);
      this._length += piece.length;
      this._onProgress(message.size > 0 ? this._length / message.size : 1);
      if (message.last) {
        this._finish(message.size);
      }
    }
  }

  private _look(): void {
    if (this._notebook.standing !== 'ready') {
      this._fail(this._trans.__('the kernel went away'));
    }
  }

  private _finish(size: number): void {
    if (this._length !== size) {
      this._fail(this._trans.__('a piece is missing: try again'));
      return;
    }
    this._stop();
    const whole = new Uint8Array(size);
    let at = 0;
    for (const piece of this._pieces) {
      whole.set(piece, at);
      at += piece.length;
    }
    this._resolve(whole);
  }

  private _fail(why: string): void {
    this._stop();
    this._reject(new Error(why));
  }

  private _wait(): void {
    window.clearTimeout(this._timer);
    this._timer = window.setTimeout(() => this._fail(this._trans.__('the kernel does not answer')), PATIENCE);
  }

  private _stop(): void {
    window.clearTimeout(this._timer);
    this._notebook.said.disconnect(this._hear, this);
    this._notebook.changed.disconnect(this._look, this);
  }

  private _request = `fetch-${UUID.uuid4()}`;
  private _pieces: Uint8Array[] = [];
  private _length = 0;
  private _timer = 0;
}

function decode(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64), character => character.charCodeAt(0));
}
