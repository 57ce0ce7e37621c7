/** Every command of ours, in the palette. None has a shortcut of its own: a person binds what they want. */
import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Clipboard, Dialog, showDialog } from '@jupyterlab/apputils';
import type { ICommandPalette } from '@jupyterlab/apputils';
import type { INotebookTracker } from '@jupyterlab/notebook';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';

import type { Action, Actions, Verdict } from './actions';
import { possible, verdicts } from './actions';
import type { NotebookModel, OrchestraModel } from './model';
import { hasEnded } from './model';
import { goToCell, isPinned, isResultCell, LOAD_LINE, togglePin } from './places';
import type { ICard, ITurnAct } from './protocol';
import type { Sidebar } from './sidebar';

export const Ids = {
  show: 'jupyter-orchestra:show-sidebar',
  open: 'jupyter-orchestra:open-task',
  goToCell: 'jupyter-orchestra:go-to-cell',
  pause: 'jupyter-orchestra:pause',
  resume: 'jupyter-orchestra:resume',
  cancel: 'jupyter-orchestra:cancel',
  retry: 'jupyter-orchestra:retry',
  drop: 'jupyter-orchestra:drop',
  approve: 'jupyter-orchestra:approve',
  always: 'jupyter-orchestra:approve-always',
  decline: 'jupyter-orchestra:decline',
  stopMaster: 'jupyter-orchestra:stop-master',
  retryMaster: 'jupyter-orchestra:retry-master',
  cancelAll: 'jupyter-orchestra:cancel-all',
  clearFinished: 'jupyter-orchestra:clear-finished',
  timeline: 'jupyter-orchestra:timeline',
  togglePin: 'jupyter-orchestra:toggle-pin',
  focusComposer: 'jupyter-orchestra:focus-composer',
  copyLoadLine: 'jupyter-orchestra:copy-load-line'
} as const;

export interface ICommandOptions {
  app: JupyterFrontEnd;
  model: OrchestraModel;
  tracker: INotebookTracker;
  actions: Actions;
  trans: TranslationBundle;
  palette: ICommandPalette | null;
  /** Asked when a command is run: the sidebar itself calls commands. */
  sidebar(): Sidebar;
  openTask(uid: string, name?: string): Promise<void>;
  openTimeline(): Promise<void>;
}

interface IFound {
  notebook: NotebookModel;
  card: ICard;
}

/** The task that `uid` names; else the one at the focus, else the latest, for which `suits` holds. */
function pick(options: ICommandOptions, uid: unknown, suits: (card: ICard) => boolean): IFound | null {
  const { model } = options;
  if (typeof uid === 'string' && uid !== '') {
    const named = model.find(uid);
    return named !== null && suits(named.card) ? named : null;
  }
  const focused = model.find(options.sidebar().focused);
  if (focused !== null) {
    return suits(focused.card) ? focused : null;
  }
  const notebook = model.current;
  const cards = notebook === null ? [] : [...notebook.cards.values()].filter(suits);
  const later = (best: ICard | null, card: ICard): ICard => (best === null || card.order > best.order ? card : best);
  const latest = cards.reduce<ICard | null>(later, null);
  return notebook === null || latest === null ? null : { notebook, card: latest };
}

const UID_ARGS = {
  type: 'object',
  properties: {
    uid: { type: 'string', description: 'The task; without it the one at the focus, else the latest that it suits.' }
  }
} as const;

export function addCommands(options: ICommandOptions): void {
  addOpenCommand(options);
  addTaskCommands(options);
  addNotebookCommands(options);
  addMasterCommands(options);
  addPlaceCommands(options);
  const { palette, trans } = options;
  for (const command of Object.values(Ids)) {
    palette?.addItem({ command, category: trans.__('Orchestra') });
  }
}

/** A panel can be opened before its task is known: after a reload of the page the panel is there first. */
function addOpenCommand(options: ICommandOptions): void {
  options.app.commands.addCommand(Ids.open, {
    label: options.trans.__('Open Task'),
    describedBy: { args: UID_ARGS },
    isEnabled: args => pick(options, args['uid'], () => true) !== null,
    execute: async args => {
      const uid = pick(options, args['uid'], () => true)?.card.uid ?? args['uid'];
      if (typeof uid === 'string' && uid !== '') {
        await options.openTask(uid, typeof args['name'] === 'string' ? args['name'] : undefined);
      }
    }
  });
}

function addTaskCommands(options: ICommandOptions): void {
  const { app, actions, trans, tracker } = options;
  const onTask = (
    id: string,
    label: string,
    suits: (card: ICard) => boolean,
    run: (found: IFound) => Promise<unknown>
  ): void => {
    const command: CommandRegistry.ICommandOptions = {
      label,
      describedBy: { args: UID_ARGS },
      isEnabled: args => pick(options, args['uid'], suits) !== null,
      execute: async args => {
        const found = pick(options, args['uid'], suits);
        if (found !== null) {
          await run(found);
        }
      }
    };
    app.commands.addCommand(id, command);
  };
  const onAct = (id: string, label: string, action: Action): void =>
    onTask(
      id,
      label,
      card => possible(card).includes(action),
      ({ notebook, card }) => actions.act(notebook, card, action)
    );
  onTask(
    Ids.goToCell,
    trans.__('Go to the Cell of a Task'),
    card => card.cell !== '' || card.result_cell !== '',
    async ({ notebook, card }) => {
      if (!(await goToCell(app, tracker, notebook, card))) {
        actions.refuse(card, trans.__('its cell is not in the notebook'));
      }
    }
  );
  onAct(Ids.pause, trans.__('Pause Task'), 'pause');
  onAct(Ids.resume, trans.__('Resume Task'), 'resume');
  onAct(Ids.cancel, trans.__('Cancel Task'), 'cancel');
  onAct(Ids.retry, trans.__('Retry Task'), 'retry');
  onAct(Ids.drop, trans.__('Drop Task'), 'forget');
  const onQuestion = (id: string, label: string, verdict: Verdict): void =>
    onTask(id, label, ({ question }) => question !== null && verdicts(question).includes(verdict), found =>
      answer(options, found, verdict)
    );
  onQuestion(Ids.approve, trans.__('Approve What a Task Asks'), 'approve');
  onQuestion(Ids.always, trans.__('Always Approve What a Task Asks'), 'always');
  onQuestion(Ids.decline, trans.__('Decline What a Task Asks'), 'decline');
}

/** Who calls a command has not read the question: it is shown first, and that one is answered. */
async function answer({ actions, trans }: ICommandOptions, { notebook, card }: IFound, verdict: Verdict): Promise<void> {
  const { question } = card;
  const { confirmAnswer } = await import('./answering');
  const why = question === null ? null : await confirmAnswer(card, question, verdict, trans);
  if (question !== null && why !== null) {
    await actions.answer(notebook, card, question, verdict, why);
  }
}

function addNotebookCommands(options: ICommandOptions): void {
  const { app, model, actions, trans } = options;
  const tasks = (ended: boolean): ICard[] =>
    [...(model.current?.cards.values() ?? [])].filter(card => hasEnded(card) === ended);
  app.commands.addCommand(Ids.cancelAll, {
    label: trans.__('Cancel All Tasks of the Notebook'),
    describedBy: { args: { type: 'object', properties: {} } },
    isEnabled: () => tasks(false).length > 0,
    execute: async () => {
      const notebook = model.current;
      if (notebook !== null && (await confirmCancelAll(tasks(false).length, notebook.path, trans))) {
        await actions.cancelAll(notebook);
      }
    }
  });
  app.commands.addCommand(Ids.clearFinished, {
    label: trans.__('Clear Finished Tasks of the Notebook'),
    describedBy: { args: { type: 'object', properties: {} } },
    isEnabled: () => tasks(true).length > 0,
    execute: async () => {
      if (model.current !== null) {
        await actions.clearFinished(model.current);
      }
    }
  });
}

function addMasterCommands({ app, model, actions, trans }: ICommandOptions): void {
  const onTurn = (id: string, label: string, state: string, action: ITurnAct['action']): void => {
    app.commands.addCommand(id, {
      label,
      describedBy: { args: { type: 'object', properties: {} } },
      isEnabled: () => model.current?.turn?.state === state,
      execute: async () => {
        if (model.current !== null) {
          await actions.turn(model.current, action);
        }
      }
    });
  };
  onTurn(Ids.stopMaster, trans.__('Stop the Master'), 'running', 'stop');
  onTurn(Ids.retryMaster, trans.__('Let the Master Try Again'), 'failed', 'retry');
}

async function confirmCancelAll(count: number, path: string, trans: TranslationBundle): Promise<boolean> {
  const result = await showDialog({
    title: trans.__('Cancel all tasks?'),
    body: trans._n('%1 unfinished task of %2 ends.', '%1 unfinished tasks of %2 end.', count, path),
    buttons: [
      Dialog.cancelButton({ label: trans.__('Keep them') }),
      Dialog.warnButton({ label: trans.__('Cancel all') })
    ]
  });
  return result.button.accept;
}

function addPlaceCommands(options: ICommandOptions): void {
  const { app, tracker, trans } = options;
  const noArgs = { describedBy: { args: { type: 'object', properties: {} } as const } };
  const show = (): void => app.shell.activateById(options.sidebar().id);
  app.commands.addCommand(Ids.show, { ...noArgs, label: trans.__('Show Orchestra Sidebar'), execute: show });
  app.commands.addCommand(Ids.timeline, {
    ...noArgs,
    label: trans.__('Show Timeline'),
    execute: () => options.openTimeline()
  });
  app.commands.addCommand(Ids.togglePin, {
    ...noArgs,
    label: trans.__('Pin Result Cell'),
    caption: trans.__('A pinned result cell is not replaced when its task is dispatched again'),
    isToggleable: true,
    isToggled: () => isPinned(tracker),
    isEnabled: () => isResultCell(tracker),
    execute: () => togglePin(tracker)
  });
  app.commands.addCommand(Ids.focusComposer, {
    ...noArgs,
    label: trans.__('Write to the Master'),
    execute: () => {
      show();
      options.sidebar().focusComposer();
    }
  });
  app.commands.addCommand(Ids.copyLoadLine, {
    ...noArgs,
    label: trans.__('Copy the Line That Loads Orchestra'),
    execute: () => Clipboard.copyToSystem(LOAD_LINE)
  });
}
