import { MessageLoop } from '@lumino/messaging';
import { Signal } from '@lumino/signaling';
import { Widget } from '@lumino/widgets';

import { Bridge } from '../src/bridge';
import { NotebookModel } from '../src/model';
import type { ISnapshot, ToPage } from '../src/protocol';
import { ANNOUNCE, DOWN } from '../src/protocol';
import { FakeKernel } from './kernel';
import { golden } from './golden';

const trans = { __: (text: string) => text } as any;
const snapshot = golden<ToPage>('to_page').find(({ type }) => type === 'Snapshot') as ISnapshot;
const settled = (): Promise<void> => new Promise(resolve => setTimeout(resolve));
let count = 0;

/** A kernel as the bridge sees it. */
class PlayedKernel extends FakeKernel {
  status = 'idle';
  language = 'python';
  readonly targets = new Map<string, () => void>();
  readonly spec = Promise.resolve().then(() => ({ language: this.language }));

  constructor() {
    super(`kernel ${count++}`);
    this.replies = { create_subshell_request: () => ({ status: 'ok', subshell_id: 's1' }) };
  }

  registerCommTarget(name: string, callback: () => void): void {
    this.targets.set(name, callback);
  }

  removeCommTarget(name: string): void {
    this.targets.delete(name);
  }

  say(message: ToPage): void {
    const down = this.comms.filter(({ targetName, isDisposed }) => targetName === DOWN && !isDisposed);
    down.forEach(comm => comm.onMsg({ content: { data: message } }));
  }

  close(): void {
    this.comms.filter(({ isDisposed }) => !isDisposed).forEach(comm => comm.onClose());
  }

  /** What was said on the comms, opening and closing included. */
  said(): string[] {
    const comms = this.sent.filter(({ header }) => header.msg_type.startsWith('comm'));
    return comms.map(({ header, content }) => content.data.type ?? header.msg_type);
  }
}

class PlayedContext {
  session: { kernel: PlayedKernel } | null = null;
  readonly kernelChanged = new Signal<this, void>(this);
  readonly statusChanged = new Signal<this, string>(this);
  readonly connectionStatusChanged = new Signal<this, string>(this);
}

class Panel extends Widget {
  readonly sessionContext = new PlayedContext();
  readonly context = { path: 'RTC:a.ipynb', ready: Promise.resolve(), pathChanged: new Signal<object, string>({}) };

  change(kernel: PlayedKernel | null): void {
    this.sessionContext.session = kernel === null ? null : { kernel };
    this.sessionContext.kernelChanged.emit();
  }
}

interface IScene {
  panel: Panel;
  model: NotebookModel;
  bridge: Bridge;
  kernel: PlayedKernel;
}

async function play(kernel = new PlayedKernel()): Promise<IScene> {
  const panel = new Panel();
  panel.sessionContext.session = { kernel };
  const model = new NotebookModel('panel', 'a.ipynb');
  const bridge = new Bridge(panel as any, model, trans);
  await settled();
  return { panel, model, bridge, kernel };
}

test('says hello with the path as the contents know it, and is ready with the snapshot', async () => {
  const { kernel, model } = await play();
  expect(model.standing).toBe('connecting');
  const hello = { type: 'Hello', path: 'a.ipynb', session: 'client' };
  expect(kernel.sent[kernel.sent.length - 1]?.content.data).toMatchObject(hello);
  kernel.say(snapshot);
  expect([model.standing, model.subshells]).toEqual(['ready', true]);
});

test('a kernel that closes the line at once has no extension loaded, until it announces one', async () => {
  const { kernel, model } = await play();
  kernel.close();
  expect(model.standing).toBe('unloaded');
  kernel.targets.get(ANNOUNCE)?.();
  await settled();
  kernel.say(snapshot);
  expect(model.standing).toBe('ready');
});

test('a kernel of another language is left alone', async () => {
  const other = new PlayedKernel();
  other.language = 'R';
  const { model } = await play(other);
  expect([model.standing, model.message, other.sent]).toEqual(['unloaded', 'Orchestra works in Python kernels only.', []]);
});

test('nothing is sent before the connection stands', async () => {
  const slow = new PlayedKernel();
  slow.connectionStatus = 'connecting';
  const { panel, model } = await play(slow);
  expect([slow.sent, model.standing]).toEqual([[], 'connecting']);
  slow.connectionStatus = 'connected';
  panel.sessionContext.connectionStatusChanged.emit('connected');
  await settled();
  expect(slow.said()).toEqual(['comm_open', 'Hello']);
});

test('however many reasons there are at once, one line is opened', async () => {
  const { panel, kernel } = await play();
  panel.sessionContext.kernelChanged.emit();
  panel.sessionContext.connectionStatusChanged.emit('connected');
  panel.sessionContext.statusChanged.emit('idle');
  await settled();
  expect(kernel.said()).toEqual(['comm_open', 'Hello']);
});

test.each(['restarting', 'autorestarting'])('a kernel that is %s is lost, then attached to again', async status => {
  const { panel, kernel, model } = await play();
  kernel.say(snapshot);
  panel.sessionContext.statusChanged.emit(status);
  expect([model.standing, model.message]).toEqual(['lost', 'The kernel is restarting.']);
  panel.sessionContext.statusChanged.emit('idle');
  await settled();
  expect(model.standing).toBe('connecting');
  expect(kernel.said()).toEqual(['comm_open', 'Hello', 'comm_open', 'Hello']);
});

test('a cut connection is lost, and a new one is a new line', async () => {
  const { panel, kernel, model } = await play();
  kernel.say(snapshot);
  panel.sessionContext.connectionStatusChanged.emit('connecting');
  expect(model.standing).toBe('lost');
  panel.sessionContext.connectionStatusChanged.emit('connected');
  await settled();
  kernel.say(snapshot);
  expect(model.standing).toBe('ready');
});

test('another kernel is attached to and the old one left', async () => {
  const { panel, kernel, model } = await play();
  kernel.say(snapshot);
  const next = new PlayedKernel();
  panel.change(next);
  await settled();
  expect(kernel.said().slice(2)).toEqual(['comm_close', 'comm_close']);
  next.say(snapshot);
  expect([model.standing, kernel.targets.size]).toEqual(['ready', 0]);
  panel.change(null);
  expect(model.standing).toBe('none');
});

test('a ping is answered', async () => {
  const { kernel } = await play();
  kernel.say(snapshot);
  kernel.say({ type: 'Ping' });
  expect(kernel.said().slice(2)).toEqual(['Pong']);
});

test('a missed message brings a new line', async () => {
  const { kernel, model } = await play();
  kernel.say({ ...snapshot, seq: 1 });
  kernel.say({ type: 'Changes', seq: 5, now: 1, blocked: '', cards: [], gone: [], master: null, turn: null, leases: null });
  await settled();
  expect(kernel.said().slice(2)).toEqual(['comm_close', 'comm_close', 'comm_open', 'Hello']);
  expect(model.standing).toBe('connecting');
});

test('a page that the kernel gave up comes back at once, and does not insist where it is not wanted', async () => {
  const { kernel, model } = await play();
  kernel.say(snapshot);
  kernel.close();
  await settled();
  await settled();
  expect(kernel.said().slice(2)).toEqual(['comm_open', 'Hello']);
  kernel.close();
  await settled();
  expect([model.standing, kernel.said().length]).toEqual(['unloaded', 4]);
});

test('after a mismatch nothing more is said', async () => {
  const { kernel, model } = await play();
  kernel.say({ type: 'Mismatch', protocol: 2, version: '9', message: 'reload the page' });
  kernel.close();
  await settled();
  expect([model.standing, kernel.said()]).toEqual(['mismatch', ['comm_open', 'Hello']]);
});

test('a vanished subshell is replaced under the same tie', async () => {
  const { kernel, model } = await play();
  kernel.say(snapshot);
  kernel.replies['create_subshell_request'] = () => ({ status: 'ok', subshell_id: 's2' });
  kernel.replies['list_subshell_request'] = () => ({ status: 'ok', subshell_id: [] });
  kernel.refuse('s1');
  await settled();
  kernel.say(snapshot);
  expect([model.standing, kernel.sent[kernel.sent.length - 1]?.header.subshell_id]).toEqual(['ready', 's2']);
});

test('a rename and a change of sight are told', async () => {
  const { panel, kernel, model } = await play();
  kernel.say(snapshot);
  panel.context.path = 'RTC:b/c.ipynb';
  panel.context.pathChanged.emit('b/c.ipynb');
  const last = (): unknown => kernel.sent[kernel.sent.length - 1]?.content.data;
  expect([model.path, last()]).toEqual(['b/c.ipynb', { type: 'PageChanged', path: 'b/c.ipynb', visible: false }]);
  Widget.attach(panel, document.body);
  MessageLoop.sendMessage(panel, Widget.Msg.AfterShow);
  await settled();
  expect(last()).toMatchObject({ visible: true });
  panel.dispose();
});

test('a panel that closes says good-bye and ends the line', async () => {
  const { bridge, kernel, panel } = await play();
  kernel.say(snapshot);
  bridge.dispose();
  expect(kernel.said().slice(2)).toEqual(['Bye', 'comm_close', 'comm_close']);
  panel.sessionContext.statusChanged.emit('idle');
  await settled();
  expect(kernel.said()).toHaveLength(5);
});
