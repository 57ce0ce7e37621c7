import type { JupyterFrontEnd } from '@jupyterlab/application';
import { CommandRegistry } from '@lumino/commands';

import { Actions } from '../../src/actions';
import { addCommands, Ids } from '../../src/commands';
import { OrchestraModel } from '../../src/model';
import type { ICard } from '../../src/protocol';
import { OpenTabs } from '../../src/restoring';
import { card, notebook, question, trans } from './cards';

jest.mock('@jupyterlab/apputils', () => ({
  Clipboard: {},
  Dialog: {},
  showDialog: jest.fn(),
  WidgetTracker: class {
    constructor(readonly options: { namespace: string }) {}
  }
}));

const confirmAnswer = jest.fn<Promise<string | null>, unknown[]>();
jest.mock('../../src/answering', () => ({ confirmAnswer: (...args: unknown[]) => confirmAnswer(...args) }));

function registered(...cards: ICard[]): { commands: CommandRegistry; open: jest.Mock; model: OrchestraModel } {
  const commands = new CommandRegistry();
  const model = new OrchestraModel();
  const front = notebook('a', ...cards);
  model.add(front);
  model.setCurrent(front);
  const open = jest.fn(async () => undefined);
  addCommands({
    ...{ app: { commands } as unknown as JupyterFrontEnd, model, tracker: {} as any, actions: new Actions(trans), trans },
    ...{ palette: null, sidebar: () => ({ focused: '' }) as any, openTask: open, openTimeline: async () => undefined }
  });
  return { commands, open, model };
}

test('every command there is has a label', () => {
  const { commands } = registered();
  expect(Object.values(Ids).filter(id => commands.label(id) === '')).toEqual([]);
});

test('without a task named, the latest that it suits is taken', async () => {
  const [first, second] = [card(), card({ state: 'done' })];
  const { commands, open } = registered(first, second);
  await commands.execute(Ids.open);
  expect(open).toHaveBeenCalledWith(second.uid, undefined);
  expect([commands.isEnabled(Ids.cancel), commands.isEnabled(Ids.drop)]).toEqual([true, false]);
});

test('a lost task can be dropped', () => {
  expect(registered(card({ state: 'lost' })).commands.isEnabled(Ids.drop)).toBe(true);
});

test('a question is answered from the palette once it was read there', async () => {
  const asking = card({ question: question({ proposal: true }) });
  const { commands, model } = registered(card(), asking);
  const said: any[] = [];
  model.current!.connect(message => void said.push(message));
  expect([Ids.approve, Ids.always, Ids.decline].map(id => commands.isEnabled(id))).toEqual([true, false, true]);
  confirmAnswer.mockResolvedValueOnce(null);
  await commands.execute(Ids.approve);
  expect(said).toEqual([]);
  confirmAnswer.mockResolvedValueOnce('not now');
  void commands.execute(Ids.decline);
  await new Promise(resolve => setTimeout(resolve));
  expect(confirmAnswer.mock.calls[1]!.slice(0, 3)).toEqual([asking, asking.question, 'decline']);
  expect(said).toMatchObject([{ action: 'decline', tasks: [asking.uid], digest: 'd1', why: 'not now' }]);
});

test('the master is stopped while it answers and tried again when it failed', () => {
  const { commands, model } = registered();
  const enabled = (): boolean[] => [Ids.stopMaster, Ids.retryMaster].map(id => commands.isEnabled(id));
  const turn = { number: 1, state: 'running', wake: false, text: '', note: '', cell: '' } as const;
  expect(enabled()).toEqual([false, false]);
  model.current!.turn = turn;
  expect(enabled()).toEqual([true, false]);
  model.current!.turn = { ...turn, state: 'failed' };
  expect(enabled()).toEqual([false, true]);
});

test('a panel opens again before its task is known', async () => {
  const { commands, open } = registered();
  let asked: any;
  const restorer = { restore: async (tracker: any, options: any) => (asked ??= { ...options, tracker }) };
  new OpenTabs().restore(restorer as any, Ids.open, Ids.timeline);
  const panel = { content: { uid: 'u7' }, title: { label: 'fit' } };
  expect([asked.tracker.options.namespace, asked.name(panel)]).toEqual(['jupyter-orchestra-panel', 'u7']);
  await commands.execute(asked.command, asked.args(panel));
  expect(open).toHaveBeenCalledWith('u7', 'fit');
});
