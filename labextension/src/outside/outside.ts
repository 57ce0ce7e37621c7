/** Says how tasks stand outside of the sidebar: notices, status bar, browser tab, list of what runs. It draws no card. */
import { badgeOf, TitleBadge } from './badge';
import type { Counts } from './counts';
import type { OrchestraModel } from '../model';
import { GROUPS } from '../model';
import { Notices } from './notices';
import type { Preferences } from '../preferences';
import { RunningTasks } from './running';
import { StatusItem } from './statusItem';
import type { IUi } from '../ui';

/** What a person can be led to from there. */
export interface IWays {
  showSidebar(): void;
  /** Show the card of a task. */
  showTask(uid: string): void;
  /** Open the panel of a task. */
  openTask(uid: string): void;
}

/** Begin to say it; to be called once there is a task. */
export function speakOutside(model: OrchestraModel, counts: Counts, ui: IUi, ways: IWays): void {
  const { actions, preferences, trans } = ui;
  new Notices(model, counts, preferences, trans, ways.showTask);
  ui.running?.add(new RunningTasks(model, counts, actions, trans, ways.openTask));
  placeStatusItem(ui, counts, ways.showSidebar);
  keepBadge(counts, preferences);
}

function placeStatusItem({ preferences, statusBar, trans }: IUi, counts: Counts, show: () => void): void {
  if (statusBar === null) {
    return;
  }
  const item = new StatusItem(counts, trans, show);
  const isActive = (): boolean =>
    preferences.settings.statusBar && GROUPS.some(group => group !== 'finished' && counts.values[group] > 0);
  preferences.changed.connect(item.refresh, item);
  counts.changed.connect(item.refresh, item);
  statusBar.registerStatusItem('jupyter-orchestra:status', {
    item,
    align: 'left',
    rank: 50,
    isActive,
    activeStateChanged: item.refreshed
  });
}

function keepBadge(counts: Counts, preferences: Preferences): void {
  const badge = new TitleBadge(document);
  const show = (): void => badge.show(preferences.settings.titleBadge ? badgeOf(counts.values) : '');
  counts.changed.connect(show);
  preferences.changed.connect(show);
  show();
}
