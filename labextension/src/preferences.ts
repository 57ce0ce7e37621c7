/** What the person chose: the settings, and which sections are folded. It knows no widget. */
import type { ISettingRegistry } from '@jupyterlab/settingregistry';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { Section } from './sidebar/listing';
import type { OrchestraModel } from './model';
import { groupOf } from './model';

const PLUGIN = 'jupyter-orchestra:plugin';
const FOLDS = 'jupyter-orchestra:folds';

export interface ISettings {
  notifications: boolean;
  titleBadge: boolean;
  statusBar: boolean;
  finishedFolded: boolean;
  /** Minutes that the timeline shows at first; 0 for all. */
  timelineMinutes: number;
}

export const DEFAULTS: ISettings = {
  notifications: true,
  titleBadge: true,
  statusBar: true,
  finishedFolded: false,
  timelineMinutes: 0
};

export class Preferences {
  constructor() {
    this._folds = readFolds();
  }

  get settings(): Readonly<ISettings> {
    return this._settings;
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** Follow the person's settings from now on. */
  async follow(registry: ISettingRegistry): Promise<void> {
    const loaded = await registry.load(PLUGIN);
    const read = (): void => {
      this._settings = { ...DEFAULTS, ...(loaded.composite as Partial<ISettings>) };
      this._changed.emit();
    };
    loaded.changed.connect(read);
    read();
  }

  /** Whether a section is folded; other notebooks are, until somebody wants them. */
  isFolded(section: Section, byDefault = false): boolean {
    const isOver = section === 'finished' && this._settings.finishedFolded;
    return this._folds[section] ?? (section === 'others' || isOver || byDefault);
  }

  fold(section: Section, folded: boolean): void {
    this._folds = { ...this._folds, [section]: folded };
    try {
      localStorage.setItem(FOLDS, JSON.stringify(this._folds));
    } catch {
      // A browser without storage forgets the folds on reload: that is all.
    }
    this._changed.emit();
  }

  /** Unfold whatever hides this task. */
  unfoldFor(uid: string, model: OrchestraModel): void {
    const found = model.find(uid);
    if (found === null) {
      return;
    }
    const section = model.current?.cards.has(uid) === true ? groupOf(found.card) : 'others';
    if (this.isFolded(section)) {
      this.fold(section, false);
    }
  }

  private _settings: ISettings = DEFAULTS;
  private _folds: Partial<Record<Section, boolean>>;
  private _changed = new Signal<this, void>(this);
}

function readFolds(): Partial<Record<Section, boolean>> {
  try {
    const folds: unknown = JSON.parse(localStorage.getItem(FOLDS) ?? '{}');
    return typeof folds === 'object' && folds !== null ? folds : {};
  } catch {
    return {};
  }
}
