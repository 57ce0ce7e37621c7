/** How many tasks are in each group, told when it changes. It knows the model and nobody who listens. */
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import { onceIn } from '../coalesce';
import type { Group, OrchestraModel } from '../model';
import { GROUPS } from '../model';

const PACE = 200; // milliseconds: nobody reads faster, and a burst of changes is counted once

export class Counts {
  constructor(private _model: OrchestraModel) {
    this._counts = _model.count();
    const count = onceIn(PACE, () => this._update());
    _model.changed.connect(() => count.ask());
  }

  get values(): Record<Group, number> {
    return this._counts;
  }

  /** A count has changed. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** Cards may have changed, the counts not: for those who look at single cards at a reader's pace. */
  get settled(): ISignal<this, void> {
    return this._settled;
  }

  private _update(): void {
    const counts = this._model.count();
    const isNew = GROUPS.some(group => counts[group] !== this._counts[group]);
    this._counts = counts;
    if (isNew) {
      this._changed.emit();
    }
    this._settled.emit();
  }

  private _counts: Record<Group, number>;
  private _changed = new Signal<this, void>(this);
  private _settled = new Signal<this, void>(this);
}
