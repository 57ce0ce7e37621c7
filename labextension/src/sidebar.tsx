/** The sidebar as the application knows it. What it shows is loaded when it is first seen. */
import { ReactWidget } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';
import React, { Suspense } from 'react';

import type { ITools } from './sidebar/card';
import { orchestraIcon } from './icon';
import type { NotebookModel, OrchestraModel } from './model';
import type { Preferences } from './preferences';

const Content = React.lazy(() => import('./sidebar/content'));

/** The id by which the layout restorer, the tests and style sheets find the sidebar. */
export const SIDEBAR_ID = 'jupyter-orchestra-sidebar';

/** Where the person is, and where the focus is to go. */
export interface IWish {
  uid: string;
  /** The task `uid` is to get the focus. */
  wanted: boolean;
  /** The composer is to get it. */
  composer: boolean;
}

/** What the sidebar shows and what it may ask for. */
export interface ISidebarOptions {
  model: OrchestraModel;
  preferences: Preferences;
  tools: ITools;
  load(notebook: NotebookModel): Promise<string>;
  copyLoadLine(): void;
  cancelAll(): void;
  clearFinished(): void;
  showTimeline(): void;
}

export class Sidebar extends ReactWidget {
  constructor(private _options: ISidebarOptions) {
    super();
    const { trans } = _options.tools;
    this.id = SIDEBAR_ID;
    this.addClass('jp-Orchestra');
    this.title.icon = orchestraIcon;
    this.title.caption = trans.__('Orchestra');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', trans.__('Orchestra'));
  }

  /** It was shown or hidden. */
  get visibilityChanged(): ISignal<this, void> {
    return this._visibilityChanged;
  }

  /** The task whose card has, or last had, the focus; empty when none. */
  get focused(): string {
    return this._wish.uid;
  }

  /** Bring a task's card into view and give it the focus. */
  focusTask(uid: string): void {
    this._wish.uid = uid;
    this._wish.wanted = true;
    this._options.preferences.unfoldFor(uid, this._options.model);
    this._visibilityChanged.emit();
  }

  focusComposer(): void {
    this._wish.composer = true;
    this._visibilityChanged.emit();
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    if (!this._seen) {
      this.update();
    }
    this._visibilityChanged.emit();
  }

  protected override onAfterHide(message: Message): void {
    super.onAfterHide(message);
    this._visibilityChanged.emit();
  }

  protected override render(): JSX.Element {
    this._seen ||= this.isVisible;
    return <Suspense>{this._seen && <Content sidebar={this} options={this._options} wish={this._wish} />}</Suspense>;
  }

  private _seen = false;
  private _wish: IWish = { uid: '', wanted: false, composer: false };
  private _visibilityChanged = new Signal<this, void>(this);
}
