/** Puts the page's widgets and commands into the application. It knows all of them and no kernel. */
import type { ILabShell, ILayoutRestorer, JupyterFrontEnd } from '@jupyterlab/application';
import type { ICommandPalette } from '@jupyterlab/apputils';
import type { INotebookTracker } from '@jupyterlab/notebook';
import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { IRunningSessionManagers } from '@jupyterlab/running';
import type { ISettingRegistry } from '@jupyterlab/settingregistry';
import type { IStatusBar } from '@jupyterlab/statusbar';
import type { TranslationBundle } from '@jupyterlab/translation';

import { Actions } from './actions';
import { CARD_LINE_RANK, cardLineFactory } from './cardLine';
import { addCommands, Ids } from './commands';
import { Counts } from './outside/counts';
import type { OrchestraModel } from './model';
import { GROUPS } from './model';
import type { IWays } from './outside/outside';
import { loadExtension } from './places';
import { Preferences } from './preferences';
import { OpenTabs } from './restoring';
import { Sidebar, SIDEBAR_ID } from './sidebar';
import { Disclosures } from './sidebar/disclosures';

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
}

/** The same, and what all that is opened later shares. */
export interface IUi extends IUiDeps {
  actions: Actions;
  disclosures: Disclosures;
  preferences: Preferences;
  tabs: OpenTabs;
}

export function activateUi(app: JupyterFrontEnd, model: OrchestraModel, given: IUiDeps): void {
  const { tracker, trans } = given;
  const preferences = new Preferences();
  const actions = new Actions(trans);
  const disclosures = new Disclosures();
  const tabs = new OpenTabs();
  const ui: IUi = { ...given, actions, disclosures, preferences, tabs };
  const counts = new Counts(model);
  const execute = (id: string, uid?: string): void => {
    void app.commands.execute(id, uid === undefined ? {} : { uid });
  };
  const openTask = async (uid: string, name?: string): Promise<void> =>
    (await import('./panel')).openPanel(app, model, ui, uid, name);
  const sidebar = new Sidebar({
    model,
    preferences,
    tools: {
      trans,
      actions,
      disclosures,
      open: uid => void openTask(uid),
      show: uid => showTask(uid),
      goToCell: (_, card) => execute(Ids.goToCell, card.uid)
    },
    load: notebook => loadExtension(tracker, notebook, trans),
    copyLoadLine: () => execute(Ids.copyLoadLine),
    cancelAll: () => execute(Ids.cancelAll),
    clearFinished: () => execute(Ids.clearFinished),
    showTimeline: () => execute(Ids.timeline)
  });
  addCommands({
    ...{ app, model, tracker, actions, trans, palette: ui.palette },
    sidebar: () => sidebar,
    openTask,
    openTimeline: async () => (await import('./timeline/timelineView')).openTimeline(app, model, ui)
  });
  const showSidebar = (): void => app.shell.activateById(SIDEBAR_ID);
  const showTask = (uid: string): void => {
    showSidebar();
    sidebar.focusTask(uid);
  };
  placeSidebar(app, ui, sidebar);
  ui.rendermime.addFactory(cardLineFactory(model, trans, showTask), CARD_LINE_RANK);
  const ways: IWays = { showSidebar, showTask, openTask: uid => execute(Ids.open, uid) };
  speakOfTasks(counts, async () => (await import('./outside/outside')).speakOutside(model, counts, ui, ways));
  keepCommandsFresh(app, model, counts, ui);
  if (ui.settings !== null) {
    preferences.follow(ui.settings).catch(error => console.warn('Orchestra keeps its default settings:', error));
  }
}

// Notebook 7 has no ILabShell: there a side panel shows only what is asked for, and restores no layout.
function placeSidebar(app: JupyterFrontEnd, { labShell, restorer, tabs }: IUi, sidebar: Sidebar): void {
  app.shell.add(sidebar, 'right', { rank: 900, type: 'Orchestra' });
  if (labShell !== null && restorer !== null) {
    restorer.add(sidebar, SIDEBAR_ID);
    tabs.restore(restorer, Ids.open, Ids.timeline);
  }
}

/** What speaks of tasks is loaded with the first of them. */
function speakOfTasks(counts: Counts, load: () => Promise<void>): void {
  const look = (): void => {
    if (GROUPS.some(group => counts.values[group] > 0)) {
      counts.settled.disconnect(look);
      load().catch(reason => console.error('Orchestra cannot say how tasks stand:', reason));
    }
  };
  counts.settled.connect(look);
}

/** The palette asks anew whether a command makes sense when it is told so. */
function keepCommandsFresh(app: JupyterFrontEnd, model: OrchestraModel, counts: Counts, { tracker }: IUiDeps): void {
  const refresh = (): void => Object.values(Ids).forEach(id => app.commands.notifyCommandChanged(id));
  let before = '';
  counts.changed.connect(refresh);
  counts.settled.connect(() => {
    const turn = model.current?.turn?.state ?? '';
    if (turn !== before) {
      before = turn;
      refresh();
    }
  });
  tracker.activeCellChanged.connect(() => app.commands.notifyCommandChanged(Ids.togglePin));
}
