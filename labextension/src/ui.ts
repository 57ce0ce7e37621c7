/** Puts the page's widgets, commands and notices into the application. It knows all of them and no kernel. */
import type { ILabShell, ILayoutRestorer, JupyterFrontEnd } from '@jupyterlab/application';
import type { ICommandPalette } from '@jupyterlab/apputils';
import type { INotebookTracker } from '@jupyterlab/notebook';
import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { IRunningSessionManagers } from '@jupyterlab/running';
import type { ISettingRegistry } from '@jupyterlab/settingregistry';
import type { IStatusBar } from '@jupyterlab/statusbar';
import type { TranslationBundle } from '@jupyterlab/translation';

import { Actions } from './actions';
import { badgeOf, TitleBadge } from './badge';
import { CARD_LINE_RANK, cardLineFactory } from './cardLine';
import { addCommands, Ids } from './commands';
import { Counts } from './counts';
import type { OrchestraModel } from './model';
import { GROUPS } from './model';
import { Notices } from './notices';
import { languageOf, loadExtension } from './places';
import { Preferences } from './preferences';
import { RunningTasks } from './running';
import { Sidebar, SIDEBAR_ID } from './sidebar';
import { StatusItem } from './statusItem';

/** What the application offers; null where it does not (Notebook 7 has no ILabShell). */
export interface IUiDeps {
  tracker: INotebookTracker;
  rendermime: IRenderMimeRegistry;
  labShell: ILabShell | null;
  restorer: ILayoutRestorer | null;
  trans: TranslationBundle;
  palette: ICommandPalette | null;
  settings: ISettingRegistry | null;
  statusBar: IStatusBar | null;
  running: IRunningSessionManagers | null;
  /** The person's settings; made by `activateUi`, for what is opened later. */
  preferences?: Preferences;
}

export function activateUi(app: JupyterFrontEnd, model: OrchestraModel, given: IUiDeps): void {
  const preferences = new Preferences();
  const deps: IUiDeps = { ...given, preferences };
  const { tracker, trans } = deps;
  const actions = new Actions();
  const counts = new Counts(model);
  const execute = (id: string, uid?: string): void => {
    void app.commands.execute(id, uid === undefined ? {} : { uid });
  };
  const openTask = async (uid: string): Promise<void> => (await import('./panel')).openPanel(app, model, deps, uid);
  const sidebar = new Sidebar({
    model,
    preferences,
    tools: {
      trans,
      actions,
      open: uid => void openTask(uid),
      goToCell: (_, card) => execute(Ids.goToCell, card.uid)
    },
    languageOf: notebook => languageOf(tracker, notebook),
    load: notebook => loadExtension(tracker, notebook, trans),
    copyLoadLine: () => execute(Ids.copyLoadLine),
    cancelAll: () => execute(Ids.cancelAll),
    clearFinished: () => execute(Ids.clearFinished),
    showTimeline: () => execute(Ids.timeline)
  });
  addCommands({
    ...{ app, model, tracker, actions, trans, palette: deps.palette },
    sidebar: () => sidebar,
    openTask,
    openTimeline: async () => (await import('./timelineView')).openTimeline(app, model, deps)
  });
  const showTask = (uid: string): void => {
    app.shell.activateById(SIDEBAR_ID);
    sidebar.focusTask(uid);
  };
  placeSidebar(app, deps, sidebar);
  deps.rendermime.addFactory(cardLineFactory(model, trans, showTask), CARD_LINE_RANK);
  new Notices(model, counts, preferences, trans, showTask);
  deps.running?.add(new RunningTasks(model, counts, actions, trans, uid => execute(Ids.open, uid)));
  placeStatusItem(deps, counts, preferences, () => app.shell.activateById(SIDEBAR_ID));
  keepBadge(counts, preferences);
  keepCommandsFresh(app, counts, deps);
  if (deps.settings !== null) {
    preferences.follow(deps.settings).catch(error => console.warn('Orchestra keeps its default settings:', error));
  }
}

// Notebook 7 has no ILabShell: there a side panel shows only what is asked for, and restores no layout.
function placeSidebar(app: JupyterFrontEnd, { labShell, restorer }: IUiDeps, sidebar: Sidebar): void {
  app.shell.add(sidebar, 'right', { rank: 900, type: 'Orchestra' });
  if (labShell !== null && restorer !== null) {
    restorer.add(sidebar, SIDEBAR_ID);
  }
}

function placeStatusItem(deps: IUiDeps, counts: Counts, preferences: Preferences, show: () => void): void {
  if (deps.statusBar === null) {
    return;
  }
  const item = new StatusItem(counts, deps.trans, show);
  const isActive = (): boolean =>
    preferences.settings.statusBar && GROUPS.some(group => group !== 'finished' && counts.values[group] > 0);
  preferences.changed.connect(item.refresh, item);
  counts.changed.connect(item.refresh, item);
  deps.statusBar.registerStatusItem('jupyter-orchestra:status', {
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
}

/** The palette asks anew whether a command makes sense when it is told so. */
function keepCommandsFresh(app: JupyterFrontEnd, counts: Counts, { tracker }: IUiDeps): void {
  const refresh = (): void => Object.values(Ids).forEach(id => app.commands.notifyCommandChanged(id));
  counts.changed.connect(refresh);
  tracker.activeCellChanged.connect(() => app.commands.notifyCommandChanged(Ids.togglePin));
}
